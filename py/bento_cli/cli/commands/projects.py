"""Implements `bento migrate`, `bento doctor`, and `bento models pin`, which set up and check Bazel workspaces."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import arguments, show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.sharing.huggingface import Snapshot


def add_migrate_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "project",
        metavar="PATH",
        nargs="?",
        default=".",
        help="Migrate this project directory (default: the current directory)",
    )
    arguments.add_bentofile(parser)
    parser.add_argument(
        "--hub",
        metavar="NAME",
        help="Set the package hub's name (default: the existing package hub for the project's lock, otherwise an "
        "unused name such as pypi)",
    )
    parser.add_argument(
        "--package",
        metavar="PATH",
        help="Generate targets for this Bazel package (default: the project directory's package)",
    )
    arguments.add_flag(
        parser, "--write", help="Add the generated lines to MODULE.bazel and BUILD.bazel, and write requirements files"
    )
    arguments.add_flag(parser, "--force", help="Replace existing targets and requirements files; requires --write")
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Without --write, the command writes no files. The command doesn't execute your code. The notes list\n"
        "everything that you must migrate manually."
    )


def run_migrate(options: Namespace, store: Store, kind: Kind) -> int:
    from pathlib import Path

    from rules_bento.bento.kinds import MODEL
    from rules_bento.dataclasses_lite import asdict

    from bento_cli.projects.migrate import migrate, write
    from bento_cli.projects.workspace import Workspace, find_root, read_root

    project = Path(options.project)
    root = find_root(project)
    own_package = project.resolve().relative_to(root).as_posix().removeprefix(".") if root else ""
    package = own_package if options.package is None else options.package
    if options.force and not options.write:
        raise BentoError("--force requires --write. Add --write, or remove --force.")
    if options.write and package.strip("/") != own_package:
        raise BentoError(f"--package: with --write, the package is always //{own_package}. Remove --package.")
    migration = migrate(
        project,
        package,
        bentofile=options.bentofile,
        store=store.home.entries_dir(MODEL),
        workspace=read_root(root) if root else Workspace(),
        hub=options.hub,
        is_written=options.write,
    )
    written = write(migration, root or project, project, force=options.force) if options.write else []
    if not show.data(asdict(migration) | ({"written": written} if options.write else {}), options.output):
        show.out(show.plain(migration.text(written).rstrip("\n")))
    return status.OK


def add_doctor_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "directory",
        metavar="PATH",
        nargs="?",
        default=".",
        help="Check the workspace in this directory (default: the current directory)",
    )
    arguments.add_flag(parser, "--online", help="Also check whether the package index responds")
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "The exit code is 1 if a check reports an error. The command changes nothing, and uses the network only "
        "with --online."
    )


def run_doctor(options: Namespace, store: Store, kind: Kind) -> int:
    import os
    from pathlib import Path

    from rules_bento.dataclasses_lite import asdict

    from bento_cli.cli.diagnosis import ERROR, OK, HostEnvironment, diagnose
    from bento_cli.projects.workspace import find_root

    directory = Path(options.directory)
    if not directory.is_dir():
        raise BentoError(f"{directory}: no such directory. Specify the directory of a workspace.")
    findings = diagnose(HostEnvironment(find_root(directory), os.environ), online=options.online)
    if not show.data([asdict(finding) for finding in findings], options.output):
        paint = {OK: show.good, ERROR: show.bad}
        for finding in findings:
            state = paint.get(finding.state, show.changed)(f"{finding.state:7}")
            show.out(f"{state}  {show.plain(finding.about)}: {show.plain(finding.text)}")
            if finding.remedy:
                show.out(f"         {show.plain(finding.remedy)}")
    return status.ERROR if any(finding.state == ERROR for finding in findings) else status.OK


def add_pin_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "model",
        metavar="ORGANIZATION/NAME[@REVISION]",
        help="Pin this Hugging Face model to a commit; REVISION is a branch, tag, or commit ID (default: main)",
    )
    parser.add_argument("--endpoint", metavar="URL", help="Use the Hugging Face Hub at this URL (default: HF_ENDPOINT)")
    arguments.add_repeatable(
        parser, "--include", metavar="PATTERN", help="Include only files that match this pattern, such as *.json"
    )
    arguments.add_repeatable(
        parser, "--exclude", metavar="PATTERN", help="Exclude files that match this pattern, such as *.bin"
    )
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Requires the extra huggingface of rules-bento-cli, or //tools:bento_with_transports. The token comes from "
        "HF_TOKEN, HUGGING_FACE_HUB_TOKEN, or the token file. HF_TOKEN_PATH, HF_HOME, or XDG_CACHE_HOME specifies the "
        "location of the file."
    )


def run_pin(options: Namespace, store: Store, kind: Kind) -> int:
    from rules_bento.dataclasses_lite import asdict

    from bento_cli.sharing.huggingface import pin

    name, _, revision = options.model.partition("@")
    revision = revision or "main"
    snapshot = pin(name, revision, endpoint=options.endpoint or "", include=options.include, exclude=options.exclude)
    if not show.data(asdict(snapshot), options.output):
        show.out(show.plain(_pin_lines(snapshot, revision)))
    return status.OK


def _pin_lines(snapshot: Snapshot, revision: str) -> str:
    import re

    from bento_cli.projects.starlark import call, literal

    name = re.sub(r"[^a-z0-9]+", "_", snapshot.model_id.rpartition("/")[2].lower()).strip("_")
    tag = {"name": name, "files": snapshot.files, "repository": snapshot.model_id, "revision": snapshot.revision}
    return (
        f"# The current commit of {snapshot.model_id}, revision {literal(revision)}.\n"
        f"# To download the model at startup, in the service:\n"
        f"#     HuggingFaceModel({literal(snapshot.model_id)}, revision={literal(snapshot.revision)})\n"
        f"# To include the model in the Bento, in MODULE.bazel:\n"
        f"{call('bento.hugging_face_model', tag)}\nuse_repo(bento, {literal(name)})"
    )
