"""Runs a `bento` command on a Bento that a target builds, instead of a Bento in the store.

Imports the Bento into a temporary store. The command `import` imports the Bento into the user's store instead.
"""

from __future__ import annotations

import os
import tempfile

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    from pathlib import Path

SUBCOMMANDS = ("push", "containerize", "export", "import")
"""The commands that accept a built Bento."""


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
        raise BentoError(f"unknown command {subcommand!r}", remedy=f"Valid commands: {', '.join(SUBCOMMANDS)}.")
    with tempfile.TemporaryDirectory(prefix="rules_bento-deliver-") as scratch:
        store = Store(scratch, durable=False)
        contexts = Home.find().root / FILE  # the caller's cloud contexts
        if contexts.is_file():
            (store.home.root / FILE).symlink_to(contexts)
        entry = store.bentos.import_archive(archive, "folder" if archive.is_dir() else "xz").entry
        return main(["--home", scratch, subcommand, str(entry.tag), *words])
