"""Runs a `bento` command on a Bento that a target builds, instead of a Bento in the store.

Imports the Bento into a temporary store. The command `import` imports the Bento into the user's store instead.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rules_bento.arguments import Arguments, Subcommand
from rules_bento.errors import BentoError
from rules_bento.typing_lite import Sequence
from rules_bento.workspace_status import read_status, substitute

SUBCOMMANDS = ("push", "containerize", "export", "import")
"""The commands that accept a built Bento."""


@Subcommand(
    {
        "--archive": 1,
        "--status": 1,  # Bazel's stable or volatile status: KEY value lines, for {KEY} in arguments
        "--to": 1,  # the destination; the caller's first argument replaces it, unless it is an option
        "--subcommand": 1,  # one of SUBCOMMANDS
        "--word": 1,  # an argument for the command, before the caller's arguments
    }
)
def run(arguments: Arguments) -> int:
    """Run the `bento` command that the target specifies, with the arguments after `--`."""
    status = read_status(map(Path, arguments.repeated("--status")))
    places = [substitute(place, status, "to") for place in arguments.repeated("--to")]
    if arguments.rest and not arguments.rest[0].startswith("-"):
        places = []
    words = [
        *places,
        *(substitute(word, status, "arguments") for word in arguments.repeated("--word")),
        *arguments.rest,
    ]
    return deliver(Path(arguments.required("--archive")), arguments.required("--subcommand"), words)


def deliver(archive: Path, subcommand: str, words: Sequence[str]) -> int:
    """Run a `bento` command on a Bento in an archive or a directory, and return the exit status.

    The command runs in the directory where Bazel was started. Raises BentoError if the command isn't in `SUBCOMMANDS`.
    """
    from bento_cli.cli import main
    from bento_cli.library import Store
    from bento_cli.sharing.cloud.contexts import FILE
    from bento_cli.store.home import Home

    archive = archive.absolute()
    directory = os.environ.get("BUILD_WORKING_DIRECTORY")
    if directory:
        os.chdir(directory)
    if subcommand == "import":
        return main([subcommand, str(archive), *words])
    if subcommand not in SUBCOMMANDS:
        raise BentoError(f"unknown command {subcommand!r}. Valid commands: {', '.join(SUBCOMMANDS)}.")
    with tempfile.TemporaryDirectory(prefix="rules_bento-deliver-") as scratch:
        store = Store(scratch, durable=False)
        contexts = Home.find().root / FILE  # the caller's cloud contexts
        if contexts.is_file():
            (store.home.root / FILE).symlink_to(contexts)
        entry = store.bentos.import_archive(archive, "folder" if archive.is_dir() else "xz").entry
        return main(["--home", scratch, subcommand, str(entry.tag), *words])
