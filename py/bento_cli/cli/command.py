"""Defines classes for commands: options of all commands, groups that import a command on first use, and completion."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, Mapping, cast
from rules_bento.bentos.assembly.kinds import BENTO

from bento_cli.cli import show, status, version

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from rules_bento.bentos.assembly.kinds import Kind


COMPLETE = "_BENTO_COMPLETE"
"""The environment variable through which shells request completions."""


class File(click.ParamType[str]):
    """The type of options and arguments for which a shell completes file names."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Tell the shell to complete file names."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class Names(click.ParamType[str]):
    """The type of options for which a shell completes one of `names`. The command checks the value."""

    name = "name"

    def __init__(self, *names: str) -> None:
        self._names = names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin with `incomplete`."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in self._names if name.startswith(incomplete)]


class Tag(click.ParamType[str]):
    """The type of options and arguments for which a shell completes tags in the store."""

    name = "tag"

    def __init__(self, kind: Kind = BENTO, if_image: str = "") -> None:
        """`if_image` is the remedy of a command that accepts no image in a registry."""
        self._kind, self._if_image = kind, if_image

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return a tag. Raises BentoError for an image in a registry, if the command has a remedy for images."""
        if self._if_image and is_reference(value):
            raise BentoError("an image in a registry, not a Bento", place=value, remedy=self._if_image)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the tags that begin with `incomplete`. Reads only directory names, because the shell waits."""
        from click.shell_completion import CompletionItem

        from bento_cli.library import Store

        places = Store(ctx.meta.get("home")).section(self._kind).entry_store.directory.glob("*/*")
        tags = sorted(f"{path.parent.name}:{path.name}" for path in places if path.is_dir())
        return [CompletionItem(tag) for tag in tags if tag.startswith(incomplete)]


def is_reference(target: str) -> bool:
    """Return whether `target` is a registry reference. Without `oci://`, an existing path isn't a reference."""
    from rules_bento.images.registry.reference import SCHEME, has_registry

    is_path = target.startswith(".") or Path(target).exists()
    return target.startswith(SCHEME) or (has_registry(target) and not is_path)


class Command(click.Command):
    """A command that runs with the store as its first argument. Each command also accepts the global options."""

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), kept: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.kept = kept
        own = {name for param in self.params for name in param.opts}
        options = global_options()[:1] if self.context_settings else global_options()  # BentoML has options of its own
        for option in options:
            option.opts = [name for name in option.opts if name not in own]
        self.params += options

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse arguments. Errors have the context, so that the message has the name of the command."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            if isinstance(error, click.NoSuchOption) and any(param.name == "words" for param in self.params):
                problem = f"No such option '{error.option_name}'. Pass options of the builder after `--`."
                raise click.UsageError(problem, ctx) from None
            raise

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the examples."""
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {ctx.command_path} {words}".rstrip() + "\n" for words in self.examples))

    def invoke(self, ctx: click.Context) -> int:
        """Run the command, and return its exit code."""
        from bento_cli.library import Store

        meta = ctx.meta
        show.configure(
            color=meta.get("color", "auto"),
            quiet="no_notes" in meta,
            no_progress="no_progress" in meta,
            verbosity=meta.get("verbose", 0),
            json="json" in (ctx.params.get("output"), ctx.params.get("shown")),
        )
        home = meta.get("home")
        store = Store(home, durable=not ctx.params.pop("no_sync", False))
        try:
            with show.on_interrupt(self.kept):
                return ctx.invoke(cast("Callable[..., int | None]", self.callback), store, **ctx.params) or status.OK
        finally:
            missing = store.home.root if home else store.home.root.parent
            if not missing.is_dir():
                show.note(
                    f"{'--home' if home else 'BENTOML_HOME'}: {home or missing} doesn't exist, so the store is empty."
                )


def command(*examples: str, **settings: Any) -> Callable[[Callable[..., int | None]], Command]:
    """Return a decorator that makes a command of a function.

    `examples` are arguments in the examples of the help. `kept` is a sentence on what remains after an interruption.
    """
    return click.command(cls=Command, examples=examples, **settings)


def global_options() -> list[click.Option]:
    """Return the options that can be before and after the name of a command. Their values are in `Context.meta`."""

    def option(*names: str, **settings: Any) -> click.Option:
        return click.Option(names, default=None, expose_value=False, callback=_keep, **settings)

    home = "Use the store in this directory (default: BENTOML_HOME, otherwise ~/bentoml)"
    colors = click.Choice(("auto", "always", "never"))
    return [
        option("--home", metavar="DIRECTORY", help=home, type=File()),
        option("-q", "--quiet", "no_notes", is_flag=True, help="Don't print notes or progress"),
        option("--no-progress", is_flag=True, help="Don't print progress"),
        option("-v", "--verbose", count=True, help="Print steps, and tracebacks for internal errors (-vv: requests)"),
        option("--color", metavar="WHEN", type=colors, help="Color the output: auto, always, or never (default: auto)"),
    ]


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value == "":
        raise BentoError("--home: expected a directory, got an empty string. Specify a directory, or remove --home.")
    if value is not None:
        ctx.meta[param.name] = value


_OTHER_NAMES = {"rm": "delete", "remove": "delete", "inspect": "get", "show": "get", "load": "import", "save": "export"}
_OF_BENTOML = ("env", "code", "deployment", "secret")


class Group(click.Group):
    """A group that imports the module of a command when the command is used.

    `sections` maps the headings of the help to the names of commands. The value of a name is the module in `commands`,
    which defines the command as `NAME_command`, or as a function that returns the command for a kind.
    """

    def __init__(
        self, name: str, *, sections: Mapping[str, Mapping[str, str | click.Group]], kind: Kind = BENTO, **settings: Any
    ) -> None:
        self._kind = kind
        self._sections = sections
        self._sources = {name: source for commands in sections.values() for name, source in commands.items()}
        super().__init__(name, cast("Any", self._sources), params=global_options(), **settings)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse options of the group. `help COMMAND` is the same as `COMMAND --help`."""
        return super().parse_args(ctx, [*args[1:], "--help"] if args[:1] == ["help"] else args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        return list(self._sources)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command. Returns None if the command doesn't exist."""
        source = self._sources.get(cmd_name)
        if (other := _OTHER_NAMES.get(cmd_name)) in self._sources:
            raise click.NoSuchCommand(cmd_name, f"No such command '{cmd_name}'. Did you mean '{other}'?", ctx=ctx)
        if cmd_name in _OF_BENTOML and self.name == "bento":
            raise BentoError(f"bento has no command {cmd_name}. Install BentoML, and use the `bentoml` command.")
        if not isinstance(source, str):
            return source
        module = import_module(f"bento_cli.cli.commands.{source}")
        found = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return cast("click.Command", found if isinstance(found, click.Command) else found(self._kind))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the commands in sections."""
        for section, names in self._sections.items():
            commands = [(name, cast("click.Command", self.get_command(ctx, name))) for name in names]
            with formatter.section(section):
                formatter.write_dl([(name, each.get_short_help_str(2 * formatter.width)) for name, each in commands])

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Command]]:
        """Yield the names and commands of this group and of its subgroups."""
        for name in self._sources:
            found = self.get_command(click.Context(self), name)
            if isinstance(found, Group):
                yield from found.walk(f"{prefix}{name} ")
            elif isinstance(found, Command):
                yield f"{prefix}{name}", found


def print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    """Print the version for `--version`, and exit."""
    if value and not ctx.resilient_parsing:
        show.out(f"bento {version()}")
        ctx.exit()
