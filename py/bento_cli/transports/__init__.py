"""Downloads of archives in ranges, and atomic uploads of archives.

`address.py` parses URLs, `remote.py` declares the interface of protocols, and each protocol has its own module. To
transfer an archive, use `download.py`.
"""
