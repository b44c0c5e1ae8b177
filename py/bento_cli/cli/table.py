"""Defines the table of all commands.

A module in `commands` implements each command with two functions. For the command `models list`, the function
`add_list_arguments(parser, kind)` adds the arguments and the epilog to the parser. The function `run_list(options,
store, kind)` runs the command, and returns an exit code from `status`. `kind` specifies whether the command is for
Bentos or models. Shell completion suggests tags of this kind for arguments with the metavar TAG, and file names for
arguments with the metavar PATH.
"""

from __future__ import annotations

from rules_bento.bento.kinds import BENTO, MODEL, Kind
from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.cli import show

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


@dataclass(frozen=True)
class Command:
    """A command, such as `bento build`. The module `commands.<module>` implements the command."""

    name: str
    module: str
    summary: str
    kind: Kind = BENTO
    hidden: bool = False
    forwards: bool = False  # passes unknown arguments to another program; the module has a function `split_NAME`

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command to `parser`."""
        self._function("add_{}_arguments")(parser, self.kind)

    def split(self, words: list[str]) -> tuple[list[str], list[str]]:
        """Split arguments into arguments for the command, and arguments for another program."""
        own, forwarded = self._function("split_{}")(words)
        return own, forwarded

    def run(self, options: Namespace) -> int:
        """Run the command with parsed options, and return its exit code."""
        from bento_cli.library import Store

        if options.home == "":
            raise BentoError(
                "--home: expected a directory, got an empty string. Specify a directory, or remove --home."
            )
        store = Store(options.home, durable=not getattr(options, "no_sync", False))
        try:
            return int(self._function("run_{}")(options, store, self.kind))
        finally:
            if options.home and not store.home.root.is_dir():
                show.note(f"--home: {options.home} doesn't exist, so the store is empty.")

    def _function(self, name: str) -> Any:
        from importlib import import_module

        module = import_module(f"bento_cli.cli.commands.{self.module}")
        return getattr(module, name.format(self.name.rpartition(" ")[2].replace("-", "_")))


GROUPS = {
    "Build": (
        Command("build", "build", "Build a Bento from a project."),
        Command("containerize", "run", "Build a container image of a Bento."),
        Command("serve", "run", "Serve a Bento with BentoML.", forwards=True),
        Command("migrate", "projects", "Print or write BUILD.bazel and MODULE.bazel files for a project."),
        Command("doctor", "projects", "Check this machine and a workspace for problems."),
    ),
    "Store": (
        Command("list", "store", "List the Bentos in the store, newest first."),
        Command("get", "store", "Print the metadata (bento.yaml) of a Bento."),
        Command("delete", "store", "Delete Bentos from the store."),
        Command("import", "archives", "Import Bentos and their models from archives."),
        Command("export", "archives", "Export a Bento and its models to an archive."),
        Command("bundle", "archives", "Export several Bentos and their models to one file."),
        Command("unbundle", "archives", "Import the Bentos and models of a bundle, or extract its archives."),
        Command("gc", "store", "Remove unused files from the store."),
    ),
    "Share": (
        Command("push", "sharing", "Push a Bento and its models to a registry, BentoCloud, or Yatai."),
        Command("pull", "sharing", "Pull a Bento and its models from a registry, BentoCloud, or Yatai."),
        Command("sign", "signatures", "Sign archives, OCI layouts, and artifacts in registries."),
    ),
    "Inspect": (
        Command("tree", "contents", "Show the files and models of a Bento or an archive."),
        Command("diff", "contents", "Show the differences between two Bentos or archives."),
        Command("verify", "signatures", "Check the store or archives for damage, or verify signatures."),
        Command("audit", "audit", "Check packages offline for known vulnerabilities and for licenses."),
    ),
    "Models": (
        Command("models list", "store", "List the models in the store, newest first.", MODEL),
        Command("models get", "store", "Print the metadata (model.yaml) of a model.", MODEL),
        Command("models pin", "projects", "Print the commit and file hashes of a Hugging Face model.", MODEL),
        Command("models delete", "store", "Delete models from the store.", MODEL),
        Command("models import", "archives", "Import models from archives.", MODEL),
        Command("models export", "archives", "Export a model to an archive.", MODEL),
        Command("models push", "sharing", "Push a model to a registry, BentoCloud, or Yatai.", MODEL),
        Command("models pull", "sharing", "Pull a model from a registry, BentoCloud, or Yatai.", MODEL),
    ),
    "Cloud": (
        Command("cloud login", "cloud", "Log in to BentoCloud or Yatai."),
        Command("cloud current-context", "cloud", "Print the current context."),
        Command("cloud list-context", "cloud", "List the contexts."),
        Command("cloud update-current-context", "cloud", "Select the current context."),
    ),
    "Shell": (
        Command("completion", "shell", "Print a shell completion script."),
        Command("complete", "shell", "Print completions of a command line, for completion scripts.", hidden=True),
    ),
}
"""The commands in each group, in the same order as in the help."""

COMMANDS = tuple(command for commands in GROUPS.values() for command in commands)

EXAMPLES = {
    "build": ("svc", "svc --archive svc.bento"),
    "containerize": ("iris:latest", "iris:latest -t registry.example/iris:v1"),
    "serve": ("iris:latest", "iris:latest --port 3001"),
    "migrate": ("svc",),
    "doctor": ("", "--online"),
    "list": ("", "iris -o json"),
    "get": ("iris:latest", "iris:latest -o json"),
    "delete": ("iris:v1", "iris --yes"),
    "import": ("iris.bento", "s3://bucket/iris.bento"),
    "export": ("iris:latest", "iris:latest iris.tar.gz"),
    "bundle": ("all.bundle iris:v1 fraud:v2",),
    "unbundle": ("all.bundle", "all.bundle --to archives"),
    "gc": ("--dry-run",),
    "push": ("iris:latest oci://registry.example/bentos/iris", "iris:latest"),
    "pull": ("oci://registry.example/bentos/iris:v1", "iris:v1"),
    "sign": ("--key cosign.key iris.bento",),
    "tree": ("iris:latest", "./iris.bento"),
    "diff": ("iris:v1 iris:v2",),
    "verify": ("", "--key cosign.pub iris.bento"),
    "audit": ("iris:latest --advisories osv.zip",),
    "models list": ("", "clf -o json"),
    "models get": ("clf:latest",),
    "models pin": ("org/model",),
    "models delete": ("clf:v1",),
    "models import": ("clf.bentomodel",),
    "models export": ("clf:latest",),
    "models push": (
        "clf:latest oci://registry.example/models/clf",
        "llm:latest oci://registry.example/models/llm --format kserve",
    ),
    "models pull": ("oci://registry.example/models/clf:v1",),
    "cloud login": ("--endpoint https://cloud.example",),
    "cloud update-current-context": ("staging",),
    "completion": ("bash",),
}
"""The arguments in the examples that the help of each command shows."""


def find(words: list[str]) -> tuple[Command, int] | None:
    """Return the command at the start of `words`, and the number of its words. Returns None if no command matches."""
    for count in (2, 1):
        name = " ".join(words[:count])
        for command in COMMANDS:
            if command.name == name and len(words) >= count:
                return command, count
    return None


def is_group(word: str) -> bool:
    """Return whether `word` is a group of commands, such as `models` in `models list`."""
    return any(command.name.startswith(f"{word} ") for command in COMMANDS)
