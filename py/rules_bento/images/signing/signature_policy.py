"""Reads signature policies: YAML files that list the required signatures and attestations of artifacts."""

from __future__ import annotations

from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError, page
from rules_bento.base.formats import MAX_BYTES
from rules_bento.base.formats.schema import validate
from rules_bento.base.formats.yaml import read_mapping
from rules_bento.base.typing_lite import Any
from rules_bento.images.signing import cosign, provenance, read_named, verification
from rules_bento.images.signing.keyless import Identity, entry_check, read_trusted_root
from rules_bento.images.signing.keys import PublicKey, read_public
from rules_bento.images.signing.verification import Conditions

_TYPES = {
    "signature": ((), "signature"),
    "provenance": ((provenance.PREDICATE,), "provenance"),
    "sbom": (cosign.SBOMS, "SBOM"),
    "verification": ((verification.PREDICATE,), "verification summary"),
}
_SIGNER = {"key?": str, "identity?": str, "issuer?": str, "log?": bool}
_CONDITIONS = {"max-age?": int, "levels?": [str], "inputs?": [str], "repository?": str}  # of a verification
_SHAPE = {"require": [_SIGNER | _CONDITIONS | {"type?": str, "any?": [_SIGNER]}]}
_REMEDY = f"For the format, see {page('signing.md')}."


class SignatureRule(NamedTuple):
    """A required signature or attestation by one of `signers`. `kinds` lists the predicate types of an attestation.

    The predicate of a verification must fulfill `conditions`.
    """

    kinds: tuple[str, ...]
    noun: str
    signers: tuple[PublicKey | Identity, ...]
    conditions: Conditions | None = None


def default_rules(signer: PublicKey | Identity, has_provenance: bool, has_sbom: bool) -> list[SignatureRule]:
    """Return the default rules of `bento verify`: a signature and the selected attestations, all by `signer`."""
    types = {"signature": True, "provenance": has_provenance, "sbom": has_sbom}
    return [SignatureRule(*_TYPES[name], (signer,)) for name, is_required in types.items() if is_required]


def read_policy(path: Path, trusted_root: Path | None) -> list[SignatureRule]:
    """Return the rules in a policy file. Artifacts must satisfy all rules. Key paths are relative to the policy file.

    Raises BentoError for an invalid policy, key, or trusted root.
    """
    document = read_mapping(read_named(str(path), Path(), MAX_BYTES, _REMEDY), str(path))
    validate(document, _SHAPE, str(path), _REMEDY)
    if set(document) != {"require"} or not document["require"]:
        raise BentoError("expected only the field 'require', with at least one rule", place=str(path), remedy=_REMEDY)
    return [_rule(item, path, trusted_root) for item in document["require"]]


def _rule(item: dict[str, Any], path: Path, trusted_root: Path | None) -> SignatureRule:
    kind = item.pop("type", "signature")
    if kind not in _TYPES and ":" not in kind:
        raise BentoError(f"expected {', '.join(_TYPES)}, or a predicate URI, got {kind!r}.", place=f"{path}: type")
    kinds, noun = _TYPES.get(kind, ((kind,), f"attestation of type {kind}"))
    names = [name.removesuffix("?") for name in _CONDITIONS]
    given = {name.replace("-", "_"): item.pop(name) for name in names if name in item}
    if given and kind != "verification":
        problem = f"{', '.join(names)} are only for the type verification"
        raise BentoError(problem, place=str(path), remedy=_REMEDY)
    values: Any = {name: tuple(each) if isinstance(each, list) else each for name, each in given.items()}
    signers = item["any"] if set(item) == {"any"} else [item]
    if not signers:
        raise BentoError("any: expected at least one signer", place=str(path), remedy=_REMEDY)
    checked = Conditions(**values) if kind == "verification" else None
    return SignatureRule(kinds, noun, tuple(_signer(each, path, trusted_root) for each in signers), checked)


def _signer(item: dict[str, Any], path: Path, trusted_root: Path | None) -> PublicKey | Identity:
    if "key" in item and set(item) <= {"key", "log"}:
        return read_public(item["key"], path.parent, entry_check(trusted_root) if item.get("log") else None)
    if set(item) == {"identity", "issuer"}:
        return Identity(item["identity"], item["issuer"], read_trusted_root(trusted_root))
    keys = ", ".join(map(str, item)) or "none"
    problem = f"each rule must contain 'key', 'any', or both 'identity' and 'issuer'; got {keys}"
    raise BentoError(problem, place=str(path), remedy=_REMEDY)
