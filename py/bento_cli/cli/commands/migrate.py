"""`bento migrate`: writes the Bazel files for a project of BentoML."""

from __future__ import annotations

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.projects.workspace import Workspace


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the project, its bentofile, and the output."""
    parser.add_argument(
        "project",
        metavar="PATH",
        nargs="?",
        default=".",
        help="migrate the project in this directory (default: the current directory)",
    )
    parser.add_argument(
        "-f", "--bentofile", metavar="FILE", help="read this file (default: bentofile.yaml, or else pyproject.toml)"
    )
    parser.add_argument(
        "--hub", metavar="NAME", help="name of the package hub (default: a name that MODULE.bazel doesn't use)"
    )
    parser.add_argument(
        "--package", metavar="PATH", help="Bazel package of the project (default: its directory in the workspace)"
    )
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "The command writes no file, and doesn't import the project. Notes list everything that isn't\ncarried over."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Print what the project becomes."""
    from pathlib import Path

    from rules_bento.bento.kinds import MODEL
    from rules_bento.dataclasses_lite import asdict

    from bento_cli.projects.migrate import migrate

    project = Path(options.project)
    package = _package(project) if options.package is None else options.package
    made = migrate(
        project,
        package,
        bentofile=options.bentofile,
        store=store.home.entries_dir(MODEL),
        workspace=_workspace(project),
        hub=options.hub,
    )
    if not show.data(asdict(made), options.output):
        show.out(made.text().rstrip("\n"))
    return status.OK


def _package(project: Path) -> str:
    """Return the folder as a package of the workspace around it; the root where there is none."""
    from bento_cli.projects.workspace import find_root

    root = find_root(project)
    return project.resolve().relative_to(root).as_posix().removeprefix(".") if root else ""


def _workspace(project: Path) -> Workspace:
    """Return what the workspace around a project declares."""
    from bento_cli.projects.workspace import Workspace, find_root, read_root

    root = find_root(project)
    return read_root(root) if root else Workspace()
