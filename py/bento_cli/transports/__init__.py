"""Copies archives from and to URLs.

`address.py` parses URLs, and `transfer.py` copies files: `filesystems.py` with fsspec's filesystems, and `http.py`
from HTTP servers. `clouds.py`, `ftp.py`, and `sftp.py` adapt filesystems of obstore and fsspec.
"""
