"""Records signatures in a transparency log through the Rekor v2 API. The module `keyless` verifies log entries."""

from __future__ import annotations

import time

from rules_bento.errors import BentoError
from rules_bento.formats import MAX_BYTES
from rules_bento.formats.json import read_object
from rules_bento.formats.schema import validate
from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.transport import Transport
from rules_bento.signing import SignatureError, read_named, to_base64, to_json
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_SERVICE = {"url": str, "majorApiVersion": int, "validFor": {"start": str, "end?": str}}
_SHAPE = {"signingConfig": {"rekorTlogUrls": [_SERVICE]}}
_REMEDY = "Specify a client trust configuration with a Rekor v2 service."
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


def find_log(trust_config: str, directory: Path) -> str:
    """Return the URL of the newest valid Rekor v2 log in `directory/trust_config`. Raises BentoError if none exists."""
    config = read_object(read_named(trust_config, directory, MAX_BYTES, _REMEDY), trust_config)
    validate(config, _SHAPE, trust_config, _REMEDY)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    logs = [log for log in config["signingConfig"]["rekorTlogUrls"] if log["majorApiVersion"] == 2]
    valid = [log for log in logs if log["validFor"]["start"] <= now < log["validFor"].get("end", "9")]
    if not valid:
        problem = "rekorTlogUrls contains no valid log with majorApiVersion 2"
        raise BentoError(problem, place=trust_config, remedy=_REMEDY)
    return str(max(valid, key=lambda log: log["validFor"]["start"])["url"])


def create_entry(url: str, verifier: dict[str, Any], digest: bytes, signature: str) -> dict[str, Any]:
    """Record a base64 signature and its public key, `verifier`. Returns the log entry. Raises BentoError on failure."""
    content = {"content": signature, "verifier": verifier}
    request = to_json({"hashedRekordRequestV002": {"digest": to_base64(digest), "signature": content}})
    transport = Transport()
    try:
        with transport.exchange("POST", f"{url.rstrip('/')}/api/v2/log/entries", _JSON, request) as response:
            answer, status = response.read(limits.TOKEN), response.status
    except ConnectionLostError as error:
        raise BentoError(
            str(error), place=url, remedy="Check the connection to the transparency log, and sign again."
        ) from None
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
