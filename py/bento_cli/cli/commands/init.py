"""Implements `bento init`."""

from __future__ import annotations

from pathlib import Path

from rules_bento.base.archives.atomic import replace_file
from rules_bento.base.errors import BentoError
from rules_bento.base.landlock import outside
from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence

from bento_cli.cli import shared_options, show
from bento_cli.cli.command import File, command

if TYPE_CHECKING:
    from bento_cli.library import Store


@command("", "--base registry.example.com/python:3.13-slim", "api --from docker/Dockerfile --dry-run")
@shared_options.directory("directory", "[DIRECTORY]", help="Write the table of this uv project")
@shared_options.option("--base IMAGE", "Use this base image, with the digest that it has now")
@shared_options.option(
    "--from FILE", "Read this Dockerfile (default: Dockerfile or Containerfile)", name="file", type=File()
)
@shared_options.option("--package NAME", "Write the table of this member of the workspace", default="")
@shared_options.option("--dry-run", "Print the table instead of writing it")
@shared_options.insecure
def init_command(
    store: Store,
    directory: str,
    base: str | None,
    file: str | None,
    package: str,
    dry_run: bool,
    insecure: Sequence[str],
) -> None:
    """Write [tool.bento.image] of pyproject.toml, which decides an image besides uv.lock.

    The table gets the base by digest, the container's command, and from a Dockerfile: Debian packages, variables,
    extras, groups, files, and directories. Keys that the table has stay, but the base gets its digest. The rest of the
    Dockerfile is printed by line. Nothing runs.
    """
    from bento_cli.sharing.project_init import draft, edit, pinned

    shared_options.confine(store, [], require_isolation=False)
    found = draft(Path(directory), package, base or "", Path(file) if file else None)
    values, notes = found.found, found.notes
    tagged = next(filter(None, (base, values.pop("base", ""), found.present.get("base", ""))), "")
    if "@" not in tagged:
        try:
            with shared_options.connected(insecure, "Reading the base") as (registries, _):
                tagged = pinned(tagged, registries)
        except BentoError as error:
            if base:
                raise error.at("--base") from None
            tagged = ""
            notes.append(f"base: {error} Run `bento init` again with access, or add --base.")
    values = {"base": tagged, **values} if tagged not in ("", found.present.get("base")) else values
    text = edit(found.text, values, found.path, found.origin) if values else found.text
    if dry_run:
        show.out(show.plain(edit("", {**found.present, **values}, found.path, found.origin)).rstrip())
    elif text != found.text:
        outside(replace_file, Path(found.path), text.encode())  # writes: output, of the user
    for note in notes:
        show.note(show.plain(note))
    state = "Nothing was written" if dry_run else f"Wrote {', '.join(values)}" if values else "Kept all keys"
    show.done(f"{state}: [tool.bento.image] of {show.plain(found.path)}.")
    if found.start:
        show.out(f"To start the image before its delivery, add --start {show.plain(found.start)} to `bento image`.")
