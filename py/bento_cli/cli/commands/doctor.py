"""`bento doctor`: looks for what a machine or a workspace lacks."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add arguments for the workspace, for asking an index, and for the output."""
    parser.add_argument(
        "folder",
        metavar="PATH",
        nargs="?",
        default=".",
        help="check the workspace of this directory (default: the current directory)",
    )
    parser.add_argument("--online", action="store_true", help="also connect to the package index and to proxies")
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "The exit status is 1 if something is missing. The command changes nothing, and uses a network only\n"
        "with --online."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Print what was found, and what to do."""
    import os
    from pathlib import Path

    from rules_bento.dataclasses_lite import asdict

    from bento_cli.cli.diagnosis import Surroundings, diagnose
    from bento_cli.cli.findings import FINE, MISSING
    from bento_cli.projects.workspace import find_root

    if not Path(options.folder).is_dir():
        raise BentoError(f"{options.folder}: no such directory. Name a directory of the workspace.")
    findings = diagnose(Surroundings(find_root(Path(options.folder)), os.environ), online=options.online)
    if not show.data([asdict(finding) for finding in findings], options.output):
        paint = {FINE: show.good, MISSING: show.bad}
        for finding in findings:
            state = paint.get(finding.state, show.changed)(f"{finding.state:7}")
            show.out(f"{state}  {finding.about}: {show.plain(finding.text)}")
            if finding.remedy:
                show.out(f"         {finding.remedy}")
    return status.ERROR if any(finding.state == MISSING for finding in findings) else status.OK
