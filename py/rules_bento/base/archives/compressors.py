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
LEVEL = 5  # of deflate. Code has 1 percent more bytes than with 7, and numbers as text 5, in a fifth of the time.
_SAMPLES, _SAMPLE = 4, 4096
_WORTH = 0.75  # text and code are below 0.6, weights at least 0.8
_GLANCE = 1024  # bytes of each sample
_SAMPLE_LEVEL = 9  # only this level of zlib-ng finds repetitions of 3 bytes, which machine code has
_HOPELESS = 0.95  # compressed, encrypted, and random data doesn't get smaller


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


def compressible(block: bytes) -> bool:
    """Return whether a block is worth compressing. Small blocks are always worth compressing.

    A compressor must shrink a sample of a larger block by at least a quarter. Text and code shrink enough, but
    weights don't: 32-bit floats shrink by only 7 percent, and 16-bit floats by 8 to 25 percent.
    """
    if len(block) <= _SAMPLES * _SAMPLE:
        return True
    step = (len(block) - _SAMPLE) // (_SAMPLES - 1)

    def share(size: int) -> float:
        """Return the ratio of compressed size to original size for the first `size` bytes of each sampled piece."""
        sample = b"".join([block[start : start + size] for start in range(0, _SAMPLES * step, step)])
        return len(zlib_ng().compress(sample, _SAMPLE_LEVEL)) / len(sample)

    return share(_GLANCE) <= _HOPELESS and share(_SAMPLE) <= _WORTH


def _check(name: str, found: str, expected: str) -> None:
    if found != expected:
        problem = f"version {found} would write other bytes than version {expected}"
        raise BentoError(problem, place=name, remedy="Install rules-bento with its dependencies from PyPI.")
