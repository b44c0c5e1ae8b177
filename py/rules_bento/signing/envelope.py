"""DSSE envelopes, and the statements of in-toto that are in them."""

from __future__ import annotations

from rules_bento.formats.json import read_object
from rules_bento.hints import TYPE_CHECKING, Any
from rules_bento.signing.encoding import from_base64, to_base64, to_json
from rules_bento.signing.errors import SignatureError
from rules_bento.signing.keys import digest_of

if TYPE_CHECKING:
    from rules_bento.signing.keys import PrivateKey, PublicKey

MEDIA_TYPE = "application/vnd.dsse.envelope.v1+json"
STATEMENT = "https://in-toto.io/Statement/v1"

_STATEMENTS = (STATEMENT, "https://in-toto.io/Statement/v0.1")
_PAYLOAD = "application/vnd.in-toto+json"
_MOST = 100  # signatures of an envelope, subjects of a statement that are looked at


def make_statement(name: str, digest: str, predicate_type: str, predicate: dict[str, Any]) -> bytes:
    """Return a statement about what has the digest, `sha256:<hex>`."""
    algorithm, _, value = digest.partition(":")
    return to_json(
        {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {algorithm: value}}],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def make(statement: bytes, key: PrivateKey) -> bytes:
    """Return an envelope with the statement, signed."""
    signature = key.sign(digest_of(_authenticated(_PAYLOAD, statement)))
    return to_json(
        {
            "payloadType": _PAYLOAD,
            "payload": to_base64(statement),
            "signatures": [{"keyid": "", "sig": to_base64(signature)}],
        }
    )


def opened(document: dict[str, Any], key: PublicKey) -> bytes:
    """Return the statement in an envelope. Raises SignatureError unless the key has signed it."""
    signatures = document.get("signatures")
    if document.get("payloadType") != _PAYLOAD or not isinstance(signatures, list) or len(signatures) > _MOST:
        raise SignatureError(f"its envelope has no statement of in-toto, or more than {_MOST} signatures")
    payload = from_base64(document.get("payload"), "the statement in its envelope")
    digest = digest_of(_authenticated(_PAYLOAD, payload))
    for item in signatures:
        signature = from_base64(item.get("sig") if isinstance(item, dict) else None, "a signature of its envelope")
        if key.verifies(signature, digest):
            return payload
    raise SignatureError("another key has signed it")


def read_statement(statement: bytes, digest: str) -> tuple[str, dict[str, Any]]:
    """Return the type of the predicate and the predicate. Raises SignatureError if it is of another digest."""
    document = read_object(statement, "the signed statement")
    subjects, predicate = document.get("subject"), document.get("predicate")
    kind = document.get("predicateType")
    if (
        document.get("_type") not in _STATEMENTS
        or not isinstance(subjects, list)
        or not isinstance(kind, str)
        or not isinstance(predicate or {}, dict)
    ):
        raise SignatureError("what is signed is no statement of in-toto")
    algorithm, _, value = digest.partition(":")
    if not any(_digests(subject).get(algorithm) == value for subject in subjects[:_MOST]):
        raise SignatureError("another digest is signed")
    return kind, predicate or {}


def _digests(subject: Any) -> dict[str, Any]:
    digests = subject.get("digest") if isinstance(subject, dict) else None
    return digests if isinstance(digests, dict) else {}


def _authenticated(kind: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
