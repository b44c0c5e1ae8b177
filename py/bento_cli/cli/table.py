"""The table of commands.

A command is a module of `commands` with two functions:

    add_arguments(parser, kind)     its arguments, and in the parser's epilog what people need beside them
    run(options, store, kind)       do it; returns a status (`status`)

and a line here. The same module may serve Bentos and models, which `kind` tells apart. Arguments whose metavar is TAG
complete to the tags of the kind, those with PATH to files.
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
    def split(self, words: list[str]) -> tuple[list[str], list[str]]: ...  # noqa: D102 - if it forwards


@dataclass(frozen=True)
class Command:
    """Describes a command: the words that people type, its module, and what it does."""

    name: str
    module: str
    summary: str
    kind: Kind = BENTO
    hidden: bool = False
    forwards: bool = False  # words that are not its own go on to another program; its module has a `split`, too

    def load(self) -> Module:
        """Import the module of a command."""
        from importlib import import_module

        return cast("Module", import_module(f"bento_cli.cli.commands.{self.module}"))

    def run(self, options: Namespace) -> int:
        """Run it with parsed options."""
        from bento_cli.library import Store

        store = Store(options.home, durable=not getattr(options, "no_sync", False))
        return self.load().run(options, store, self.kind)


COMMANDS = (
    Command("build", "build", "Build a Bento of a project, without importing it."),
    Command("migrate", "migrate", "Print the BUILD and MODULE lines that a project becomes with Bazel."),
    Command("doctor", "doctor", "Say what a machine or a workspace lacks."),
    Command("list", "list_", "List the Bentos of the store, the newest first."),
    Command("get", "get", "Show what a Bento's bento.yaml says."),
    Command("tree", "tree", "Show the files and models of a Bento or an archive."),
    Command("delete", "delete", "Delete Bentos."),
    Command("import", "import_", "Take archives of Bentos, and their models, into the store."),
    Command("export", "export", "Write a Bento and its models to an archive."),
    Command("push", "push", "Send a Bento and its models to a registry or a cloud."),
    Command("pull", "pull", "Fetch a Bento and its models from a registry or a cloud into the store."),
    Command("tags", "tags", "List the tags of a repository of a registry."),
    Command("copy", "copy", "Copy what a registry has to other places."),
    Command("serve", "serve", "Serve a Bento with real BentoML.", forwards=True),
    Command("containerize", "containerize", "Build an image of a Bento with docker, podman and their like."),
    Command("sign", "sign", "Sign archives, layouts and what registries have, as cosign does."),
    Command("verify", "verify", "Look for damage: in the store, or in an archive; verify signatures."),
    Command("audit", "audit", "Hold packages against known vulnerabilities and licences, offline."),
    Command("diff", "diff", "Show how two Bentos or archives differ."),
    Command("bundle", "bundle", "Pack several Bentos, and their models once, into one file."),
    Command("unbundle", "unbundle", "Take all that a bundle has into the store, or write it to archives."),
    Command("gc", "gc", "Remove what no Bento or model uses."),
    Command("models list", "list_", "List the models of the store, the newest first.", MODEL),
    Command("models get", "get", "Show what a model's model.yaml says.", MODEL),
    Command("models pin", "pin", "Print commit and hashes of what a Hugging Face hub has.", MODEL),
    Command("models delete", "delete", "Delete models that no Bento uses.", MODEL),
    Command("models import", "import_", "Take archives of models into the store.", MODEL),
    Command("models export", "export", "Write a model to an archive.", MODEL),
    Command("models push", "push", "Send a model to a registry or a cloud.", MODEL),
    Command("models pull", "pull", "Fetch a model from a registry or a cloud into the store.", MODEL),
    Command("cloud login", "cloud_login", "Log in to BentoCloud or Yatai: make a context."),
    Command("cloud current-context", "cloud_current_context", "Show the context that push and pull talk to."),
    Command("cloud list-context", "cloud_list_context", "List the contexts."),
    Command("cloud update-current-context", "cloud_update_context", "Choose a context."),
    Command("completion", "completion", "Print the script that lets a shell complete this command."),
    Command("complete", "complete", "Print what could come next; for the scripts of `completion`.", hidden=True),
)


def find(words: list[str]) -> tuple[Command, int] | None:
    """Return the command that the first words name, and how many of them do."""
    for count in (2, 1):
        name = " ".join(words[:count])
        for command in COMMANDS:
            if command.name == name and len(words) >= count:
                return command, count
    return None


def is_group(word: str) -> bool:
    """Return whether commands begin with the word and a space."""
    return any(command.name.startswith(f"{word} ") for command in COMMANDS)
