"""Shares between S3 and Azure how objects are read and written by obstore (object_store of Rust).

It signs, sends parts in parallel, tries each of them again, and takes an upload back that fails. A part that is cut
on its way here is asked for again from where it was cut, by `download.py`.
"""

from __future__ import annotations

from datetime import timedelta

from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError
from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.transports.remote import ChangedError, Remote, Stat, needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rules_bento.net.transfers import Counter

    from bento_cli.transports.address import Address
    from bento_cli.transports.remote import Buffer
    from bento_cli.transports.source import Source

PART = 8 << 20
_MOST_PARTS = 9_000  # of S3's 10,000
UPLOADS = 6  # at once: that many parts are in memory
_PIECE = 1 << 20

BACKOFF = {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2}
_READS, _WRITES = 1, 6  # how often obstore tries again; reads are tried again by who asks for them
CLIENT = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "600s", "user_agent": "rules_bento"}


class ObjectStore(Remote):
    """Reads and writes one object in a bucket or container.

    `make` makes one of obstore's stores that tries again in a given way.
    """

    parallel = 4

    def __init__(self, address: Address, make: Callable[[dict[str, Any]], Any], remedy: str) -> None:
        super().__init__(address)
        self._make = make
        self._store = make(_retries(_READS))
        self._remedy = remedy
        self._key = address.path.lstrip("/")

    def stat(self) -> Stat:
        import obstore

        try:
            head = obstore.head(self._store, self._key)
            version = head["e_tag"] or ""
            if not head["size"]:
                return Stat(0, version)
            # `head` does not return the metadata of an upload, so a byte is fetched with it.
            options = {"range": (0, 1), "if_match": version} if version else {"range": (0, 1)}
            sha256 = obstore.get(self._store, self._key, options=options).attributes.get("sha256")
        except Exception as error:
            failure = self._failure(error)
            raise (ConnectionLostError("it changes") if isinstance(failure, ChangedError) else failure) from None
        return Stat(head["size"], version, {"sha256": sha256} if sha256 else {})

    def read(self, stat: Stat, start: int, end: int | None) -> Iterator[Buffer]:
        import obstore

        options: dict[str, Any] = {"range": (start, end if end is not None else stat.size)}
        if stat.version:
            options["if_match"] = stat.version
        try:
            for piece in obstore.get(self._store, self._key, options=options).stream(min_chunk_size=_PIECE):
                yield memoryview(piece)
        except GeneratorExit:
            raise
        except Exception as error:
            raise self._failure(error) from None

    def write(self, source: Source, counter: Counter) -> None:
        import obstore

        def parts() -> Iterator[bytes]:
            for piece in source.pieces():
                counter.advance(len(piece))
                yield piece

        try:
            obstore.put(
                self._make(_retries(_WRITES)),
                self._key,
                parts(),
                attributes={"Content-Type": "application/octet-stream", "sha256": source.sha256},
                use_multipart=source.size > PART,
                chunk_size=max(PART, -(-source.size // _MOST_PARTS)),
                max_concurrency=UPLOADS,
            )
        except Exception as error:
            failure = self._failure(error)
            raise (self.unreachable(failure) if isinstance(failure, ConnectionLostError) else failure) from None
        stat = self.attempt(self.stat)
        if stat.size != source.size:
            raise BentoError(f"{self.address}: {stat.size} bytes arrived, but {source.size} were sent. Try again.")

    def _failure(self, error: Exception) -> BaseException:
        from obstore import exceptions

        reason = _first_line(error)
        if isinstance(error, FileNotFoundError | exceptions.NotFoundError):
            # A missing bucket has error codes of its own: NoSuchBucket of S3, ContainerNotFound of Azure.
            if "NoSuchBucket" in str(error) or "ContainerNotFound" in str(error):
                return self.refused(f"there is no {self.address.host!r}", "Look at the spelling, or make it.")
            return self.missing()
        if isinstance(error, exceptions.PreconditionError):
            return ChangedError()
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
            return self.refused(reason, self._remedy)
        if isinstance(error, exceptions.BaseError) and not _final(str(error)):
            return ConnectionLostError(reason)
        if isinstance(error, exceptions.BaseError):
            return self.refused(reason, self._remedy)
        return error


def _retries(count: int) -> dict[str, Any]:
    return {"max_retries": count, "backoff": BACKOFF, "retry_timeout": timedelta(seconds=120)}


def store_class(kind: str, extra: str) -> Any:
    """Return one of obstore's classes. Raises BentoError if it is not installed."""
    try:
        from obstore import store as stores
    except ImportError:
        raise needs("obstore", extra) from None
    return getattr(stores, kind)


def _final(reason: str) -> bool:
    """Return whether another try would be answered in the same way.

    So it is with all answers but those of a server in trouble.
    """
    import re

    match = re.search(r"status code: (\d{3})", reason)
    return bool(match and match[1][0] in "34" and match[1] not in ("408", "429")) or "credential" in reason.lower()


def _first_line(error: Exception) -> str:
    """Return the line of an error that a person can use: the rest is Rust's, and has addresses with signatures."""
    import re

    line = str(error).partition("\n")[0]
    line = re.sub(r"<\?xml.*", "", line)
    line = re.sub(r" in [0-9.]+\w+, after .*?retry_timeout: \w+ +", " ", line)
    line = re.sub(r"(https?://[^\s?]*)\?\S*", r"\1", line)
    code = re.search(r"<Code>(\w+)</Code>", str(error))
    return line.strip(" :") + (f" ({code[1]})" if code else "")
