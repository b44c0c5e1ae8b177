"""Implements `bento patch`, which replaces packages and bases of published images."""

from __future__ import annotations

import re
import shlex

import click
from rules_bento.base.formats import decode_text, read_file
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.packages.requirement_syntax import normalize_name

from bento_cli.cli import shared_options, show, status
from bento_cli.cli.command import File, command
from bento_cli.cli.commands.run import IMAGE_OPTIONS, image_settings

if TYPE_CHECKING:
    from bento_cli.library import Store
    from bento_cli.patches.fleet_patch import Outcome

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)")
_AFFECTED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*([<>=!~].*)")
_OPTIONS = ("bytecode-python", "ignore-library", "gpu", "start", "start-env", "start-timeout")


@command(
    "urllib3==2.6.3 registry.example/hello:v1 --suffix=-p1",
    "'urllib3<2.6.3' --affected --from images.txt",
    kept="Patched images remain, and the next run completes the others.",
)
@click.argument(
    "words",
    metavar="[NAME==VERSION...] [IMAGE...]",
    nargs=-1,
    help="Install these versions in these images (HOST/REPOSITORY[:TAG])",
)
@shared_options.option("--from FILE", "Also patch the images in this file, one in a line", name="file", type=File())
@shared_options.option("--suffix TEXT", "Tag the patched image as the old one, with this suffix", default="")
@shared_options.option("--tag TAG", "Tag the patched image with this tag", default="")
@shared_options.option("--move-tags", "Let tags that have an image move, by default those of the patched images")
@shared_options.option("--base IMAGE", "Replace the base by this image, or oci:DIR for a layout")
@shared_options.option("--affected", "Only print which images have a package, as NAME<VERSION")
@shared_options.option("--dry-run", "Only print what would change")
@shared_options.combine(*(IMAGE_OPTIONS[name] for name in _OPTIONS))
@shared_options.insecure
@shared_options.signing_options("sign-")
@shared_options.isolation
@shared_options.output("text", "json", "yaml")
def patch_command(
    store: Store,
    words: Sequence[str],
    file: str | None,
    suffix: str,
    tag: str,
    move_tags: bool,
    affected: bool,
    dry_run: bool,
    require_isolation: bool,
    output: str,
    **options: Any,
) -> int:
    """Replace packages or the base of published images, without their sources.

    A patched image has the digest of a build with the new lock: the command first builds the image again, from the
    wheels of your index with the hashes in its SBOM, and rejects an image with another digest. The layers of the
    project's files are kept, and a Bento gets the new lock and its version.

    An image is rejected, and nothing is pushed, if a requirement isn't met, if no wheel fits, or if a check of a build
    finds a problem. The others are patched. The exit code is 1 if an image is rejected, and 3 if --affected finds one.
    """
    from bento_cli.patches import fleet_patch

    signing = shared_options.signing("sign-", **{name: options.pop(name) for name in shared_options.SIGNING})
    shared_options.confine(store, [], require_isolation=require_isolation)
    pattern = _AFFECTED if affected else _PIN
    matches = {word: match for word in words if (match := pattern.fullmatch(word))}
    pins = {normalize_name(match[1]): match[2] for match in matches.values()}
    images = [word for word in words if word not in matches]
    if file:
        images += [line.strip() for line in decode_text(read_file(file), file).splitlines() if line.strip()]
    images = [*dict.fromkeys(images)]
    if len(pins) != len(matches) or not images or not (pins or options["base"]) or (affected and len(pins) != 1):
        raise click.UsageError(
            "Specify NAME<VERSION and images." if affected else "Specify images, and NAME==VERSION or --base."
        )
    if affected:
        [(name, versions)] = pins.items()
        found = fleet_patch.affected(images, name, versions, options["insecure"], store.home.own)
    else:
        request = fleet_patch.Request(pins, suffix, tag, move_tags, dry_run)
        settings = image_settings(options)
        found = fleet_patch.patch_images(images, request, settings, home=store.home.own, signing=signing)
    if not show.data([each._asdict() for each in found], output):
        _print(found, pins)
    statuses = {each.status for each in found}
    codes = {fleet_patch.REJECTED: status.ERROR, fleet_patch.AFFECTED: status.FOUND}
    return next((code for each, code in codes.items() if each in statuses), status.OK)


def _print(found: Sequence[Outcome], pins: dict[str, str]) -> None:
    for each in found:
        for text in each.notes:
            show.note(f"{each.image}: {text.removeprefix(f'{each.image}: ')}")
    rows = []
    for each in found:
        changes = [f"{name} {old} -> {new}" if new else f"{name} {old}" for name, old, new in each.packages]
        changes += [each.base] if each.base else []
        size = show.size(each.bytes) if each.target else ""
        rows.append((each.image, each.status, ", ".join(changes), size, each.digest[7:19]))
    show.table(("Image", "Status", "Changes", "Size", "Digest"), rows, right=("Size",))
    if any(each.status == "patched" and each.packages for each in found):
        pinned = [f"{name}=={version}" for name, version in pins.items()]
        lock, of_bento = (
            shlex.join(word for pin in pinned for word in (option, pin)) for option in ("-P", "--upgrade-package")
        )
        commands = f"run `uv lock {lock}`, or `bento lock {of_bento}` for a Bento"
        show.note(f"The next build of a project undoes its patch, unless its lock has it: {commands}.")
