"""Reads archives from other machines, in ranges, and writes them there atomically.

`address.py` parses URLs, `remote.py` declares the interface of a protocol, and each protocol is a module. The store
uses `download.py`.
"""
