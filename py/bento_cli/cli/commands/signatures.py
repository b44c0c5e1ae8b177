"""Implements `bento sign` and `bento verify`, which sign artifacts and verify signatures and contents."""

from __future__ import annotations

from pathlib import Path

import click
from rules_bento.base.archives.atomic import atomic_file
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.json import read_object
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, BinaryIO, Callable, Sequence, TypeVar
from rules_bento.images.signing import SignatureError, provenance

from bento_cli.cli import shared_options, show, status
from bento_cli.cli.command import File, Tag, command, is_reference
from bento_cli.cli.commands import proofs
from bento_cli.store.entry_store import models_of
from bento_cli.store.verification import Finding, Verified, unhashed

if TYPE_CHECKING:
    from rules_bento.base.archives.unpack import Form
    from rules_bento.images.artifacts.signatures import Place, Signing
    from rules_bento.images.registry.descriptor import Manifest
    from rules_bento.images.signing.keyless import Identity
    from rules_bento.images.signing.keys import PublicKey
    from rules_bento.images.signing.signature_policy import SignatureRule

    from bento_cli.library import Store
    from bento_cli.store.entry_store import Entry

_Details = TypeVar("_Details")
_OF_STORE = Tag(if_image="To prove its contents, add --rebuild. To verify signatures, add --key KEY.")


@command("--key cosign.key iris.bento")
@shared_options.many(
    "targets", File(), "PATH", help="Sign this archive, OCI layout, or artifact (HOST/REPOSITORY[:TAG])"
)
@shared_options.repeatable("--sbom", "Attach this SBOM as a signed attestation (CycloneDX or SPDX 2 JSON)", type=File())
@shared_options.repeatable("--attest", "Attach this JSON document as a signed attestation, such as VEX", type=File())
@shared_options.option(
    "--type URI", "The type of what --attest attaches, such as https://openvex.dev/ns/v0.2.0", name="predicate_type"
)
@shared_options.signing_options()
@shared_options.insecure
@shared_options.output("text", "json", "yaml")
def sign_command(
    store: Store,
    targets: Sequence[str],
    sbom: Sequence[str],
    attest: Sequence[str],
    predicate_type: str | None,
    insecure: Sequence[str],
    output: str,
    **signing: Any,
) -> None:
    """Sign archives, OCI layouts, and artifacts in registries.

    Signatures have cosign's formats: a file next to an archive (.sigstore.json), or a manifest in a layout or registry.
    Create keys with `cosign generate-key-pair`, or use unencrypted PKCS #8 keys. A keyless signature is public:
    sigstore's transparency log contains the identity. With a key, --trust-config adds an entry of its Rekor v2 log,
    which `cosign verify` requires.
    """
    signer = shared_options.signing("", **signing)
    if not signer:
        raise click.UsageError("One of the options --key and --keyless is required.")
    if bool(attest) != bool(predicate_type):
        raise BentoError("--attest and --type must be used together", remedy="Add the missing option.")
    stated = [_read_predicate("--sbom", name) for name in sbom]
    kind = provenance.require_uri(predicate_type, "--type") if predicate_type else ""
    stated += [_read_predicate("--attest", name, kind) for name in attest]
    done = [{"target": target, "signature": _sign(target, signer, stated, insecure)} for target in targets]
    if not show.data(done, output):
        for item in done:
            show.done(f"Signed {item['target']}: {item['signature']}")


def _read_predicate(option: str, name: str, kind: str = "") -> tuple[str, dict[str, Any]]:
    """Read an SBOM, or a document of a type. Returns the predicate type, and the document. Raises BentoError."""
    from rules_bento.images.signing.cosign import sbom_type

    try:
        document = read_object(read_file(name), name)
    except OSError as error:
        raise BentoError(f"{option}: cannot read {name}: {error.strerror}. Specify a readable file.") from None
    return kind or sbom_type(document, name), document


def _sign(target: str, signing: Signing, stated: Sequence[tuple[str, dict[str, Any]]], insecure: Sequence[str]) -> str:
    """Sign `target`, attest documents, and return the signature's location. Raises BentoError for other targets."""
    from rules_bento.images.artifacts import signatures
    from rules_bento.images.signing import cosign

    path = Path(target)
    if is_reference(target) or (path / "oci-layout").is_file():
        with shared_options.located(target, insecure, "Signing") as (place, name, root):
            place.check(root)
            signatures.sign(place, name, root.descriptor, signing)
            for kind, document in stated:
                signatures.attest(place, name, root.descriptor, kind, document, signing)
        return f"referrer of {place.name and f'oci://{place.name}@'}{root.descriptor.digest}"
    if path.is_dir():
        raise BentoError(f"{target}: directories can't be signed. Export the Bento or model, and sign the archive.")
    if stated:
        raise BentoError(f"{target}: archives have no attestations. Sign an OCI layout or a registry artifact.")
    content, signed = cosign.sign_file(path, signing), cosign.bundle_path(path)
    with atomic_file(signed) as file:  # writes: output, next to the user's archive
        file.write(content)
    return str(signed)


@command("", "--key cosign.pub iris.bento")
@click.argument(
    "tags",
    type=Tag(),
    metavar="[TAG...]",
    nargs=-1,
    help="Verify this tag, archive (- for standard input), OCI layout, or registry reference (default: all Bentos and "
    "models in the store)",
)
@shared_options.option("--key KEY", "Verify signatures with the public key in this file or env://NAME", type=File())
@shared_options.option("--certificate-identity EMAIL|URI", "Require a keyless signature from this identity")
@shared_options.option("--certificate-oidc-issuer URL", "Require an identity from this OIDC issuer")
@shared_options.option(
    "--trusted-root",
    "Verify keyless signatures with this trusted root (default: sigstore's public root); with --key, also require "
    "a transparency log entry",
    type=File(),
)
@shared_options.option("--policy", "Require the signatures and attestations that this policy file lists", type=File())
@shared_options.option("--signature", "Read the bundle from this file (default: ARCHIVE.sigstore.json)", type=File())
@shared_options.option("--provenance", "Also require signed provenance")
@shared_options.option("--sbom", "Also require a signed SBOM for each image")
@shared_options.option("--require-hashes", "Also fail if a Bento's package is pinned with neither a hash nor a commit")
@shared_options.option("--strict", "Also fail if the store has no digests for a Bento's or model's files")
@proofs.OPTIONS
@shared_options.insecure
@shared_options.output("text", "json", "yaml")
@proofs.IMAGE_OPTIONS
def verify_command(
    store: Store,
    tags: Sequence[str],
    signature: str | None,
    require_hashes: bool,
    strict: bool,
    insecure: Sequence[str],
    output: str,
    **others: Any,
) -> int:
    """Check the store or archives for damage, verify signatures, or prove the contents of an image.

    Without a key, identity, or policy, the command compares store entries with the contents that were imported. Entries
    that BentoML built can't be verified. Otherwise, the command verifies cosign signatures of archives, OCI layouts,
    and registry artifacts. It contacts only the registry, and sigstore if --trusted-root is missing. The exit code is 3
    if something is damaged or has no valid signature.

    With --rebuild, each file of an image must follow from a wheel of the lock or index, the sources, the base, or a
    release of this command, and bytecode from what the base's Python compiles. Nothing that the image states is
    trusted. Set the options of `bento image` that the image was built with, such as --extra and --env. The exit code is
    3 for findings, and 5 if only something isn't proven.
    """
    from bento_cli.library import archive_of

    of_image = proofs.options_of(others)
    if others.pop("rebuild"):
        proofs.reject_others(others | {"signature": signature, "require-hashes": require_hashes, "strict": strict})
        return proofs.rebuild(tags, store, output, insecure=insecure, **of_image)
    proofs.reject(of_image)
    signers = others
    rules = _signature_rules(signature, **signers)
    if require_hashes and (rules or "-" in tags):
        remedy = "Save the archive to a file, and run `bento verify --require-hashes FILE`."
        raise BentoError("--require-hashes can't be combined with a signer or standard input", remedy=remedy)
    if rules:
        return _verify_signatures(tags, rules, signature, insecure, output)
    for tag in tags:
        _OF_STORE.convert(tag, None, None)
    archives = {text: archive for text in tags if (archive := archive_of(text))}
    for source, _ in archives.values():
        if isinstance(source, Path) and not source.exists():
            raise BentoError(f"{source}: no such file. Specify an existing archive, or a tag.")
    with show.progress("Verifying") as progress:
        entries = [entry for tag in tags if tag not in archives for entry in _with_models(tag, store)]
        verified = store.verify(*entries, progress=progress) if entries or not archives else Verified(0, 0, (), (), ())
        verified = _with_archives(verified, archives) if archives else verified
    unhashed = _unhashed(tags, store) if require_hashes else []
    fields = {
        "entries": verified.entries,
        "files": verified.files,
        "damages": [_finding(finding) for finding in verified.damages],
        "changes": [_finding(finding) for finding in verified.changes],
        "unknown": list(verified.unknown),
        "unhashed": [_finding(finding) for finding in unhashed],
    }
    if not show.data(fields, output):
        for finding in unhashed:
            show.out(f"{show.bad('not pinned')}  {show.plain(str(finding))}")
        _print_verified(verified)
    return status.FOUND if verified.damages or unhashed or (strict and verified.unknown) else status.OK


def _unhashed(tags: Sequence[str], store: Store) -> list[Finding]:
    from bento_cli.library import form_of, is_archive

    entries = [store.bentos.get(tag) for tag in tags if not is_archive(tag)] if tags else store.bentos.list()
    sources = [(path, tag) for tag in tags if (path := is_archive(tag))]
    sources += [(entry.path, str(entry.tag)) for entry in entries]
    return [finding for path, name in sources for finding in unhashed(path, form_of(path), name)]


def _with_models(tag: str, store: Store) -> list[Entry]:
    entry = store.bentos.get(tag)
    return [entry, *models_of(store.home, entry)]


def _with_archives(verified: Verified, archives: dict[str, tuple[Path | BinaryIO, Form]]) -> Verified:
    from bento_cli.store.diff import of_archive

    damages = list(verified.damages)
    files = verified.files
    for name, archive in archives.items():
        try:
            files += len(of_archive(*archive).files)
        except BentoError as error:
            path = "<stdin>" if name == "-" else str(archive[0])
            damages.append(Finding("archive", path, "", error.below(path)))
    return Verified(verified.entries + len(archives), files, tuple(damages), verified.changes, verified.unknown)


def _print_verified(verified: Verified) -> None:
    for damage in verified.damages:
        show.out(f"{show.bad('damaged')}  {show.plain(str(damage))}")
    for change in verified.changes:
        show.out(f"{show.changed('changed')}  {show.plain(str(change))}")
    for tag in verified.unknown:
        show.out(f"{show.faint('not checked')}  {tag}: the store has no digests of its files, because BentoML saved it")
    result = show.bad(f"{len(verified.damages)} damaged") if verified.damages else show.good("nothing damaged")
    entries = f"{verified.entries:,} {'entry' if verified.entries == 1 else 'entries'}"
    unchecked = f", {len(verified.unknown):,} not checked" if verified.unknown else ""
    end = show.out if verified.damages else show.done
    end(f"{entries}, {show.count(verified.files, 'file')}: {result}{unchecked}.")


def _finding(finding: Finding) -> dict[str, str]:
    return {"kind": finding.noun, "tag": finding.tag, "path": finding.path, "problem": finding.problem}


def _signature_rules(
    signature: str | None,
    *,
    key: str | None,
    certificate_identity: str | None,
    certificate_oidc_issuer: str | None,
    trusted_root: str | None,
    policy: str | None,
    provenance: bool,
    sbom: bool,
) -> list[SignatureRule]:
    """Return the signature rules that the options specify, if any. Raises BentoError for conflicting options."""
    shared_options.exclude({"--key": key, "--certificate-identity": certificate_identity, "--policy": policy})
    is_identity = bool(certificate_identity)
    if is_identity != bool(certificate_oidc_issuer):
        remedy = "Add the missing option."
        raise BentoError("--certificate-identity and --certificate-oidc-issuer must be used together", remedy=remedy)
    if not (key or is_identity or policy):
        if signature or provenance or sbom or trusted_root:
            remedy = "Add --key, --certificate-identity, or --policy."
            raise BentoError("--signature, --provenance, --sbom, and --trusted-root require a signer", remedy=remedy)
        return []
    from rules_bento.images.signing import keyless, keys
    from rules_bento.images.signing import signature_policy as policies

    root = Path(trusted_root) if trusted_root else None
    if policy:
        if provenance or sbom:
            remedy = "Remove these options, and add rules of type provenance or sbom to the policy."
            raise BentoError("--provenance and --sbom can't be combined with --policy", remedy=remedy)
        return policies.read_policy(Path(policy), root)
    signer: PublicKey | Identity
    if is_identity:
        trusted = keyless.read_trusted_root(root)
        signer = keyless.Identity(certificate_identity or "", certificate_oidc_issuer or "", trusted)
    else:
        signer = keys.read_public(key or "", Path(), keyless.entry_check(root) if root else None)
    return policies.default_rules(signer, provenance, sbom)


def _verify_signatures(
    targets: Sequence[str], rules: list[SignatureRule], signature: str | None, insecure: Sequence[str], output: str
) -> int:
    if not targets:
        raise BentoError("no artifact is specified. Specify an archive, an OCI layout, or HOST/REPOSITORY[:TAG].")
    if signature and len(targets) != 1:
        raise BentoError("--signature can be used with only one archive. Verify the archives one at a time.")
    items: list[dict[str, Any]] = []
    for target in targets:
        try:
            items.append({"target": target, "signed": True, **_signature(target, rules, signature, insecure)})
        except SignatureError as error:
            items.append({"target": target, "signed": False, "problem": error.below(target)})
    if not show.data(items, output):
        for item in items:
            _print_signature(item)
    return status.OK if all(item["signed"] for item in items) else status.FOUND


def _signature(
    target: str, rules: list[SignatureRule], signature: str | None, insecure: Sequence[str]
) -> dict[str, Any]:
    """Verify the signatures of a target. Returns details for the output. Raises SignatureError for an unmet rule."""
    from rules_bento.images.signing import cosign

    path = Path(target)
    is_layout = (path / "oci-layout").is_file()
    if signature and (is_layout or is_reference(target)):
        raise BentoError("--signature is supported only for archives. Remove --signature.")
    if is_layout or is_reference(target):
        with shared_options.located(target, insecure, "Verifying") as (place, _, root):
            details = _manifest_signature(place, root, rules)
            try:
                place.check(root)
            except BentoError as error:
                raise SignatureError(str(error)) from None
            return details
    if not path.is_file():
        problem = "expected an archive, an OCI layout, or a registry reference"
        remedy = "Bentos and models in the store have no signatures, so verify an archive before you import it."
        raise BentoError(problem, place=target, remedy=remedy)
    signed = Path(signature) if signature else cosign.bundle_path(path)
    for rule in rules:
        if rule.kinds:
            raise BentoError(f"{path}: archives have no signed {rule.noun}. Verify a layout or a registry artifact.")
        _first_valid(rule, lambda signer: cosign.verify_file(path, signed, signer))
    return {}


def _first_valid(rule: SignatureRule, verify: Callable[[PublicKey | Identity], _Details]) -> _Details:
    """Return the result of `verify` for the first signer with a valid signature, or raise SignatureError."""
    problems = []
    for signer in rule.signers:
        try:
            return verify(signer)
        except SignatureError as error:
            problems.append(str(error))
    raise SignatureError(" ".join(problems))


def _manifest_signature(place: Place, root: Manifest, rules: list[SignatureRule]) -> dict[str, Any]:
    from rules_bento.images.artifacts import signatures
    from rules_bento.images.signing import cosign

    digest = root.descriptor.digest
    details: dict[str, Any] = {"digest": digest, "signed_as": ""}
    images = [child.digest for child in root.children()] or [digest]  # the signature of an index covers its images

    def attestation(rule: SignatureRule, subject: str) -> dict[str, Any]:
        def check(predicate: dict[str, Any]) -> None:
            if rule.conditions:
                rule.conditions.check(predicate, place.name)

        verify = signatures.verify_attestation
        return _first_valid(rule, lambda signer: verify(place, subject, rule.kinds, rule.noun, signer, check))

    for rule in rules:
        if not rule.kinds:
            details["signed_as"] = _first_valid(rule, lambda signer: signatures.verify(place, digest, signer))
        elif rule.kinds == cosign.SBOMS:
            details["sboms"] = {image: attestation(rule, image) for image in images}
        elif rule.noun == "provenance":
            details["provenance"] = attestation(rule, digest)
        else:
            details.setdefault("attestations", {})[rule.kinds[0]] = attestation(rule, digest)
    return details


def _print_signature(item: dict[str, Any]) -> None:
    if not item["signed"]:
        show.out(f"{show.bad('invalid')}  {show.plain(item['target'])}: {show.plain(item['problem'])}")
        return
    line = f"{show.good('signed')}  {show.plain(item['target'])}"
    if "digest" in item:
        line += f": {item['digest']}" + (f", as {show.plain(item['signed_as'])}" if item["signed_as"] else "")
    if "provenance" in item:
        details = item["provenance"].get("runDetails")
        builder = details.get("builder") if isinstance(details, dict) else None
        name = str(builder.get("id")) if isinstance(builder, dict) else "an unknown builder"
        line += f", built by {show.plain(name)}"
    if "sboms" in item:
        line += ", with an SBOM" if len(item["sboms"]) == 1 else f", with {len(item['sboms'])} SBOMs"
    show.out(line)
