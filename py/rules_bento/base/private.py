"""Uses private names of other packages, for which the packages have no public ones.

tests/test_private.py fails if a package changes one of the names. The other private interface is the format of
`bentos/packages/fake_interpreter.py`, which tests of locks compare with uv.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any, TypeVar

    import urllib3

    _Reader = TypeVar("_Reader")


def replace_reader(response: http.client.HTTPResponse, make: Callable[[Any], _Reader]) -> _Reader:
    """Replace the reader of a response whose head wasn't read yet, and return it. Read in Python 3.10 to 3.13."""
    reader: Any = make(response.fp.detach())
    response.fp = reader
    return reader  # type: ignore[no-any-return]


def set_pools(manager: urllib3.PoolManager, pools: dict[str, type[urllib3.HTTPConnectionPool]]) -> None:
    """Set the class of the connection pools for each scheme. Read in urllib3 2.8."""
    manager.pool_classes_by_scheme = pools


def bundle_times(verifier: Any, bundle: Any) -> list[datetime]:
    """Return the verified times of a sigstore bundle."""
    return [stamp.time for stamp in verifier._establish_time(bundle)]


def timestamp_time(verifier: Any, response: Any, signature: bytes) -> datetime | None:
    """Return the time of an RFC 3161 timestamp of a signature, or None if a sigstore verifier doesn't trust it."""
    stamp = verifier._verify_signed_timestamp(response, signature)
    return stamp.time if stamp else None


def trusted_root_model(root: Any) -> Any:
    """Return the sigstore_models.trustroot.v1.TrustedRoot of a sigstore.models.TrustedRoot."""
    return root._inner


def verify_log_entry(entry: Any, root: Any) -> None:
    """Verify the signatures of a transparency log entry. Raises an exception of sigstore for an invalid entry."""
    from sigstore._internal.trust import KeyringPurpose

    entry._verify(root.rekor_keyring(KeyringPurpose.VERIFY))
