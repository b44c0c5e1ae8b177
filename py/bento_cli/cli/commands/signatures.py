"""`bento sign` and `bento verify`: sign artifacts, and verify signatures and contents."""

from __future__ import annotations

from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.signing import SignatureError
from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.cli import arguments, show, status
from bento_cli.store.verification import Finding, Verified

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.artifacts.signatures import Place
    from rules_bento.bento.kinds import Kind
    from rules_bento.signing.keys import PrivateKey, PublicKey

    from bento_cli.library import Store
    from bento_cli.store.entries import Entry


def add_sign_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "targets", metavar="PATH", nargs="+", help=f"sign this archive, OCI layout, or {arguments.ADDRESS}"
    )
    parser.add_argument("--key", metavar="KEY", required=True, help=f"sign with this private key: {arguments.KEY}")
    arguments.add_password(parser)
    arguments.add_insecure(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Signatures are in cosign's formats: for an archive a file next to it (.sig), for layouts and\n"
        "registries a manifest. Keys are those of `cosign generate-key-pair`, or unencrypted PKCS #8 keys."
    )


def run_sign(options: Namespace, store: Store, kind: Kind) -> int:
    key = arguments.private_key(options.key, options)
    done = [{"target": target, "signature": _sign(options, target, key)} for target in options.targets]
    if not show.data(done, options.output):
        for item in done:
            show.out(f"Signed {item['target']}: {item['signature']}")
    return status.OK


def _sign(options: Namespace, target: str, key: PrivateKey) -> str:
    """Sign one reference, and return where its signature is."""
    from rules_bento.registry.reference import SCHEME

    if target.startswith(SCHEME):
        return _sign_in_registry(options, target, key)
    path = Path(target)
    if (path / "oci-layout").is_file():
        return _sign_layout(path, key)
    if path.is_dir():
        raise BentoError(f"{target}: a directory can't be signed. Sign an archive of it.")
    return _sign_file(path, key)


def _sign_in_registry(options: Namespace, target: str, key: PrivateKey) -> str:
    from rules_bento.artifacts import signatures
    from rules_bento.registry.reference import Reference

    reference = Reference.from_url(target)
    with arguments.connected(options, f"Signing {reference}") as (servers, progress):
        digest = servers.repository(reference).get_manifest(reference.target).descriptor.digest
        signatures.sign(signatures.InRegistry(reference, servers, progress), reference.name, digest, key)
    return f"oci://{reference.with_tag(signatures.tag_of(signatures.SIGNATURES, digest))}"


def _sign_layout(path: Path, key: PrivateKey) -> str:
    from rules_bento.artifacts import signatures
    from rules_bento.registry.layout import Layout

    layout = Layout.open(path)
    root = layout.find()
    layout.check(root)
    with layout.lock():
        signatures.sign(signatures.InLayout(layout), path.name, root.descriptor.digest, key)
    return signatures.tag_of(signatures.SIGNATURES, root.descriptor.digest)


def _sign_file(path: Path, key: PrivateKey) -> str:
    from rules_bento.archives.atomic import atomic_file
    from rules_bento.signing import cosign

    text = cosign.sign_file(path, key)
    with atomic_file(cosign.signature_path(path)) as file:
        file.write(text)
    return str(cosign.signature_path(path))


def add_verify_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "tags",
        metavar="TAG",
        nargs="*",
        help=f"check this {kind.noun} with its models, or this archive (default: all entries); with --key, also "
        f"{arguments.ADDRESS}",
    )
    parser.add_argument("--key", metavar="KEY", help=f"verify signatures with this public key: {arguments.KEY}")
    parser.add_argument(
        "--signature", metavar="FILE", help="read the signature of an archive from this file (default: ARCHIVE.sig)"
    )
    parser.add_argument("--provenance", action="store_true", help="also require signed provenance; requires --key")
    arguments.add_insecure(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Entries are compared with what was imported, so entries that BentoML built can't be verified. With\n"
        "--key, archives, OCI layouts, and artifacts of registries are verified by cosign's signatures.\n"
        f"Only the registry is contacted. The exit status is {status.FOUND} if something is damaged or isn't\n"
        "signed with the key."
    )


def run_verify(options: Namespace, store: Store, kind: Kind) -> int:
    from bento_cli.library import is_archive

    if options.key:
        return _verify_signatures(options)
    if options.signature or options.provenance:
        raise BentoError("--signature, --provenance: require the public key. Add --key.")

    archives = [path for path in map(is_archive, options.tags) if path]
    tags = [tag for tag in options.tags if not is_archive(tag)]
    for path in archives:
        if not path.exists():
            raise BentoError(f"{path}: no such file. Check the path.")
    with show.progress("Verifying") as tell:
        entries = [entry for tag in tags for entry in _with_models(tag, store, kind)]
        verified = store.verify(*entries, progress=tell) if entries or not archives else Verified(0, 0, (), (), ())
        verified = _with_archives(verified, archives)
    if not show.data(_verified_data(verified), options.output):
        _print_verified(verified)
    return status.FOUND if verified.damages else status.OK


def _with_models(tag: str, store: Store, kind: Kind) -> list[Entry]:
    from bento_cli.store.export import models_of

    entry = store.section(kind).get(tag)
    return [entry, *models_of(store.home, entry)]


def _with_archives(verified: Verified, paths: list[Path]) -> Verified:
    from bento_cli.library import form_of
    from bento_cli.store.diff import of_archive

    damages = list(verified.damages)
    files = verified.files
    for path in paths:
        try:
            files += len(of_archive(path, form_of(path)).files)
        except BentoError as error:
            damages.append(Finding("archive", str(path), "", str(error).removeprefix(f"{path}: ")))
    return Verified(verified.entries + len(paths), files, tuple(damages), verified.changes, verified.unknown)


def _print_verified(verified: Verified) -> None:
    for damage in verified.damages:
        show.out(f"{show.bad('damaged')}  {show.plain(str(damage))}")
    for change in verified.changes:
        show.out(f"{show.changed('changed')}  {show.plain(str(change))}")
    for tag in verified.unknown:
        show.out(f"{show.faint('unknown')}  {tag}: can't be verified: this command didn't import it")
    result = show.bad(f"{len(verified.damages)} damaged") if verified.damages else show.good("nothing damaged")
    entries = f"{verified.entries:,} {'entry' if verified.entries == 1 else 'entries'}"
    show.out(f"{entries}, {show.count(verified.files, 'file')}: {result}.")


def _verified_data(verified: Verified) -> dict[str, object]:
    return {
        "entries": verified.entries,
        "files": verified.files,
        "damages": [_finding(finding) for finding in verified.damages],
        "changes": [_finding(finding) for finding in verified.changes],
        "unknown": list(verified.unknown),
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {"kind": finding.noun, "tag": finding.tag, "path": finding.path, "problem": finding.problem}


def _verify_signatures(options: Namespace) -> int:
    """Verify signatures; the status says whether all hold. Raises BentoError for what cannot be looked at."""
    from rules_bento.signing.keys import read_public

    if not options.tags:
        raise BentoError("--key: nothing is named. Name archives, OCI layouts, or oci://registry/repository:tag.")
    if options.signature and len(options.tags) != 1:
        raise BentoError("--signature: is of one archive. Name one.")
    key = read_public(options.key, Path())
    items = [_verify_signature(options, target, key) for target in options.tags]
    if not show.data(items, options.output):
        for item in items:
            _print_signature(item)
    return status.OK if all(item["signed"] for item in items) else status.FOUND


def _verify_signature(options: Namespace, target: str, key: PublicKey) -> dict[str, Any]:
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
    with arguments.connected(options, f"Verifying {reference}") as (servers, progress):
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


def _print_signature(item: dict[str, Any]) -> None:
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
