"""Provides the compressors on which the bytes of layers and archives depend: pinned versions, the same on each CPU.

Python's zlib isn't suitable. Each system has its own version or fork, and each writes other bytes. Therefore, the
digests of images would depend on the machine.
"""

from __future__ import annotations

from functools import cache

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any

# Update the versions together with those of zlib-ng and zstandard in py/pyproject.toml and tools/locks.
_ZLIB_NG = "2.3.3"
_ZSTD = "1.5.7"
DEFLATED, RAW, GZIP = 8, -15, 31  # zlib's numbers: the method, and two formats


@cache
def zlib_ng() -> Any:
    """Return the module of zlib-ng. Raises BentoError for another version, for example of a system's package."""
    from zlib_ng import zlib_ng as module

    _check("zlib-ng", str(module.ZLIBNG_RUNTIME_VERSION), _ZLIB_NG)
    return module


@cache
def zstd() -> Any:
    """Return the module `zstandard`. Raises BentoError for another version of libzstd."""
    import zstandard

    _check("libzstd", ".".join(map(str, zstandard.ZSTD_VERSION)), _ZSTD)
    return zstandard


def _check(name: str, found: str, expected: str) -> None:
    if found != expected:
        problem = f"version {found} would write other bytes than version {expected}"
        raise BentoError(problem, place=name, remedy="Install rules-bento with its dependencies from PyPI.")
