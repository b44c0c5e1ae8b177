"""Implements `bento migrate`, `bento doctor`, and `bento models pin`, which set up and check Bazel workspaces."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
from rules_bento.base.dataclasses_lite import asdict
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence
from rules_bento.bentos.assembly.kinds import MODEL

from bento_cli.cli import shared_options, show, status
from bento_cli.cli.command import command

if TYPE_CHECKING:
    from bento_cli.library import Store
    from bento_cli.sharing.huggingface import Snapshot


@command("svc")
@shared_options.directory("project", help="Migrate this project")
@shared_options.bentofile
@shared_options.option(
    "--hub NAME",
    "Set the package hub's name (default: the existing package hub for the project's lock or, without a lock, of the "
    "workspace, otherwise an unused name such as pypi)",
)
@shared_options.option("--package PATH", "Generate targets for this Bazel package (default: the project's)")
@shared_options.option(
    "--write", "Add the generated lines to MODULE.bazel and BUILD.bazel, and write requirements files"
)
@shared_options.option("--force", "Replace existing targets and requirements files; requires --write")
@shared_options.output("text", "json", "yaml")
def migrate_command(
    store: Store,
    project: str,
    bentofile: str | None,
    hub: str | None,
    package: str | None,
    write: bool,
    force: bool,
    output: str,
) -> None:
    """Print or write BUILD.bazel and MODULE.bazel files for a project.

    Without --write, the command writes no files. The command doesn't execute your code. The notes list everything that
    you must migrate manually.
    """
    from bento_cli.projects import migrate
    from bento_cli.projects.workspace import Workspace, find_root, read_root

    directory = Path(project)
    root = find_root(directory)
    own_package = directory.resolve().relative_to(root).as_posix().removeprefix(".") if root else ""
    package = own_package if package is None else package
    if force and not write:
        raise BentoError("--force requires --write. Add --write, or remove --force.")
    if write and package.strip("/") != own_package:
        raise BentoError(f"--package: with --write, the package is always //{own_package}. Remove --package.")
    migration = migrate.migrate(
        directory,
        package,
        bentofile=bentofile,
        store=store.home.entries_dir(MODEL),
        workspace=read_root(root) if root else Workspace(),
        hub=hub,
        is_written=write,
    )
    written = migrate.write(migration, root or directory, directory, force=force) if write else []
    if not show.data(asdict(migration) | ({"written": written} if write else {}), output):
        show.out(show.plain(migration.text(written).rstrip("\n")))


@command("", "--online", "--cache https://cache.example.com")
@shared_options.directory("directory", help="Check the workspace in this directory")
@shared_options.option("--online", "Also check whether the package index responds")
@shared_options.option(
    "--cache URL", "Also measure the remote cache at this URL (grpc, grpcs, http, or https) with blobs up to 256 MiB"
)
@shared_options.output("text", "json", "yaml")
def doctor_command(store: Store, directory: str, online: bool, cache: str | None, output: str) -> int:
    """Check this machine and a workspace for problems.

    The exit code is 1 if a check reports an error; without a workspace, Bazel isn't required. The command compares the
    names and sizes of the files in the store with their manifests. To compare their contents, run `bento verify`. The
    command changes nothing, and uses the network only with --online and --cache.
    """
    from bento_cli.cli.diagnosis import ERROR, OK, HostEnvironment, diagnose
    from bento_cli.cli.diagnosis import command as check_command
    from bento_cli.projects.workspace import find_root

    if not Path(directory).is_dir():
        raise BentoError(f"{Path(directory)}: no such directory. Specify the directory of a workspace.")
    host = HostEnvironment(find_root(Path(directory)), os.environ)
    findings = [*diagnose(host, online=online), *check_command(host, store.home)]
    if cache:
        from bento_cli.cli.cache_check import check

        findings.append(check(cache))
    if not show.data([asdict(finding) for finding in findings], output):
        paint = {OK: show.good, ERROR: show.bad}
        for finding in findings:
            state = paint.get(finding.state, show.changed)(f"{finding.state:7}")
            show.out(f"{state}  {show.plain(finding.about)}: {show.plain(finding.text)}")
            if finding.remedy:
                show.out(f"         {show.plain(finding.remedy)}")
    return status.ERROR if any(finding.state == ERROR for finding in findings) else status.OK


@command("org/model")
@click.argument(
    "model",
    metavar="ORGANIZATION/NAME[@REVISION]",
    help="Pin this Hugging Face model to a commit; REVISION is a branch, tag, or commit ID (default: main)",
)
@shared_options.option("--endpoint URL", "Use the Hugging Face Hub at this URL (default: HF_ENDPOINT)")
@shared_options.repeatable("--include PATTERN", "Include only files that match this pattern, such as *.json")
@shared_options.repeatable("--exclude PATTERN", "Exclude files that match this pattern, such as *.bin")
@shared_options.output("text", "json", "yaml")
def pin_command(
    store: Store, model: str, endpoint: str | None, include: Sequence[str], exclude: Sequence[str], output: str
) -> None:
    """Print the commit and file hashes of a Hugging Face model.

    Requires the extra huggingface of rules-bento-cli, or //tools:bento_with_transports. The token comes from HF_TOKEN,
    HUGGING_FACE_HUB_TOKEN, or the token file. HF_TOKEN_PATH, HF_HOME, or XDG_CACHE_HOME specifies the location of the
    file.
    """
    from bento_cli.sharing.huggingface import pin

    name, _, revision = model.partition("@")
    revision = revision or "main"
    snapshot = pin(name, revision, endpoint=endpoint or "", include=include, exclude=exclude)
    if not show.data(asdict(snapshot), output):
        show.out(show.plain(_pin_lines(snapshot, revision)))


def _pin_lines(snapshot: Snapshot, revision: str) -> str:
    from bento_cli.projects.starlark import call, literal

    name = re.sub(r"[^a-z0-9]+", "_", snapshot.model_id.rpartition("/")[2].lower()).strip("_")
    tag = {"name": name, "files": snapshot.files, "repository": snapshot.model_id, "revision": snapshot.revision}
    return (
        f"# The current commit of {snapshot.model_id}, revision {literal(revision)}.\n"
        f"# To download the model at startup, in the service:\n"
        f"#     HuggingFaceModel({literal(snapshot.model_id)}, revision={literal(snapshot.revision)})\n"
        f"# To include the model in the Bento, in MODULE.bazel:\n"
        f"{call('bento_files.hugging_face_model', tag)}\nuse_repo(bento_files, {literal(name)})"
    )
