"""Downloads archives in ranges from other machines, and uploads archives atomically.

`address.py` parses URLs, `remote.py` declares the interface of protocols, and each protocol has its own module. To
transfer an archive, use `download.py`.
"""
