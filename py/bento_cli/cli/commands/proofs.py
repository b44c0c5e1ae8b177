"""Implements `bento verify --rebuild`, which proves the contents of images."""

from __future__ import annotations

import re
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence

from bento_cli import cli
from bento_cli.cli import shared_options, show, status
from bento_cli.cli.command import File, is_reference
from bento_cli.cli.commands import run

if TYPE_CHECKING:
    from bento_proof.model import Report
    from rules_bento.images.artifacts.signatures import Signing

    from bento_cli.library import Store
    from bento_cli.sharing.image_proof import Inputs, Proof

_PROGRAM = "app/.venv/bin/entrypoint.py"  # in each image of rules_bento
_IN_PACKAGES = re.compile(r"app/\.venv/lib/[^/]+/site-packages/(([^/]+)-([^/-]+)\.dist-info|[^/]+)(?=/|$)")
_MOST = 20  # findings, and files that aren't proven, in the text
_OF_IMAGE = ("apt", "bytecode-python", "env", "exclude", "file", "hugging-face", "label", "replace", "writable")

OPTIONS = shared_options.combine(
    shared_options.option("--rebuild", "Prove each file of one image from wheels, sources, and its base"),
    shared_options.option("--base IMAGE", "With --rebuild, trust this base image, or oci:DIR for a layout"),
    shared_options.option(
        "--source DIRECTORY|TAG", "With --rebuild, trust this uv project, other sources, or Bento in the store"
    ),
    shared_options.option("--lock", "With --rebuild, trust this lock, such as of `uv export`", type=File()),
    shared_options.option(
        "--allow-unproven BYTES", "With --rebuild, accept this much that isn't proven", type=shared_options.positive
    ),
    shared_options.option(
        "--age DAYS", "With --rebuild, require that each wheel was uploaded this long ago", type=shared_options.positive
    ),
    shared_options.option("--attest", "With --rebuild, sign that this image is proven, and attach it, for policies"),
    shared_options.signing_options("sign-"),
)
IMAGE_OPTIONS = shared_options.combine(
    run.PROJECT_OPTIONS, *(run.IMAGE_OPTIONS[name] for name in _OF_IMAGE), shared_options.isolation, is_hidden=True
)
"""Options of `bento image` that change the contents of images, and --require-isolation."""
_OF_MACHINE = ("base", "bytecode_python", "file", "insecure", "replace")  # paths and hosts, not in attestations
_NAMES = (
    "base",
    "source",
    "lock",
    "allow_unproven",
    "age",
    "attest",
    *shared_options.SIGNING,
    *(name.replace("-", "_") for name in _OF_IMAGE),
)


def options_of(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the values of `OPTIONS` and `IMAGE_OPTIONS`, except for `rebuild`, and return them."""
    return {name: options.pop(name) for name in (*_NAMES, *run.OF_PROJECT, "require_isolation")}


def reject(options: Mapping[str, Any]) -> None:
    """Raise BentoError for an option that requires --rebuild. BENTO_REQUIRE_ISOLATION is also for others."""
    if option := _first({**options, "require_isolation": False}):
        raise BentoError(f"{option} requires --rebuild", remedy=f"Add --rebuild, or remove {option}.")


def reject_others(options: Mapping[str, Any]) -> None:
    """Raise BentoError for an option of other verifications."""
    if option := _first(options):
        remedy = f"Run the command twice, once without {option}."
        raise BentoError(f"{option} can't be combined with --rebuild", remedy=remedy)


def _first(options: Mapping[str, Any]) -> str:
    return next((f"--{name.replace('_', '-')}" for name, value in options.items() if value), "")


def rebuild(
    targets: Sequence[str],
    store: Store,
    output: str,
    *,
    source: str | None,
    lock: str | None,
    allow_unproven: int | None,
    age: int | None,
    attest: bool,
    require_isolation: bool,
    **options: Any,
) -> int:
    """Prove an image, print the proof, attest it, and return the exit code."""
    from rules_bento.images.registry.reference import SCHEME

    from bento_cli.sharing.image_options import LAYOUT
    from bento_cli.sharing.image_proof import verify_image
    from bento_cli.sharing.rebuild_attestation import commit_of

    if len(targets) != 1:
        raise BentoError("--rebuild proves one image", remedy="Specify HOST/REPOSITORY[:TAG] or oci:DIR.")
    signer = shared_options.signing("sign-", **{name: options.pop(name) for name in shared_options.SIGNING})
    if attest != bool(signer):
        remedy = "Use --attest together with --sign-key or --sign-keyless."
        raise BentoError("--attest and the options that select a signer belong together", remedy=remedy)
    stated = {name: value for name, value in sorted(options.items()) if value and name not in _OF_MACHINE}
    inputs = _inputs(store, source, lock, age, **options)
    is_layout = targets[0].startswith(LAYOUT) and not targets[0].startswith(SCHEME)
    place = targets[0].removeprefix(LAYOUT).partition("@")[0] if is_layout else targets[0]
    outputs = [place] if attest and not is_reference(place) else []
    shared_options.confine(store, outputs, require_isolation=require_isolation)
    commit = [commit_of(inputs.source)] if attest and inputs.source else []
    proof = verify_image(targets[0], inputs, store.home)
    if commit and commit != [commit_of(inputs.source or Path())]:
        raise BentoError("the commit changed meanwhile", place=f"--attest: {source}", remedy="Run the command again.")
    proof = proof._replace(trusted=[*commit, *proof.trusted])
    if not show.data([{**_fields(each), "inputs": proof.trusted} for each in proof.reports], output):
        for each in proof.reports:
            _print(targets[0], each)
    if any(each.findings for each in proof.reports):
        return status.FOUND
    unproven = sum(each.unproven_bytes for each in proof.reports)
    is_allowed = allow_unproven is not None and unproven <= allow_unproven
    if any(each.unproven for each in proof.reports) and not is_allowed:
        return status.UNPROVEN
    if signer:
        _attest(place, proof, {**stated, "allow_unproven": allow_unproven or 0}, signer, options["insecure"])
    return status.OK


def _attest(target: str, proof: Proof, stated: Mapping[str, Any], signer: Signing, insecure: Sequence[str]) -> None:
    """Sign a summary of a proof, and attach it to the image."""
    from rules_bento.images.artifacts import signatures
    from rules_bento.images.signing import verification

    from bento_cli.sharing.rebuild_attestation import predicate

    if not proof.root:
        raise BentoError("the layout has several images", place=f"--attest: {target}", remedy="Add @DIGEST.")
    with shared_options.located(target, insecure, "Attesting", proof.root) as (place, name, root):
        made = predicate(proof, name, stated, cli.version())
        signatures.attest(place, name, root.descriptor, verification.PREDICATE, made, signer)
    show.done(f"Attested {proof.root}: {', '.join(made['verifiedLevels'])}")


def _inputs(store: Store, source: str | None, lock: str | None, age: int | None, **options: Any) -> Inputs:
    from bento_cli.sharing.image_proof import Inputs

    if source and not Path(source).is_dir() and (source.startswith(".") or "/" in source):
        remedy = "Specify a directory, or the tag of a Bento in the store."
        raise BentoError("the directory doesn't exist", place=f"--source {source}", remedy=remedy)
    chosen = run.project_options(secrets=None, **{name: options.pop(name) for name in run.OF_PROJECT})
    is_bento = source is not None and not Path(source).is_dir()
    return Inputs(
        run.image_settings(options),
        chosen,
        source=Path(source) if source and not is_bento else None,
        bento=store.bentos.get(source) if source and is_bento else None,
        lock=Path(lock) if lock else None,
        age=age,
    )


def _unproven_bytes(proof: Report) -> int:
    return sum(size for *_, size in proof.unproven if size > 0)


def _fields(proof: Report) -> dict[str, Any]:
    names = {"findings": ("layer", "path", "problem"), "unproven": ("layer", "path", "reason", "size")}
    listed: dict[str, Sequence[Any]] = {"findings": proof.findings, "unproven": proof.unproven}
    return {
        "digest": proof.digest,
        "platform": proof.platform,
        "command": proof.command,
        "layers": [
            {
                "digest": digest,
                "size": size,
                "proven": {
                    source: {"files": files, "bytes": proof.sizes[position][source]}
                    for source, files in sorted(proof.proven[position].items())
                },
                **{name: sum(1 for layer, *_ in each if layer == position) for name, each in listed.items()},
            }
            for position, (digest, size) in enumerate(proof.layers)
        ],
        "newest_wheel": proof.newest,
        **{name: [dict(zip(names[name], each, strict=True)) for each in items] for name, items in listed.items()},
    }


def describe(findings: Sequence[tuple[int | None, str, str]]) -> list[str]:
    """Return a line for each finding, and one for all of a package with another version, or of a foreign image."""
    missing = {path for _, path, problem in findings if problem.startswith("is missing")}
    if _PROGRAM in missing:
        return [f"{_PROGRAM}: is missing, so the image isn't of rules_bento ({len(findings):,} findings: -o json)"]
    places = {path: match for _, path, _ in findings if (match := _IN_PACKAGES.match(path))}
    right, wrong = (
        {at[2]: at[3] for path, at in places.items() if at[2] and (path in missing) is is_missing}
        for is_missing in (True, False)
    )
    changed = right.keys() & wrong.keys()
    # Directories in which a file differs from the wheel of such a package, or is missing.
    tops = {
        places[path][1]: name
        for _, path, problem in findings
        for name in changed
        if path in places and f"{name}-{right[name]} " in problem
    }
    tops |= {at[1]: at[2] for at in places.values() if at[2] in changed}
    names = [tops.get(places[path][1], "") if path in places else "" for _, path, _ in findings]
    lines = [
        f"{name}: is {wrong[name]} instead of {right[name]} ({names.count(name):,} findings: -o json)"
        for name in sorted(changed)
    ]
    each = (
        f"{'' if layer is None else f'layer {layer}: '}{path}: {problem}"
        for (layer, path, problem), name in zip(findings, names, strict=True)
        if not name
    )
    return [*lines, *each]


def _print(target: str, proof: Report) -> None:
    rows = []
    for position, (digest, size) in enumerate(proof.layers):
        parts = [f"{files:,} {source}" for source, files in sorted(proof.proven[position].items())]
        parts[:] = ["base"] if parts == ["1 base"] else parts
        for name, listed in (("not proven", proof.unproven), ("findings", proof.findings)):
            number = sum(1 for layer, *_ in listed if layer == position)
            parts += [f"{number:,} {name}"] if number else []
        rows.append((str(position), digest.removeprefix("sha256:")[:12], show.size(size), ", ".join(parts)))
    show.table(("Layer", "Digest", "Size", "Files"), rows)
    show.out(f"Command: {show.plain(' '.join(map(str, proof.command))) or 'serves the Bento'}")
    texts = [f"{path}: {reason}" for _, path, reason, _ in proof.unproven]
    for title, lines in ((show.bad("finding"), describe(proof.findings)), (show.changed("not proven"), texts)):
        for line in lines[:_MOST]:
            show.out(f"{title}  {show.plain(line)}")
        if len(lines) > _MOST:
            show.out(f"{title}  {len(lines) - _MOST:,} more (-o json lists all)")
    if proof.newest:
        show.out(f"Newest wheel: {show.plain(proof.newest)}")
    files = sum(sum(each.values()) for each in proof.proven)
    result = f"{target} ({proof.digest[:19]}, {proof.platform}): {show.count(files, 'file')} proven"
    result += f", {show.size(_unproven_bytes(proof))} not proven, {show.count(len(proof.findings), 'finding')}."
    (show.out if proof.findings or proof.unproven else show.done)(result)
