"""Downloads archives in ranges from other machines, and uploads archives atomically.

`address.py` parses URLs, `remote.py` defines the interface for protocol clients, and `download.py` transfers archives.
"""
