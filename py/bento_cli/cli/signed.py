"""`bento verify --key`: verifies signatures and contents of what is named."""

from __future__ import annotations

from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.signing import SignatureError
from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.cli import registries, show, status

if TYPE_CHECKING:
    from argparse import Namespace

    from rules_bento.artifacts.signatures import Place
    from rules_bento.signing.keys import PublicKey


def run(options: Namespace) -> int:
    """Verify signatures; the status says whether all hold. Raises BentoError for what cannot be looked at."""
    from rules_bento.signing.keys import read_public

    if not options.tags:
        raise BentoError("--key: nothing is named. Name archives, OCI layouts, or oci://registry/repository:tag.")
    if options.signature and len(options.tags) != 1:
        raise BentoError("--signature: is of one archive. Name one.")
    key = read_public(options.key, Path())
    items = [_verified(options, target, key) for target in options.tags]
    if not show.data(items, options.output):
        for item in items:
            _print(item)
    return status.OK if all(item["signed"] for item in items) else status.FOUND


def _verified(options: Namespace, target: str, key: PublicKey) -> dict[str, Any]:
    try:
        return {"target": target, "signed": True, **_facts(options, target, key)}
    except SignatureError as error:
        return {"target": target, "signed": False, "problem": str(error).removeprefix(f"{target}: ")}


def _facts(options: Namespace, target: str, key: PublicKey) -> dict[str, Any]:
    """Return what is known of a thing whose signature holds. Raises SignatureError if none does."""
    from rules_bento.registry.reference import SCHEME

    if target.startswith(SCHEME):
        return _in_registry(options, target, key)
    path = Path(target)
    if (path / "oci-layout").is_file():
        return _in_layout(options, path, key)
    if path.is_file():
        return _of_file(options, path, key)
    raise BentoError(
        f"{target}: not an archive, an OCI layout, or oci://registry/repository:tag. Entries of the store have no "
        f"signatures: verify the archive before you import it."
    )


def _in_registry(options: Namespace, target: str, key: PublicKey) -> dict[str, Any]:
    from rules_bento.artifacts.signatures import InRegistry
    from rules_bento.registry.reference import Reference

    reference = Reference.from_url(target)
    with registries.connected(options, f"Verifying {reference}") as (servers, progress):
        digest = servers.repository(reference).get_manifest(reference.target).descriptor.digest
        return _beside(options, InRegistry(reference, servers, progress), digest, key)


def _in_layout(options: Namespace, path: Path, key: PublicKey) -> dict[str, Any]:
    from rules_bento.artifacts.signatures import InLayout
    from rules_bento.registry.layout import Layout

    layout = Layout.open(path)
    root = layout.find()
    facts = _beside(options, InLayout(layout), root.descriptor.digest, key)
    try:
        layout.check(root)
    except BentoError as error:
        raise SignatureError(str(error)) from None
    return facts


def _of_file(options: Namespace, path: Path, key: PublicKey) -> dict[str, Any]:
    from rules_bento.signing import cosign

    if options.provenance:
        raise BentoError(
            f"{path}: --provenance is only supported for images and Bentos in registries and layouts. Remove it."
        )
    cosign.verify_file(path, Path(options.signature) if options.signature else cosign.signature_path(path), key)
    return {}


def _beside(options: Namespace, place: Place, digest: str, key: PublicKey) -> dict[str, Any]:
    from rules_bento.artifacts import signatures

    if options.signature:
        raise BentoError("--signature: is for archives. Remove it: images have their signatures next to them.")
    facts: dict[str, Any] = {"digest": digest, "signed_as": signatures.verify(place, digest, key)}
    if options.provenance:
        facts["provenance"] = signatures.verify_provenance(place, digest, key)
    return facts


def _print(item: dict[str, Any]) -> None:
    if not item["signed"]:
        show.out(f"{show.bad('refused')}  {show.plain(item['target'])}: {show.plain(item['problem'])}")
        return
    line = f"{show.good('signed')}  {show.plain(item['target'])}"
    if "digest" in item:
        line += f": {item['digest']}" + (f", as {show.plain(item['signed_as'])}" if item["signed_as"] else "")
    if "provenance" in item:
        line += f", built by {show.plain(_builder(item['provenance']))}"
    show.out(line)


def _builder(provenance: dict[str, Any]) -> str:
    details = provenance.get("runDetails")
    builder = details.get("builder") if isinstance(details, dict) else None
    return str(builder.get("id")) if isinstance(builder, dict) else "nobody"
