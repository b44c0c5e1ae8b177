"""Downloads archives from other machines in ranges, and uploads archives atomically.

`address.py` parses URLs, `remote.py` declares the interface of a protocol, and each protocol is a module. Other
packages use `download.py`.
"""
