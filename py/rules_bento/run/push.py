"""Pushes an image, an index, a Bento or a model to registries. What follows `--` is for whoever runs it.

There, `--repository` takes the place of the target's, `--tag` comes to its tags, the flags of `push_cache` say where
layers are that were not downloaded, and those of `push_signing` who signs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rules_bento.arguments import Arguments
from rules_bento.errors import BentoError
from rules_bento.formats import decoded
from rules_bento.net.headers import parse_nonnegative_int
from rules_bento.net.transfers import JOBS, Progress
from rules_bento.records import replace
from rules_bento.registry.client import Registries
from rules_bento.registry.layout import Layout
from rules_bento.registry.push import push
from rules_bento.registry.reference import Reference
from rules_bento.run import push_cache, push_contents, push_signing
from rules_bento.run.blob_history import BlobHistory
from rules_bento.sharing.registry import artifact
from rules_bento.workspace_status import filled, read_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rules_bento.registry.package import Package
    from rules_bento.registry.push import Pushed

HELP = """\
Pushes what the registries lack.

--repository REGISTRY/NAME  push there, and not to the target's `repositories`; may be repeated
--tag TAG                   one more tag; may be repeated
--mount-from REGISTRY/NAME  a repository of the same registry that may have some of the layers; may be repeated
--jobs N                    blobs at once
--check-blobs               ask for each blob although the image is there: of a registry that has lost some
--insecure HOST[:PORT]      may be reached without encryption
--sign-key FILE             sign it, as cosign does, with this private key; or env://NAME
--sign-password-file FILE   with the key's password; without it, COSIGN_PASSWORD has it
--builder-id URI            who has built it: attach provenance (SLSA), signed with the key
--invocation-id ID, --started-on TIME, --finished-on TIME: said there, too
--remote_*, --credential_helper, --tls_*: of Bazel, for layers that are only in a remote cache
"""

_CALLERS = (
    push_cache.FLAGS
    | push_signing.FLAGS
    | {
        "--check-blobs": 0,  # whether blobs are asked for although the manifests are there
        "--insecure": 1,  # host[:port] that may be reached without encryption
        "--jobs": 1,  # blobs at once
        "--mount-from": 1,  # registry/name that may have some of the blobs
        "--repository": 1,  # registry/name
        "--tag": 1,
    }
)

FLAGS = {
    **_CALLERS,
    "--attach": 2,  # media type, file: refers to what is pushed
    "--contents": 1,  # JSON, see run/push_contents.py
    "--folder": 1,  # that the paths of --contents and --attach are relative to
    "--layout": 1,  # instead of --contents: an OCI layout
    "--signed": 0,  # whether a key has to be given
    "--status": 1,  # Bazel's stable or volatile status: KEY value lines, for {KEY} in tags and repositories
    "--tag-file": 1,  # a tag to a line
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Push to each repository; standard output gets a line for each, `registry/name@digest`."""
    caller = Arguments(push_cache.words(arguments.rest), _CALLERS)
    status = read_status(_folder(arguments) / file for file in arguments.many("--status"))
    targets = _targets(arguments, caller, status)
    insecure = arguments.many("--insecure") + caller.many("--insecure")
    cache = push_cache.settings({flag: caller.many(flag) for flag in push_cache.FLAGS})
    signer = _signer(arguments, caller)
    with Registries(insecure) as registries:
        before = BlobHistory.from_user_cache()
        package = _package(arguments, registries, cache)
        named = [Reference.parse(text).name for text in arguments.many("--mount-from") + caller.many("--mount-from")]
        package = replace(package, mount_from=[*package.mount_from, *named], mounts=before.repositories())
        with Progress(f"pushing to {', '.join(sorted({target.name for target in targets}))}") as progress:
            if signer:
                # No tag stands for what is not signed yet.
                signer.sign(package, _definitions(arguments, package), targets, registries, progress)
            check_blobs = bool(caller.records("--check-blobs"))
            pushed = push(
                package, targets, registries, progress, jobs=_jobs(arguments, caller), check_blobs=check_blobs
            )
            for referrer in _referrers(arguments, package):
                untagged = [entry.reference.with_digest(referrer.root.descriptor.digest) for entry in pushed]
                push(referrer, untagged, registries, progress)
    before.note((entry.reference.name for entry in pushed), (blob.digest for blob in package.blobs()))
    for entry in pushed:
        tags = sorted({target.tag for target in targets if target.name == entry.reference.name and target.tag})
        sys.stderr.write(f"{_report(entry, tags)}\n")
        sys.stdout.write(f"{entry.reference}\n")


def _signer(arguments: Arguments, caller: Arguments) -> push_signing.Signer | None:
    signer = push_signing.signer(caller, arguments.optional("--target"))
    if arguments.records("--signed") and not signer:
        raise BentoError("signed: what this pushes is signed. Run with `-- --sign-key FILE`, the private key.")
    return signer


def _definitions(arguments: Arguments, package: Package) -> dict[str, dict[str, Any]]:
    """Return of what that which is pushed was made, by digest; empty for what is not known."""
    folder, described = _folder(arguments), arguments.optional("--contents")
    return push_contents.read_definitions(folder / described, folder, package) if described else {}


def _package(arguments: Arguments, registries: Registries, cache: push_cache.Settings | None) -> Package:
    layout = arguments.optional("--layout")
    if layout:
        return Layout.open(_folder(arguments) / layout).package()
    return push_contents.read(_folder(arguments) / arguments.one("--contents"), _folder(arguments), registries, cache)


def _referrers(arguments: Arguments, package: Package) -> list[Package]:
    """Return what refers to it: documents about images, and what the caller attaches."""
    folder, described = _folder(arguments), arguments.optional("--contents")
    return [
        *(push_contents.read_referrers(folder / described, folder) if described else ()),
        *(
            artifact.attach(package.root.descriptor, media_type, folder / file)
            for media_type, file in arguments.records("--attach")
        ),
    ]


def _folder(arguments: Arguments) -> Path:
    return Path(arguments.optional("--folder", "."))


def _targets(arguments: Arguments, caller: Arguments, status: dict[str, str]) -> list[Reference]:
    repositories = caller.many("--repository") or arguments.many("--repository")
    if not repositories:
        raise BentoError("repository: none is set. Set the attribute, or run with `-- --repository registry/name`.")
    tags = arguments.many("--tag") + caller.many("--tag")
    for file in arguments.many("--tag-file"):
        tags += decoded((_folder(arguments) / file).read_bytes(), file).split()
    targets = []
    for text in dict.fromkeys(repositories):
        repository = Reference.parse(filled(text, status, "repository"))
        wanted = dict.fromkeys(filled(tag, status, "tag") for tag in tags)
        targets += [repository.with_tag(tag) for tag in wanted] or [repository]
    return targets


def _jobs(arguments: Arguments, caller: Arguments) -> int:
    text = caller.optional("--jobs") or arguments.optional("--jobs") or str(JOBS)
    jobs = parse_nonnegative_int(text)
    if not jobs:
        raise BentoError(f"--jobs takes a number from 1 on, not {text!r}.")
    return jobs


def _report(pushed: Pushed, tags: list[str]) -> str:
    there = pushed.blobs - pushed.sent - pushed.mounted
    return (
        f"pushed {pushed.reference.name}{' as ' if tags else ''}{', '.join(tags)}: {pushed.sent} of {pushed.blobs} "
        f"blobs sent ({pushed.size / 1_000_000:.1f} MB), {pushed.mounted} mounted, {there} there already"
    )
