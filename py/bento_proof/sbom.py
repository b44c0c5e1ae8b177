"""Attached SBOMs: those that a person reviewed, but for serial number, time, and the image's digest."""

import base64
import hashlib
import re
from collections.abc import Collection
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from bento_proof.model import InvalidError, Report, canonical, inside, parse
from bento_proof.oci import Image

_TYPES = {"https://cyclonedx.org/bom": "application/vnd.cyclonedx+json"}
_TYPES |= {"https://spdx.dev/Document": "application/spdx+json"}
_BUNDLE = "application/vnd.dev.sigstore.bundle"
_UNCOMPARED = (("", "serialNumber"), ("metadata", "timestamp"), ("", "documentNamespace"), ("creationInfo", "created"))
_LEFT_TO_COSIGN = ("https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1")


def check(image: Image, packages: Collection[tuple[str, str]], reviewed: Collection[str], report: Report) -> None:
    """Add all that is attached, but for the SBOMs of which a person stated `digest_of`, and what is for cosign."""
    seen, mine = set[str](), sorted({f"pypi/{name}@{version}" for name, version in packages})
    for entry, content in image.attached():
        kind, document = _read(entry.media_type, content, image.entry.digest)
        if kind in _LEFT_TO_COSIGN and entry.media_type.startswith(_BUNDLE):
            continue
        digest, form = digest_of(document, _TYPES.get(kind, kind), image.entry.digest), _TYPES.get(kind, "")
        listed = {unquote(each) for each in re.findall(r'"pkg:(pypi/[^"?]+)', canonical(document))}
        reason = "isn't the SBOM that somebody reviewed"
        if (not form and kind not in _TYPES.values()) or len(content) != entry.size:
            reason = "isn't an SBOM, a signature, or provenance"
        elif sorted(listed) != mine:
            reason = "doesn't list the installed packages"
        elif not form and seen:
            reason = "is another SBOM"
        elif digest in reviewed:
            seen |= set() if form else {digest}
            continue
        elif not reviewed:
            reason = f"it wasn't reviewed ({entry.digest})"
            report.expect.setdefault("SBOM", []).append(digest)
        report.doubt(None, f"attached {kind}", reason, len(content))


def _read(kind: str, content: bytes, digest: str) -> tuple[str, dict[str, Any]]:
    """Return the kind, and the document. A bundle has the kind of its statement about the image."""
    with suppress(InvalidError, ValueError, KeyError, TypeError):
        document = parse(content, kind)
        if not kind.startswith(_BUNDLE):
            return kind, document
        if document.keys() == {"mediaType", "verificationMaterial", "dsseEnvelope"}:
            statement = parse(base64.b64decode(document["dsseEnvelope"]["payload"], validate=True), kind)
            [subject] = statement["subject"]
            if f"sha256:{subject['digest']['sha256']}" == digest and isinstance(statement["predicate"], dict):
                return str(statement["predicateType"]), statement["predicate"]
    return kind, {}


def digest_of(document: dict[str, Any], media_type: str, image: str) -> str:
    """Return the digest of what is compared of an SBOM of an image."""
    for place, name in _UNCOMPARED:
        fields = inside(document, place) if place else document
        fields |= {name: ""} if isinstance(fields.get(name), str) else {}
    text = media_type + canonical(document).replace(image, "").replace(image.removeprefix("sha256:"), "")
    return hashlib.sha256(text.encode()).hexdigest()
