"""`bento sign`: signs archives, OCI layouts, and what registries have."""

from __future__ import annotations

from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import registries, show, signing, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind
    from rules_bento.signing.keys import PrivateKey

    from bento_cli.library import Store


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for what is signed, the key and the output."""
    parser.add_argument(
        "targets", metavar="PATH", nargs="+", help=f"sign this archive, OCI layout, or {registries.ADDRESS}"
    )
    parser.add_argument("--key", metavar="KEY", required=True, help=f"sign with this private key: {signing.KEY}")
    signing.add_password(parser)
    registries.add_arguments(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Signatures are in cosign's formats: for an archive a file next to it (.sig), for layouts and\n"
        "registries a manifest. Keys are those of `cosign generate-key-pair`, or unencrypted PKCS #8 keys."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Sign each reference, and print where its signature is."""
    key = signing.private_key(options.key, options)
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
    with registries.connected(options, f"Signing {reference}") as (servers, progress):
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
