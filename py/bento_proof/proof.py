"""Proves an image: finds what must be in it, from what the user trusts, and judges its layers and documents."""

import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from bento_proof import config, layers, packages, sbom, sources
from bento_proof.base import Base, read_base
from bento_proof.judge import Judge, Wanted
from bento_proof.model import HOME, ROOT, USER, Found, InvalidError, Report, inside, parents, parse
from bento_proof.oci import Image, Layout


def prove(options: Namespace, work: Path, progress: Callable[[str], None]) -> list[Report]:
    """Return a report for each platform of an image. Raises UnableError if something that is trusted can't be read."""
    reports = [Report("", findings=[(None, "image", "there is none")])]
    try:
        images = (each for each in Layout(options.image).images() if options.platform in ("", each.platform))
        for number, image in enumerate(images):
            report = Report(image.entry.digest, image.platform)
            report.layers = [(each.digest, each.size) for each in image.layers]
            report.proven, report.sizes = ([Counter[str]() for _ in image.layers] for _ in range(2))
            report.command = inside(image.config.get("config"), "Cmd", list)
            reports[number:] = [report]
            (work / str(number)).mkdir()
            _prove(options, image, work / str(number), progress, report)
    except InvalidError as error:
        reports[-1].find(None, "image", str(error))
    return reports


def _prove(options: Namespace, image: Image, work: Path, progress: Callable[[str], None], report: Report) -> None:
    progress(f"Reading {image.platform}")
    base = read_base(options.base, image.platform, work)
    _check_base(image, base, report)
    members = _read(image, base, work)
    progress("Installing the packages")
    wanted, absent = _want(options, base, members, work)
    progress("Compiling the modules")
    judge = Judge(base, wanted, report)
    compiled = judge.run(members)
    unknown = str(image.labels.get("rules_bento.bytecode")) if compiled else ""  # if no Python of the base runs here
    version = judge.compile(compiled, options.python) or unknown
    found = config.settings(image.config) | config.of_manifest(image, len(base.image.layers))
    found |= {"absent": absent} if absent else {}
    has_bento = any(path == f"{HOME}/bento/bento.yaml" for _, path, _ in members)
    stated = parse(options.expect.read_bytes(), "--expect", str) if options.expect else {}
    reviewed, is_complete = stated.pop("SBOM", []), bool(options.expect) and not stated.pop("*", False)
    implied = config.implied(image, base, has_bento, version)
    config.check(found, implied, stated, report, complete=is_complete)
    report.packages = sorted(wanted.environment.packages)
    sbom.check(image, report.packages, reviewed, report)


def _check_base(image: Image, base: Base, report: Report) -> None:
    """Raise InvalidError if the lowest layers aren't the base's. Runtimes find them also by diff IDs or annotations."""
    count = len(base.image.layers)
    mine, below = ([each.document for each in one.layers[:count]] for one in (image, base.image))
    if mine != below or image.diff_ids[:count] != base.image.diff_ids:
        problem = f"the lowest layers aren't those of {base.image.layout.name} ({base.image.entry.digest})"
        if (named := image.labels.get(f"{config.LABEL}base.digest")) != base.image.entry.digest:
            problem += f"; the image names {named}, which --base can select if you trust it"  # such as of a moved tag
        raise InvalidError(problem)
    for position, layer in enumerate(base.image.layers):
        report.prove(position, "base", layer.size)


def _read(image: Image, base: Base, work: Path) -> list[Found]:
    """Return the members of the layers above the base."""
    members, there = list[Found](), {*base.members, *(each for path in base.members for each in parents(path))}
    for position, layer in [*enumerate(image.layers)][len(base.image.layers) :]:
        try:
            with tempfile.TemporaryFile(dir=work) as file:
                layers.unpack(image.layout.pieces(layer), layer.media_type, image.diff_ids[position], file)
                found = [*layers.members(file)]
            if all(member.kind == "directory" and path in there for path, member in found):  # all others were removed
                raise InvalidError("is empty, or has only directories of the base")
        except InvalidError as error:
            raise InvalidError(f"layer {position}: {error}") from None
        members += [(position, path, member) for path, member in found]
    return members


def _want(options: Namespace, base: Base, members: Sequence[Found], work: Path) -> tuple[Wanted, list[str]]:
    """Return what the image must contain, and the files of the user that it lacks."""
    there = {path for _, path, _ in members}
    writable = [base.resolve(each.strip("/")) for each in options.writable]
    pairs = [(Path(source), path, USER) for source, path in options.user_file]
    pairs += [(Path(source), path, ROOT) for source, path in options.file]
    files, absent = sources.given(pairs, base, there, writable)
    debian, _ = sources.given([(each, "/", ROOT) for each in options.apt], base, there, exact=True)
    found = sources.with_links(files | (sources.summed(options.sums) if options.sums else {}), members)
    is_known = bool(options.file or options.user_file or options.wheel)
    environment = packages.install(options, base, work)
    return Wanted(environment, found, writable, {*files}, is_known, debian), absent
