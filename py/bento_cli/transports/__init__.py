"""Downloads archives in ranges from other machines, and uploads archives atomically.

`address.py` parses URLs, `remote.py` defines the interface that the modules of protocols implement, and `download.py`
transfers archives.
"""
