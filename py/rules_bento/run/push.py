"""Pushes an image, an index, a Bento, or a model to registries.

The user's arguments replace the target's repositories, or add tags. `remote_cache` defines the arguments for layers
that weren't downloaded, and `push_signing` defines the arguments for signatures.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.workspace_status import read_status, substitute
from rules_bento.base.net.http_headers import parse_nonnegative_int
from rules_bento.base.net.transfers import JOBS, Progress
from rules_bento.base.own_files import user_cache_directory
from rules_bento.base.subcommand_arguments import Pairs, Request, Strings
from rules_bento.images.artifacts import artifact
from rules_bento.images.registry import RegistryError
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.push_records import BlobHistory, InterruptedUploads
from rules_bento.images.registry.push_to_registry import PushResult, push_all
from rules_bento.images.registry.reference import Reference
from rules_bento.run import push_description, push_signing, remote_cache
from rules_bento.run.push_description import PushContents

HELP = """\
Pushes the artifact. Uploads only the blobs that the registries lack.

--repository REGISTRY/NAME  push to this repository instead of the target's `repositories` (repeatable)
--tag TAG                   add this tag (repeatable)
--mount-from REGISTRY/NAME  mount layers from this repository in the same registry (repeatable)
--jobs N                    push N blobs in parallel
--no-referrers              push only the image, without artifacts that refer to it, such as its SBOM
--check-blobs               check that each blob exists, even if the manifest exists (for a registry that lost blobs)
--insecure HOST[:PORT]      connect to this registry without encryption (repeatable)
--sign-key FILE             sign the artifact and its SBOMs with this private key (file, or env://NAME)
--sign-password-file FILE   read the key's password from this file (default: the COSIGN_PASSWORD environment variable)
--identity-token TOKEN      sign a `keyless` target with this OIDC token (file, or env://NAME; default: of the CI job)
--trust-config FILE         use these sigstore services (default: public services for `keyless`, no log for a key)
--builder-id URI            attach signed SLSA provenance with this builder ID; requires a signature
--invocation-id ID, --started-on TIME, --finished-on TIME: add these values to the provenance
--remote_*, --credential_helper, --tls_*: use these Bazel flags to read layers that are only in a remote cache
"""

_MAX_NAMES = 3  # repositories that the progress line names


class _UserOptions(remote_cache.CacheOptions, push_signing.SigningOptions):
    check_blobs: bool = False  # check blobs even if the manifests exist
    insecure: Strings  # host[:port] to connect to without encryption
    jobs: str = ""  # blobs in parallel
    no_referrers: bool = False
    mount_from: Strings  # registry/name that might have some of the blobs
    repository: Strings  # registry/name
    tag: Strings


class _PushRequest(_UserOptions, Request):
    usage = HELP
    attach: Pairs  # media type, file: refers to the pushed manifest
    contents: str = ""  # JSON, see run/push_description.py
    directory: Path = Path()  # directory that the paths of --contents and --attach are relative to
    keyless: bool = False  # sign with an OIDC identity
    layout: str = ""  # instead of --contents: an OCI layout
    pushes: str = ""  # instead of --contents: a JSON object; `pushes` lists the arguments of each push
    signed: bool = False  # a key is required
    status: Strings  # Bazel's stable or volatile status: KEY value lines, for {KEY} in tags and repositories


class _Push(NamedTuple):
    """The arguments, contents, and destinations of one push."""

    request: _PushRequest
    contents: PushContents
    targets: list[Reference]


def run(request: _PushRequest) -> None:
    """Sign the artifact if required, push it to each repository, and print each reference as `registry/name@digest`."""
    options = _UserOptions.from_user(request.rest)
    cache = remote_cache.settings(options)
    each = _pushes(request, options)
    keyed, keyless = push_signing.signers(options, {one.keyless for one in each})
    if not keyed and any(one.signed for one in each):
        problem = "the push requires a private key"
        raise BentoError(problem, place="signed", remedy="Pass the key with `-- --sign-key FILE`.")
    insecure = [host for one in [*each, options] for host in one.insecure]
    with Registries(insecure, interrupted=InterruptedUploads(user_cache_directory())) as registries:
        history = BlobHistory.from_user_cache()
        pushes = [_read(one, options, registries, cache, history) for one in each]
        names = sorted({target.name for push in pushes for target in push.targets})
        into = ", ".join(names) if len(names) <= _MAX_NAMES else f"{len(names)} repositories"
        with Progress(f"pushing to {into}") as progress:
            for push in pushes:  # before the tags refer to the manifests
                signer = keyless if push.request.keyless else keyed
                if signer:
                    signer.sign(push.request.target, push.contents, push.targets, registries)
            jobs = _jobs(options.jobs or request.jobs or str(JOBS))
            pairs = [(push.contents.package, push.targets) for push in pushes]
            pushed = push_all(pairs, registries, progress, jobs=jobs, check_blobs=options.check_blobs)
            referrers = [
                (referrer, [entry.reference.with_digest(referrer.root.descriptor.digest) for entry in entries])
                for push, entries in zip(pushes, pushed, strict=True)
                for referrer in push.contents.referrers
            ]
            missing = None
            progress.begin("pushing referrers")
            try:
                push_all([] if options.no_referrers else referrers, registries, progress, jobs=jobs)
            except RegistryError as error:
                missing = error
    for push, entries in zip(pushes, pushed, strict=True):
        history.note(
            (entry.reference.name for entry in entries), (blob.digest for blob in push.contents.package.blobs())
        )
        for entry in entries:
            name = f"{entry.reference.name}{' as ' if entry.tags else ''}{', '.join(sorted(entry.tags))}"
            sys.stderr.write(_report(name, [entry]))
            sys.stdout.write(f"{entry.reference}\n")
    if len(pushes) > 1:
        sys.stderr.write(_report(f"{len(pushes)} images", [entry for entries in pushed for entry in entries]))
    if missing:
        problem = f"The image was pushed, but an artifact that refers to it, such as the SBOM, is missing: {missing}"
        raise BentoError(problem, remedy="To push without such artifacts, run the command with `-- --no-referrers`.")


def _pushes(request: _PushRequest, options: _UserOptions) -> list[_PushRequest]:
    """Return the request of each push. Raises BentoError if both `--pushes` and `--repository` are set."""
    if not request.pushes:
        return [request]
    if options.repository:
        remedy = "Set repository on each bento_push, or run each bento_push separately."
        raise BentoError("can't push multiple images to one repository", place="--repository", remedy=remedy)
    document = read_object((request.directory / request.pushes).read_bytes(), request.pushes)
    return [_PushRequest(["--directory", str(request.directory), *words]) for words in document["pushes"]]


def _read(
    request: _PushRequest,
    options: _UserOptions,
    registries: Registries,
    cache: remote_cache.Settings | None,
    history: BlobHistory,
) -> _Push:
    directory = request.directory
    if request.layout:
        contents = PushContents(Layout.open(directory / request.layout, follows_links=True).pushable(), [], {})
    else:
        contents = push_description.read(directory / request.contents, directory, registries, cache)
    package = contents.package
    attached = [
        artifact.attach(package.root.descriptor, media_type, directory / file) for media_type, file in request.attach
    ]
    named = (Reference.parse(text).name for text in request.mount_from + options.mount_from)
    mount_from = [*package.mount_from, *named]
    package = replace(package, mount_from=mount_from, mounts=history.repositories())
    contents = contents._replace(package=package, referrers=[*contents.referrers, *attached])
    return _Push(request, contents, _targets(request, options))


def _targets(request: _PushRequest, options: _UserOptions) -> list[Reference]:
    status = read_status(request.directory / file for file in request.status)
    repositories = options.repository or request.repository
    if not repositories:
        remedy = "Set the attribute, or pass `-- --repository REGISTRY/NAME`."
        raise BentoError("required", place="repository", remedy=remedy)
    tags = [*request.tag, *options.tag]
    targets = []
    for text in dict.fromkeys(repositories):
        repository = Reference.parse(substitute(text, status, "repository"))
        wanted = dict.fromkeys(substitute(tag, status, "tag") for tag in tags)
        targets += [repository.with_tag(tag) for tag in wanted] or [repository]
    return targets


def _jobs(text: str) -> int:
    jobs = parse_nonnegative_int(text)
    if not jobs:
        raise BentoError(f"expected a positive integer, got {text!r}.", place="--jobs")
    return jobs


def _report(name: str, results: list[PushResult]) -> str:
    blobs, sent = sum(result.blobs for result in results), sum(result.sent for result in results)
    mounted, size = sum(result.mounted for result in results), sum(result.size for result in results) / 1_000_000
    text = f"pushed {name}: {sent} of {blobs} blobs sent ({size:.1f} MB), {mounted} mounted, "
    return text + f"{blobs - sent - mounted} exist already\n"
