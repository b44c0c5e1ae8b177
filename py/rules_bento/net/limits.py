"""Defines the limits for data from the network, for every client of this package.

They apply to whatever a server sends. docs/architecture.md lists them, and `toolchains/private/locate.py`, which has no
imports, repeats `PATIENCE` and `BODY`. Tests verify that all of them are equal.
"""

from __future__ import annotations

HEADER = 8 << 10
"""Bytes of one line of a head: a status, a header, the size of a chunk. Servers have the same limit."""

HEAD = 64 << 10
"""Bytes of all lines of a head, including 1xx responses before it, and of the trailers after a body."""

REFUSAL = 64 << 10
"""Bytes that are read of a response with another status than 2xx. The rest is ignored."""

TOKEN = 64 << 10
"""Bytes of the response of a token server."""

MANIFEST = 4 << 20
"""Bytes of a manifest or an index: the maximum that the distribution specification guarantees."""

MANIFESTS = 1_000
"""Manifests of an index, including nested indexes."""

NESTING = 8
"""Levels of nested indexes."""

DOCUMENT = 16 << 20
"""Bytes of any other response or blob in memory: JSON of a cloud, a page of tags, a config."""

NAMES = 1_000_000
"""Tags of a repository, or referrers of a manifest, on all pages of the response."""

PAGES = 10_000
"""Pages of such a response."""

LISTING = 64 << 20
"""Bytes of all these pages."""

MESSAGE = 16 << 20
"""Bytes of one gRPC message. gRPC's own clients accept 4 MiB."""

BODY = 1 << 40
"""Bytes of a blob or archive, which is written to disk in pieces."""

PIECE = 1 << 18
"""Bytes of one read from a connection or file, or of one write to a connection."""

REDIRECTS = 10
"""Redirects of one request."""

PATIENCE = 60.0
"""Seconds without any transfer after which a connection counts as lost."""

ANSWER = 300.0
"""Seconds until a response begins (some registries copy the whole blob first), then until its head and
a body in memory are complete. A lost connection leads to a retry, a slow response doesn't."""
