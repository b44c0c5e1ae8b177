"""Describes errors in command lines, with the counterparts of Docker's options and commands."""

from __future__ import annotations

from rules_bento.base.errors import BentoError, nearest
from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    import click

_SIMILAR = 0.7  # of names without dashes, which are in all options
_PORTS = "Images need no list of ports. Publish a port when you run the image, as in `docker run -p 8000:8000 IMAGE`."
_TABLE = "uv.lock, options, and [tool.bento.image] of pyproject.toml describe an image"
# Options of `bento image` and `bento build`, and commands, by what users type.
COUNTERPARTS = {
    "--build-arg": "Builds have no arguments. To set a variable in the image, add --env NAME=VALUE.",
    "--cmd": "To set the command of the container, add --entrypoint COMMAND.",
    "--expose": _PORTS,
    "--tag": "To set the name of the image, add --image-tag NAME:TAG.",
    "--target": "Builds have no stages. To select packages, add --extra, --group, or --package.",
    "--user": "Containers run as user 1034. For another user, run the image with `docker run --user UID`.",
    "--workdir": "Projects are in /app/_main. For another directory, run the image with `docker run --workdir PATH`.",
    "-f": f"`bento init` reads a Dockerfile: {_TABLE}.",
    "-p": _PORTS,
    "image build": "`bento image` has no subcommands. Run `bento image DIRECTORY`.",
    "inspect": "For a Bento, run `bento get TAG`. For an image in a registry, run `bento report IMAGE`.",
    "run": "For an image, run `docker run IMAGE`. For a Bento in the store, run `bento serve TAG`.",
    "scan": "Run `bento sbom IMAGE > sbom.json`, and pass the file to a scanner.",
}


def describe(error: click.UsageError, path: str, words: Sequence[str]) -> BentoError:
    """Return the error for invalid `words` of the command `path`."""
    problem = " ".join(error.message.split()) if error.__dict__.get("possibilities") else error.format_message()
    option, name = (error.__dict__.get(f"{kind}_name", "") for kind in ("option", "command"))
    key = name if path == "bento" else option if path in ("bento build", "bento image") else ""
    key = " ".join(words[:2]) if not option and words[:2] == ["image", "build"] else key
    possibilities = {each.lstrip("-"): each for each in error.__dict__.get("possibilities") or ()}
    near = possibilities.get(nearest((option or name).lstrip("-"), possibilities, _SIMILAR))
    hint = f" Did you mean '{near}'?" if near and key not in COUNTERPARTS else ""
    problem = f"{problem[0].lower()}{problem[1:].rstrip('.')}.".replace("?.", "?") + hint
    return BentoError(problem, remedy=COUNTERPARTS.get(key, f"For all options, run `{path} --help`."))
