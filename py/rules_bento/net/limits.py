"""The bounds of all that comes over a network, for every client of this package.

A server may send what it likes; these say how much of it is read. docs/architecture.md has a table of them, and
`toolchains/private/locate.py` stands alone and repeats `PATIENCE` and `BODY`: tests hold all of them equal.
"""

from __future__ import annotations

HEADER = 8 << 10
"""Bytes of one line of a head: a status, a header, the size of a chunk. Servers take no longer ones themselves."""

HEAD = 64 << 10
"""Bytes of all lines of a head, answers of 1xx before it included; and of the trailers behind a body."""

REFUSAL = 64 << 10
"""Bytes that are read of an answer of another status than 2xx. The rest of it is left unread."""

TOKEN = 64 << 10
"""Bytes of the answer of a token server."""

MANIFEST = 4 << 20
"""Bytes of a manifest or an index: the most that the distribution specification lets a client rely on."""

MANIFESTS = 1_000
"""Manifests below an index, with all of the indexes below it."""

NESTING = 8
"""Indexes in indexes."""

DOCUMENT = 16 << 20
"""Bytes of any other answer, or blob, that is held in memory: JSON of a cloud, a page of tags, a config."""

NAMES = 1_000_000
"""Tags, or referrers, of one repository or manifest, over all pages of the answer."""

PAGES = 10_000
"""Pages of such an answer."""

LISTING = 64 << 20
"""Bytes of all these pages."""

MESSAGE = 16 << 20
"""Bytes of one message of gRPC, whose own clients take 4 MiB."""

BODY = 1 << 40
"""Bytes of a blob or archive, which goes to the disk as it comes."""

PIECE = 1 << 18
"""Bytes that are read from a connection or a file, or handed to a connection, at once."""

REDIRECTS = 10
"""Addresses to which one request is sent on."""

PATIENCE = 60.0
"""Seconds in which nothing comes and nothing can be sent, after which a connection counts as cut."""

ANSWER = 300.0
"""Seconds until an answer begins (some registries copy the whole blob before), then until its head, and a body that is
held in memory, are there. A cut is tried again, an answer that comes too slowly is not."""
