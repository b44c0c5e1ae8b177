"""Creates and verifies signatures and attestations in cosign's formats, and creates SLSA provenance.

Only processes that push or sign receive a private key. Actions import only `provenance`, which requires no key.
"""

from __future__ import annotations

import os

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from pathlib import Path


_VARIABLE = "env://"


class SignatureError(BentoError):
    """Raised if a signature is missing, is invalid, or is for another object."""


def read_named(name: str, directory: Path, most: int, remedy: str) -> bytes:
    """Read a file or an environment variable. `name` is a path relative to `directory`, or `env://VARIABLE`.

    Raises BentoError if the content is missing or exceeds `most` bytes. The message begins with `name`. If the content
    is too large, the message ends with `remedy`.
    """
    try:
        if name.startswith(_VARIABLE):
            content = os.environ[name.removeprefix(_VARIABLE)].encode("utf-8", "surrogateescape")
        else:
            with (directory / name).open("rb") as file:
                content = file.read(most + 1)
    except KeyError:
        raise BentoError("the variable isn't set", place=name, remedy="Set the variable, or specify a file.") from None
    except ValueError:
        problem = "the path contains a NUL character"
        raise BentoError(problem, place=repr(name), remedy="Remove the character.") from None
    except OSError as error:
        problem = f"cannot read the file: {error.strerror}"
        raise BentoError(problem, place=name, remedy="Check the path and permissions.") from None
    if len(content) > most:
        raise BentoError(f"the content exceeds {most} bytes", place=name, remedy=remedy)
    return content


def to_base64(content: bytes) -> str:
    """Encode bytes as base64, in the standard alphabet with padding."""
    import base64

    return base64.b64encode(content).decode("ascii")


def from_base64(text: Any, what: str, remedy: str = "Sign the artifact again.") -> bytes:
    """Decode a base64 string. Raises SignatureError for any other value. `what` describes the value."""
    import base64

    try:
        if not isinstance(text, str):
            raise TypeError
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise SignatureError("invalid base64", place=what, remedy=remedy) from None


def to_json(document: Mapping[str, Any]) -> bytes:
    """Encode a document as compact JSON with sorted keys, so that equal documents have equal bytes."""
    import json

    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
