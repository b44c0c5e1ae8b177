"""`bento migrate`, `bento doctor`, and `bento models pin`: help with Bazel workspaces."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.projects.workspace import Workspace
    from bento_cli.sharing.huggingface import Snapshot


def add_migrate_arguments(parser: ArgumentParser, kind: Kind) -> None:
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


def run_migrate(options: Namespace, store: Store, kind: Kind) -> int:
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


def add_doctor_arguments(parser: ArgumentParser, kind: Kind) -> None:
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


def run_doctor(options: Namespace, store: Store, kind: Kind) -> int:
    import os
    from pathlib import Path

    from rules_bento.dataclasses_lite import asdict

    from bento_cli.cli.diagnosis import ERROR, OK, HostEnvironment, diagnose
    from bento_cli.projects.workspace import find_root

    if not Path(options.folder).is_dir():
        raise BentoError(f"{options.folder}: no such directory. Name a directory of the workspace.")
    findings = diagnose(HostEnvironment(find_root(Path(options.folder)), os.environ), online=options.online)
    if not show.data([asdict(finding) for finding in findings], options.output):
        paint = {OK: show.good, ERROR: show.bad}
        for finding in findings:
            state = paint.get(finding.state, show.changed)(f"{finding.state:7}")
            show.out(f"{state}  {finding.about}: {show.plain(finding.text)}")
            if finding.remedy:
                show.out(f"         {finding.remedy}")
    return status.ERROR if any(finding.state == ERROR for finding in findings) else status.OK


def add_pin_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "model", metavar="ORGANIZATION/NAME[@REVISION]", help="a model of Hugging Face Hub (default revision: main)"
    )
    parser.add_argument("--endpoint", metavar="URL", help="use this hub (default: HF_ENDPOINT)")
    parser.add_argument(
        "--include", metavar="PATTERN", action="append", default=[], help="select only files that match (repeatable)"
    )
    parser.add_argument(
        "--exclude", metavar="PATTERN", action="append", default=[], help="exclude files that match (repeatable)"
    )
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = "The token is read from HF_TOKEN, HF_TOKEN_PATH, or HF_HOME, as by Hugging Face's own client."


def run_pin(options: Namespace, store: Store, kind: Kind) -> int:
    from rules_bento.dataclasses_lite import asdict

    from bento_cli.sharing.huggingface import pin

    name, _, revision = options.model.partition("@")
    pinned = pin(
        name,
        revision or "main",
        endpoint=options.endpoint or "",
        include=options.include,
        exclude=options.exclude,
    )
    if not show.data(asdict(pinned), options.output):
        show.out(show.plain(_pin_lines(pinned, revision or "main")))
    return status.OK


def _pin_lines(snapshot: Snapshot, asked: str) -> str:
    import re

    from bento_cli.projects.starlark import call, literal

    name = re.sub(r"[^a-z0-9]+", "_", snapshot.model_id.rpartition("/")[2].lower()).strip("_")
    tag = {"name": name, "files": snapshot.files, "huggingface": snapshot.model_id, "revision": snapshot.revision}
    return (
        f"# {literal(asked)} of {snapshot.model_id} today. In the source:\n"
        f"#     HuggingFaceModel({literal(snapshot.model_id)}, revision={literal(snapshot.revision)})\n"
        f"# or, for a Bento that brings the files, in MODULE.bazel:\n"
        f"{call('bento.model', tag)}\nuse_repo(bento, {literal(name)})"
    )
