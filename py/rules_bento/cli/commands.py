"""The table of commands.

A command is a module of this package with two functions:

    add_arguments(parser, kind)     its arguments, and in the parser's epilog what people need beside them
    run(options, store, kind)       do it; returns a status (`status`)

and a line here. The same module may serve Bentos and models, which `kind` tells apart. Arguments whose metavar is TAG
complete to the tags of the kind, those with PATH to files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from rules_bento.store.home import BENTO, MODEL, Kind

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.store.api import Store


class Module(Protocol):
    """What a command's module has."""

    def add_arguments(self, parser: ArgumentParser, kind: Kind) -> None: ...  # noqa: D102
    def run(self, options: Namespace, store: Store, kind: Kind) -> int: ...  # noqa: D102
    def split(self, words: list[str]) -> tuple[list[str], list[str]]: ...  # noqa: D102 - if it forwards


@dataclass(frozen=True)
class Command:
    """A line of the table: the words that people type, where it is done, and what it does."""

    name: str
    module: str
    summary: str
    kind: Kind = BENTO
    hidden: bool = False
    forwards: bool = False  # words that are not its own go on to another program; its module has a `split`, too

    def load(self) -> Module:
        """Import the module."""
        from importlib import import_module

        return cast("Module", import_module(f"rules_bento.cli.{self.module}"))

    def run(self, options: Namespace) -> int:
        """Run it with parsed options."""
        from rules_bento.store.api import Store

        store = Store(options.home, durable=not getattr(options, "no_sync", False))
        return self.load().run(options, store, self.kind)


COMMANDS = (
    Command("build", "building", "Build a Bento of a project, without importing it."),
    Command("migrate", "migration", "Print the BUILD and MODULE lines that a project becomes with Bazel."),
    Command("list", "listing", "List the Bentos of the store, the newest first."),
    Command("get", "details", "Show what a Bento's bento.yaml says."),
    Command("tree", "tree", "Show the files and models of a Bento or an archive."),
    Command("delete", "deletion", "Delete Bentos."),
    Command("import", "importation", "Take archives of Bentos, and their models, into the store."),
    Command("export", "exportation", "Write a Bento and its models to an archive."),
    Command("push", "pushing", "Send a Bento and its models to a registry or a cloud."),
    Command("pull", "pulling", "Fetch a Bento and its models from a registry or a cloud into the store."),
    Command("tags", "tags", "List the tags of a repository of a registry."),
    Command("copy", "copying", "Copy what a registry has to other places."),
    Command("serve", "serving", "Serve a Bento with real BentoML.", forwards=True),
    Command("containerize", "containerizing", "Build an image of a Bento with docker, podman and their like."),
    Command("verify", "verification", "Look for damage: in the store, or in an archive."),
    Command("diff", "difference", "Show how two Bentos or archives differ."),
    Command("bundle", "bundling", "Pack several Bentos, and their models once, into one file."),
    Command("unbundle", "unbundling", "Take all that a bundle has into the store, or write it to archives."),
    Command("gc", "collection", "Remove what no Bento or model uses."),
    Command("models list", "listing", "List the models of the store, the newest first.", MODEL),
    Command("models get", "details", "Show what a model's model.yaml says.", MODEL),
    Command("models delete", "deletion", "Delete models that no Bento uses.", MODEL),
    Command("models import", "importation", "Take archives of models into the store.", MODEL),
    Command("models export", "exportation", "Write a model to an archive.", MODEL),
    Command("models push", "pushing", "Send a model to a registry or a cloud.", MODEL),
    Command("models pull", "pulling", "Fetch a model from a registry or a cloud into the store.", MODEL),
    Command("cloud login", "login", "Log in to BentoCloud or Yatai: make a context."),
    Command("cloud current-context", "contexts", "Show the context that push and pull talk to."),
    Command("cloud list-context", "context_list", "List the contexts."),
    Command("cloud update-current-context", "context_choice", "Choose a context."),
    Command("completion", "completion", "Print the script that lets a shell complete this command."),
    Command("complete", "candidates", "Print what could come next; for the scripts of `completion`.", hidden=True),
)


def find(words: list[str]) -> tuple[Command, int] | None:
    """The command that the first words name, and how many of them do."""
    for count in (2, 1):
        name = " ".join(words[:count])
        for command in COMMANDS:
            if command.name == name and len(words) >= count:
                return command, count
    return None


def is_group(word: str) -> bool:
    """Whether commands begin with the word and a space."""
    return any(command.name.startswith(f"{word} ") for command in COMMANDS)
