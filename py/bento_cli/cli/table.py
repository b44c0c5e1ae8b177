"""Lists the commands.

A command is a module of `commands` with two functions:

    add_arguments(parser, kind)     adds the arguments, and the parser's epilog
    run(options, store, kind)       runs the command; returns a status (`status`)

and an entry in `COMMANDS`. One module can serve Bentos and models, which `kind` distinguishes. Arguments with the
metavar TAG complete to the tags of the kind, and arguments with PATH to files.
"""

from __future__ import annotations

from rules_bento.bento.kinds import BENTO, MODEL, Kind
from rules_bento.dataclasses_lite import dataclass
from rules_bento.typing_lite import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from bento_cli.library import Store


class Module(Protocol):
    """Declares the functions of a command's module."""

    def add_arguments(self, parser: ArgumentParser, kind: Kind) -> None: ...  # noqa: D102
    def run(self, options: Namespace, store: Store, kind: Kind) -> int: ...  # noqa: D102
    def split(self, words: list[str]) -> tuple[list[str], list[str]]: ...  # noqa: D102 - only if it forwards


@dataclass(frozen=True)
class Command:
    """Describes a command: its name, its module, and what it does."""

    name: str
    module: str
    summary: str
    kind: Kind = BENTO
    hidden: bool = False
    forwards: bool = False  # passes unknown arguments to another program; its module has `split`

    def load(self) -> Module:
        """Import the module of a command."""
        from importlib import import_module

        return cast("Module", import_module(f"bento_cli.cli.commands.{self.module}"))

    def run(self, options: Namespace) -> int:
        """Run the command with parsed options."""
        from bento_cli.library import Store

        store = Store(options.home, durable=not getattr(options, "no_sync", False))
        return self.load().run(options, store, self.kind)


GROUPS = {
    "Build": (
        Command("build", "build", "Build a Bento from a project."),
        Command("containerize", "containerize", "Build an image of a Bento with docker, podman, or another builder."),
        Command("serve", "serve", "Serve a Bento with BentoML.", forwards=True),
        Command("migrate", "migrate", "Print the BUILD and MODULE.bazel files for a project."),
        Command("doctor", "doctor", "Check this machine and a workspace for problems."),
    ),
    "Store": (
        Command("list", "list_", "List the Bentos of the store, newest first."),
        Command("get", "get", "Show the bento.yaml of a Bento."),
        Command("delete", "delete", "Delete Bentos."),
        Command("import", "import_", "Import archives of Bentos, and their models, into the store."),
        Command("export", "export", "Write a Bento and its models to an archive."),
        Command("bundle", "bundle", "Write several Bentos, with each model once, to one file."),
        Command("unbundle", "unbundle", "Import a bundle into the store, or write its entries to archives."),
        Command("gc", "gc", "Remove files that no Bento or model uses."),
    ),
    "Share": (
        Command("push", "push", "Push a Bento and its models to a registry, BentoCloud, or Yatai."),
        Command("pull", "pull", "Pull a Bento and its models from a registry, BentoCloud, or Yatai into the store."),
        Command("copy", "copy", "Copy artifacts and images of a registry to other repositories."),
        Command("tags", "tags", "List the tags of a repository."),
        Command("sign", "sign", "Sign archives, OCI layouts, and artifacts of registries in cosign's formats."),
    ),
    "Inspect": (
        Command("tree", "tree", "Show the files and models of a Bento or an archive."),
        Command("diff", "diff", "Show the differences of two Bentos or archives."),
        Command("verify", "verify", "Check the store or an archive for damage, or verify signatures."),
        Command("audit", "audit", "Check packages for known vulnerabilities and licenses, offline."),
    ),
    "Models": (
        Command("models list", "list_", "List the models of the store, newest first.", MODEL),
        Command("models get", "get", "Show the model.yaml of a model.", MODEL),
        Command("models pin", "pin", "Print the commit and the file hashes of a model of Hugging Face Hub.", MODEL),
        Command("models delete", "delete", "Delete models that no Bento uses.", MODEL),
        Command("models import", "import_", "Import archives of models into the store.", MODEL),
        Command("models export", "export", "Write a model to an archive.", MODEL),
        Command("models push", "push", "Push a model to a registry, BentoCloud, or Yatai.", MODEL),
        Command("models pull", "pull", "Pull a model from a registry, BentoCloud, or Yatai into the store.", MODEL),
    ),
    "Cloud": (
        Command("cloud login", "cloud_login", "Log in to BentoCloud or Yatai, and save a context."),
        Command("cloud current-context", "cloud_current_context", "Show the context that push and pull use."),
        Command("cloud list-context", "cloud_list_context", "List the contexts."),
        Command("cloud update-current-context", "cloud_update_context", "Select the context that push and pull use."),
    ),
    "Shell": (
        Command("completion", "completion", "Print a completion script for a shell."),
        Command("complete", "complete", "Print completions, for the scripts of `completion`.", hidden=True),
    ),
}
"""The commands of each group, in the order of the help."""

COMMANDS = tuple(command for commands in GROUPS.values() for command in commands)


def find(words: list[str]) -> tuple[Command, int] | None:
    """Return the command that the first words name, and the number of these words."""
    for count in (2, 1):
        name = " ".join(words[:count])
        for command in COMMANDS:
            if command.name == name and len(words) >= count:
                return command, count
    return None


def is_group(word: str) -> bool:
    """Return whether commands begin with the word and a space."""
    return any(command.name.startswith(f"{word} ") for command in COMMANDS)
