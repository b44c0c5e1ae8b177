"""`bento models pin`: asks a Hugging Face hub for a commit and its files."""

from __future__ import annotations

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.sharing.huggingface import Snapshot


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add arguments for a model of a hub, for which of its files are wanted, and for the output."""
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


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Print the commit and the hashes, as a source and as MODULE.bazel take them."""
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
        show.out(show.plain(_lines(pinned, revision or "main")))
    return status.OK


def _lines(snapshot: Snapshot, asked: str) -> str:
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
