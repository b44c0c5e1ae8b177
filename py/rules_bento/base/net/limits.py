"""Defines limits for data from the network. All clients in this package share these limits.

docs/contributing/architecture.md lists the limits. `toolchains/programs/locate.py` has no imports, so it repeats
`PATIENCE` and `BODY`. Tests verify that all copies are equal.
"""

from __future__ import annotations

HEADER = 8 << 10  # bytes of one line of a head: a status, a header, the size of a chunk. Servers have the same limit.
HEAD = 64 << 10  # bytes of all lines of a head, including 1xx responses before it, and of the trailers after a body
REFUSAL = 64 << 10  # bytes to read of a response with a status other than 2xx. The rest is ignored.
TOKEN = 64 << 10  # bytes of the response of a token server or a transparency log
MANIFEST = 4 << 20  # bytes of a manifest or an index: the maximum that the distribution specification guarantees
MANIFESTS = 1_000  # manifests of an index, including nested indexes
NESTING = 8  # levels of nested indexes
DOCUMENT = 16 << 20  # bytes of any other response or blob in memory: a page of referrers, a config
NAMES = 1_000_000  # referrers of a manifest, on all pages of the response
PAGES = 10_000  # pages of such a response
LISTING = 64 << 20  # bytes of all these pages
MESSAGE = 16 << 20  # bytes of one gRPC message. gRPC's own clients accept 4 MiB.
BODY = 1 << 40  # bytes of a blob or archive, which is written to disk in pieces. `bento import` has a lower limit.
PIECE = 1 << 18  # bytes of one read from a connection or file, or of one write to a connection
REDIRECTS = 10  # redirects of one request
PATIENCE = 60.0  # seconds without any transfer after which a connection counts as lost
# Seconds until the head of a response is complete (some registries copy the whole blob first), and then until a body in
# memory is complete. Also seconds for further attempts after a lost connection. A slow response isn't retried.
ANSWER = 300.0
