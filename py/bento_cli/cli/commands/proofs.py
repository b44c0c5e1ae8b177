"""Implements `bento verify --rebuild`, which proves the contents of images."""

from __future__ import annotations

import re
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence

from bento_cli.cli import shared_options, show, status
from bento_cli.cli.command import File
from bento_cli.cli.commands import run

if TYPE_CHECKING:
    from bento_cli.library import Store
    from bento_cli.proofs.expected import Finding
    from bento_cli.proofs.image_proof import Proof
    from bento_cli.proofs.verify_image import Inputs

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
    shared_options.option("--lock", "With --rebuild, trust this uv.lock or requirements file with hashes", type=File()),
    shared_options.option(
        "--allow-unproven BYTES", "With --rebuild, accept this much that isn't proven", type=shared_options.positive
    ),
    shared_options.option(
        "--age DAYS", "With --rebuild, require that each wheel was uploaded this long ago", type=shared_options.positive
    ),
)
IMAGE_OPTIONS = shared_options.combine(
    run.PROJECT_OPTIONS, *(run.IMAGE_OPTIONS[name] for name in _OF_IMAGE), shared_options.isolation, is_hidden=True
)
"""Options of `bento image` that change the contents of images, and --require-isolation."""
_NAMES = ("base", "source", "lock", "allow_unproven", "age", *(name.replace("-", "_") for name in _OF_IMAGE))


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
    require_isolation: bool,
    **options: Any,
) -> int:
    """Prove an image, print the proof, and return the exit code."""
    from bento_cli.proofs.verify_image import verify_image

    if len(targets) != 1:
        raise BentoError("--rebuild proves one image", remedy="Specify HOST/REPOSITORY[:TAG] or oci:DIR.")
    inputs = _inputs(store, source, lock, age, **options)
    shared_options.confine(store, [], require_isolation=require_isolation)
    proofs = verify_image(targets[0], inputs, store.home)
    if not show.data([_fields(proof) for proof in proofs], output):
        for proof in proofs:
            _print(targets[0], proof)
    if any(proof.findings for proof in proofs):
        return status.FOUND
    unproven = sum(proof.unproven_bytes for proof in proofs)
    is_allowed = allow_unproven is not None and unproven <= allow_unproven
    return status.OK if is_allowed or not any(proof.unproven for proof in proofs) else status.UNPROVEN


def _inputs(store: Store, source: str | None, lock: str | None, age: int | None, **options: Any) -> Inputs:
    from bento_cli.proofs.verify_image import Inputs

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


def _fields(proof: Proof) -> dict[str, Any]:
    return {
        "digest": proof.digest,
        "platform": proof.platform,
        "command": list(proof.command),
        "layers": [
            {
                "digest": digest,
                "size": size,
                "proven": {
                    source: {"files": files, "bytes": proof.sizes[at, source]}
                    for (at, source), files in sorted(proof.proven.items())
                    if at == position
                },
                "unproven": sum(1 for each in proof.unproven if each.layer == position),
                "findings": sum(1 for each in proof.findings if each.layer == position),
            }
            for position, (digest, size) in enumerate(proof.layers)
        ],
        "newest_wheel": proof.newest,
        "unproven": [each._asdict() for each in proof.unproven],
        "findings": [each._asdict() for each in proof.findings],
    }


def describe(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each finding, and one for all of a package with another version, or of a foreign image."""
    missing = [each for each in findings if each.problem.startswith("is missing")]
    if any(each.path == _PROGRAM for each in missing):
        return [f"{_PROGRAM}: is missing, so the image isn't of rules_bento ({len(findings):,} findings: -o json)"]
    places = {each: match for each in findings if (match := _IN_PACKAGES.match(each.path))}
    right, wrong = (
        {at[2]: at[3] for each, at in places.items() if at[2] and (each in missing) is is_missing}
        for is_missing in (True, False)
    )
    changed = right.keys() & wrong.keys()
    # Directories in which a file differs from the wheel of such a package, or is missing.
    tops = {at[1]: name for each, at in places.items() for name in changed if f"{name}-{right[name]}-" in each.problem}
    tops |= {at[1]: at[2] for at in places.values() if at[2] in changed}
    names = [tops.get(places[each][1], "") if each in places else "" for each in findings]
    lines = [
        f"{name}: is {wrong[name]} instead of {right[name]} ({names.count(name):,} findings: -o json)"
        for name in sorted(changed)
    ]
    return lines + [str(each) for each, name in zip(findings, names, strict=True) if not name]


def _print(target: str, proof: Proof) -> None:
    rows = []
    for position, (digest, size) in enumerate(proof.layers):
        parts = [f"{files:,} {source}" for (at, source), files in sorted(proof.proven.items()) if at == position]
        parts[:] = ["base"] if parts == ["1 base"] else parts
        for name, listed in (("not proven", proof.unproven), ("findings", proof.findings)):
            number = sum(1 for each in listed if each.layer == position)
            parts += [f"{number:,} {name}"] if number else []
        rows.append((str(position), digest.removeprefix("sha256:")[:12], show.size(size), ", ".join(parts)))
    show.table(("Layer", "Digest", "Size", "Files"), rows)
    show.out(f"Command: {show.plain(' '.join(proof.command)) or 'serves the Bento'}")
    texts = [f"{each.path}: {each.reason}" for each in proof.unproven]
    for title, lines in ((show.bad("finding"), describe(proof.findings)), (show.changed("not proven"), texts)):
        for line in lines[:_MOST]:
            show.out(f"{title}  {show.plain(line)}")
        if len(lines) > _MOST:
            show.out(f"{title}  {len(lines) - _MOST:,} more (-o json lists all)")
    if proof.newest:
        show.out(f"Newest wheel: {show.plain(proof.newest)}")
    files = sum(proof.proven.values())
    result = f"{target} ({proof.digest[:19]}, {proof.platform}): {show.count(files, 'file')} proven"
    result += f", {show.size(proof.unproven_bytes)} not proven, {show.count(len(proof.findings), 'finding')}."
    (show.out if proof.findings or proof.unproven else show.done)(result)
