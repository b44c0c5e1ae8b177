"""Implements `bento doctor` and `bento models pin`."""

from __future__ import annotations

import re

import click
from rules_bento.base.dataclasses_lite import asdict
from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence

from bento_cli.cli import shared_options, show, status
from bento_cli.cli.command import command

if TYPE_CHECKING:
    from bento_cli.library import Store
    from bento_cli.sharing.huggingface import Snapshot


@command("", "--cache https://cache.example.com")
@shared_options.option(
    "--cache URL", "Also measure the remote cache at this URL (grpc, grpcs, http, or https) with blobs up to 256 MiB"
)
@shared_options.output("text", "json", "yaml")
def doctor_command(store: Store, cache: str | None, output: str) -> int:
    """Check this machine for problems.

    The exit code is 1 if a check reports an error. The command compares the names and sizes of the files in the store
    with their manifests. To compare their contents, run `bento verify`. The command changes nothing, starts no other
    program, and uses the network only with --cache.
    """
    from bento_cli.cli.diagnosis import ERROR, OK, diagnose

    findings = diagnose(store.home)
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
