"""Creates and verifies signatures and attestations in cosign's formats, and creates SLSA provenance.

Signatures are recorded in a transparency log through the Rekor v2 API. Only processes that push or sign receive a
private key. Actions import only `provenance`, which requires no key.
"""

from __future__ import annotations

import base64
import json
import os
import time

from rules_bento.base.errors import BentoError
from rules_bento.base.formats import MAX_BYTES
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.schema import validate
from rules_bento.base.net import ConnectionLostError, limits
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from pathlib import Path

_VARIABLE = "env://"


class SignatureError(BentoError):
    """Raised if a signature is missing, is invalid, or is for another object."""


def read_named(name: str, directory: Path, most: int, remedy: str, absent: str = "") -> bytes:
    """Read a file or an environment variable. `name` is a path relative to `directory`, or `env://VARIABLE`.

    Raises BentoError if the content is missing or exceeds `most` bytes. The message begins with `name`. If the content
    is too large, the message ends with `remedy`. `absent` is a clause about how to create a missing file.
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
        hint = absent if isinstance(error, FileNotFoundError) else ""
        raise BentoError(problem, place=name, remedy=f"Check the path and permissions{hint}.") from None
    if len(content) > most:
        raise BentoError(f"the content exceeds {most} bytes", place=name, remedy=remedy)
    return content


def to_base64(content: bytes) -> str:
    """Encode bytes as base64, in the standard alphabet with padding."""
    return base64.b64encode(content).decode("ascii")


def from_base64(text: Any, what: str, remedy: str = "Sign the artifact again.") -> bytes:
    """Decode a base64 string. Raises SignatureError for any other value. `what` describes the value."""
    try:
        if not isinstance(text, str):
            raise TypeError
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise SignatureError("invalid base64", place=what, remedy=remedy) from None


def to_json(document: Mapping[str, Any]) -> bytes:
    """Encode a document as compact JSON with sorted keys, so that equal documents have equal bytes."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


_LOG_SERVICE = {"url": str, "majorApiVersion": int, "validFor": {"start": str, "end?": str}}
_LOG_SHAPE = {"signingConfig": {"rekorTlogUrls": [_LOG_SERVICE]}}
_LOG_REMEDY = "Specify a client trust configuration with a Rekor v2 service."
_JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


def find_log(trust_config: str, directory: Path) -> str:
    """Return the URL of the newest valid Rekor v2 log in `directory/trust_config`. Raises BentoError if none exists."""
    config = read_object(read_named(trust_config, directory, MAX_BYTES, _LOG_REMEDY), trust_config)
    validate(config, _LOG_SHAPE, trust_config, _LOG_REMEDY)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    logs = [log for log in config["signingConfig"]["rekorTlogUrls"] if log["majorApiVersion"] == 2]
    valid = [log for log in logs if log["validFor"]["start"] <= now < log["validFor"].get("end", "9")]
    if not valid:
        problem = "rekorTlogUrls contains no valid log with majorApiVersion 2"
        raise BentoError(problem, place=trust_config, remedy=_LOG_REMEDY)
    return str(max(valid, key=lambda log: log["validFor"]["start"])["url"])


def create_entry(url: str, verifier: dict[str, Any], digest: bytes, signature: str) -> dict[str, Any]:
    """Record a base64 signature and its public key, `verifier`. Returns the log entry. Raises BentoError on failure."""
    from rules_bento.base.net.transport import Transport

    content = {"content": signature, "verifier": verifier}
    request = to_json({"hashedRekordRequestV002": {"digest": to_base64(digest), "signature": content}})
    transport = Transport()
    try:
        with transport.exchange("POST", f"{url.rstrip('/')}/api/v2/log/entries", _JSON_HEADERS, request) as response:
            answer, status = response.read(limits.TOKEN), response.status
    except ConnectionLostError as error:
        remedy = "Check the connection to the transparency log, and sign again."
        raise BentoError(str(error), place=url, remedy=remedy) from None
    finally:
        transport.close()
    if not 200 <= status < 300:
        problem = f"the transparency log returned {status}"
        raise BentoError(problem, place=url, remedy="Check --trust-config, and sign again.")
    return read_object(answer, url)


def require_entry(material: Any, *_: object) -> None:
    """Raise SignatureError unless the verification material of a bundle contains log entries."""
    if not (isinstance(material, dict) and material.get("tlogEntries")):
        remedy = "Sign the artifact again with --trust-config."
        raise SignatureError("the signature has no transparency log entry", remedy=remedy)
