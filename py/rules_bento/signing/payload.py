"""Makes the payload that cosign signs for an image: a small JSON document (simple signing) with its name and digest."""

from __future__ import annotations

from rules_bento.formats.json import read_object
from rules_bento.hints import Any
from rules_bento.signing.encoding import to_json
from rules_bento.signing.errors import SignatureError

MEDIA_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"

_KIND = "cosign container image signature"


def make(name: str, digest: str) -> bytes:
    """Return the document for an image, `registry/repository` and its digest."""
    critical = {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": digest}, "type": _KIND}
    return to_json({"critical": critical, "optional": None})


def read(content: bytes, digest: str) -> str:
    """Return the name that the document calls the image. Raises SignatureError if it is not of that digest."""
    critical = read_object(content, "the signed document").get("critical")
    if not isinstance(critical, dict) or critical.get("type") != _KIND:
        raise SignatureError("what is signed is no image")
    if _within(critical, "image", "docker-manifest-digest") != digest:
        raise SignatureError("another digest is signed")
    name = _within(critical, "identity", "docker-reference")
    return name if isinstance(name, str) else ""


def _within(document: dict[str, Any], key: str, inner: str) -> Any:
    value = document.get(key)
    return value.get(inner) if isinstance(value, dict) else None
