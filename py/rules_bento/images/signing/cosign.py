"""Reads and writes cosign's formats: bundles with envelopes of in-toto statements (DSSE), or with file signatures.

Signatures and attestations are sigstore bundles, as in cosign 3. For signatures with a key, the transparency log is
optional. The module `keyless` handles keyless signatures.
"""

from __future__ import annotations

from pathlib import Path

from rules_bento.base.archives import sha256_of
from rules_bento.base.errors import BentoError, problem_of
from rules_bento.base.formats import FormatError
from rules_bento.base.formats.json import read_object
from rules_bento.base.typing_lite import Any
from rules_bento.images.signing import SignatureError, create_entry, from_base64, read_named, to_base64, to_json
from rules_bento.images.signing.keyless import Identity, IdentitySigner
from rules_bento.images.signing.keys import PrivateKey, PublicKey, sha256_digest

STATEMENT = "https://in-toto.io/Statement/v1"
_STATEMENTS = (STATEMENT, "https://in-toto.io/Statement/v0.1")
_PAYLOAD = "application/vnd.in-toto+json"
_MAX_ITEMS = 100  # signatures of an envelope, subjects of a statement

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle"  # the prefix of the media types of bundles
BUNDLE = f"{BUNDLE_TYPE}.v0.3+json"
SIGNED = "https://sigstore.dev/cosign/sign/v1"  # the type of a statement that only confirms a signature

CYCLONEDX, SPDX = SBOMS = ("https://cyclonedx.org/bom", "https://spdx.dev/Document")  # types of statements

MAX_FILE_BYTES = 1 << 20  # the maximum size of a signature file


def _within(document: dict[str, Any], key: str, inner: str) -> Any:
    value = document.get(key)
    return value.get(inner) if isinstance(value, dict) else None


def make_statement(name: str, digest: str, predicate_type: str, predicate: dict[str, Any]) -> bytes:
    """Return an in-toto statement about the object with the digest `sha256:<hex>`."""
    algorithm, _, value = digest.partition(":")
    subject = [{"name": name, "digest": {algorithm: value}}]
    return to_json({"_type": STATEMENT, "subject": subject, "predicateType": predicate_type, "predicate": predicate})


def sbom_type(document: dict[str, Any], origin: str) -> str:
    """Return the predicate type of an SBOM. Raises BentoError if the format isn't CycloneDX or SPDX 2."""
    if document.get("bomFormat") == "CycloneDX":
        return CYCLONEDX
    if str(document.get("spdxVersion")).startswith("SPDX-2."):
        return SPDX
    raise BentoError("unsupported SBOM format", place=origin, remedy="Use CycloneDX or SPDX 2 in JSON format.")


def sign_statement(statement: bytes, key: PrivateKey) -> dict[str, Any]:
    """Sign a statement, and return the DSSE envelope as a JSON object."""
    signature = key.sign(sha256_digest(_authenticated(_PAYLOAD, statement)))
    signatures = [{"keyid": "", "sig": to_base64(signature)}]
    return {"payloadType": _PAYLOAD, "payload": to_base64(statement), "signatures": signatures}


def make_bundle(key: PrivateKey, digest: bytes, signature: str, **content: Any) -> bytes:
    """Return a bundle with the signed `content`. If `key.log` is set, creates an entry in this log."""
    material: dict[str, Any] = {"publicKey": {"hint": to_base64(sha256_digest(key.public.to_der()))}}
    if key.log:
        material["tlogEntries"] = [create_entry(key.log, key.public.verifier(), digest, signature)]
    return to_json({"mediaType": BUNDLE, "verificationMaterial": material, **content})


def bundle_statement(statement: bytes, key: PrivateKey | IdentitySigner) -> bytes:
    """Sign a statement, and return the bundle. Raises BentoError if a signing service fails."""
    if isinstance(key, IdentitySigner):
        return key.sign_statement(statement)
    envelope = sign_statement(statement, key)
    digest = sha256_digest(_authenticated(_PAYLOAD, statement))
    return make_bundle(key, digest, envelope["signatures"][0]["sig"], dsseEnvelope=envelope)


def open_envelope(document: dict[str, Any], key: PublicKey, material: Any) -> bytes:
    """Return the signed statement. Raises SignatureError if no signature matches `key`. `material` has log entries."""
    signatures = document.get("signatures")
    if document.get("payloadType") != _PAYLOAD or not isinstance(signatures, list):
        raise SignatureError("the envelope isn't a signed in-toto statement")
    if len(signatures) > _MAX_ITEMS:
        raise SignatureError(f"the envelope has more than {_MAX_ITEMS} signatures")
    payload = from_base64(document.get("payload"), "the statement in the envelope")
    digest = sha256_digest(_authenticated(_PAYLOAD, payload))
    for item in signatures:
        signature = from_base64(item.get("sig") if isinstance(item, dict) else None, "a signature of the envelope")
        if key.verifies(signature, digest, material):
            return payload
    raise SignatureError("the signature was created with a different key")


def read_statement(statement: bytes, digest: str) -> tuple[str, str, dict[str, Any]]:
    """Return a statement's subject name, predicate type, and predicate. Raises SignatureError if no subject matches."""
    document = read_object(statement, "the signed statement")
    subjects, predicate = document.get("subject"), document.get("predicate")
    kind = document.get("predicateType")
    if (
        document.get("_type") not in _STATEMENTS
        or not isinstance(subjects, list)
        or not isinstance(kind, str)
        or not isinstance(predicate or {}, dict)
    ):
        raise SignatureError("the signed document isn't an in-toto statement")
    algorithm, _, value = digest.partition(":")
    for subject in subjects[:_MAX_ITEMS]:
        if isinstance(subject, dict) and _within(subject, "digest", algorithm) == value:
            name = subject.get("name")
            return name if isinstance(name, str) else "", kind, predicate or {}
    raise SignatureError("the signature is for a different digest")


def _authenticated(kind: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding of a payload: the bytes that DSSE signs."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def bundled_statement(content: bytes, key: PublicKey | Identity) -> bytes:
    """Return the statement in a bundle. Raises SignatureError unless the key or identity signed the statement."""
    if isinstance(key, Identity):
        return key.open_bundle(content)
    envelope, material = _bundle_part(read_object(content, "its JSON"), "dsseEnvelope")
    return open_envelope(envelope, key, material)


def _bundle_part(document: dict[str, Any], name: str) -> tuple[dict[str, Any], Any]:
    """Return the object `name` and the verification material of a bundle. Raises SignatureError for other documents."""
    part = document.get(name)
    if not str(document.get("mediaType")).startswith(BUNDLE_TYPE) or not isinstance(part, dict):
        raise SignatureError(f"the document isn't a sigstore bundle with a {name}", remedy="Sign the artifact again.")
    return part, document.get("verificationMaterial")


def bundle_path(path: Path) -> Path:
    """Return the path of a file's bundle."""
    return path.with_name(f"{path.name}.sigstore.json")


def sign_file(path: Path, key: PrivateKey | IdentitySigner) -> bytes:
    """Sign a file, and return the bundle. Raises BentoError if the file is unreadable, or if a service fails."""
    digest = _digest(path)
    if isinstance(key, IdentitySigner):
        return key.sign_digest(digest) + b"\n"
    signature = to_base64(key.sign(digest))
    message = {"messageDigest": {"algorithm": "SHA2_256", "digest": to_base64(digest)}, "signature": signature}
    return make_bundle(key, digest, signature, messageSignature=message) + b"\n"


def verify_file(path: Path, signed: Path, key: PublicKey | Identity) -> None:
    """Raise SignatureError if `signed` has no valid signature of `path`. Raises BentoError if `path` is unreadable."""
    try:
        content = read_named(str(signed), Path(), MAX_FILE_BYTES, "Specify a signature file.")
    except BentoError as error:
        remedy = f"{error.remedy} Create a signature with `bento sign` if the file has none."
        raise SignatureError(error.problem, place=error.place, remedy=remedy) from None
    if isinstance(key, Identity):
        key.check_digest(content, _digest(path))
        return
    signature, material = file_signature(content, signed)
    if not key.verifies(signature, _digest(path), material):
        problem = f"{signed} isn't a signature of this file by the key {key.origin}"
        remedy = "Check the key. If the file changed, sign the file again."
        raise SignatureError(problem, place=str(path), remedy=remedy)


def file_signature(content: bytes, path: Path) -> tuple[bytes, Any]:
    """Return the signature and the verification material of a file's bundle. Raises SignatureError if it is invalid."""
    try:
        part, material = _bundle_part(read_object(content, "the bundle"), "messageSignature")
        return from_base64(part.get("signature"), "the signature of the bundle"), material
    except (FormatError, SignatureError) as error:
        raise SignatureError(f"invalid bundle: {problem_of(error)}", place=str(path)) from None


def _digest(path: Path) -> bytes:
    try:
        return bytes.fromhex(sha256_of(path))
    except OSError as error:
        problem = f"cannot read the file: {error.strerror}"
        raise BentoError(problem, place=str(path), remedy="Check the path and permissions.") from None
