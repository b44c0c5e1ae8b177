"""Archives at other places than this machine: read by ranges, written whole or not at all.

`address.py` says what a URL means, `remote.py` what a protocol has to be able to do, and each protocol is a module.
`download.py` and `upload.py` are what the store uses.
"""
