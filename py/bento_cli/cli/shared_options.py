"""Defines options that several commands share, and opens the connections and files that the options select."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

import click
from click.core import ParameterSource
from rules_bento.base.archives.tarstream import is_utf8
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, Sequence
from rules_bento.bentos.assembly.kinds import BENTO

from bento_cli.cli import show
from bento_cli.cli.command import File, Tag, is_reference

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rules_bento.base.net.transfers import Progress
    from rules_bento.bentos.assembly.kinds import Kind
    from rules_bento.images.artifacts.signatures import Place, Signing
    from rules_bento.images.registry.client import Registries
    from rules_bento.images.registry.descriptor import Manifest

    from bento_cli.library import Store
    from bento_cli.store.import_session import Act, Options


class Option(click.Option):
    """An option that messages name together with the variable that set it."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return the name of the option, and of the variable, if its value is from the variable."""
        is_variable = ctx and ctx.get_parameter_source(str(self.name)) is ParameterSource.ENVIRONMENT
        return f"{self.opts[0]} ({self.envvar} is set)" if is_variable else super().get_error_hint(ctx)


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
SIGNING = ("sign_key", "keyless", "identity_token", "trust_config", "sign_password_file")
TAG = "NAME:VERSION, or NAME for the latest version"


def combine(*decorators: Decorator, is_hidden: bool = False) -> Decorator:
    """Return a decorator that applies `decorators`, in the order of the help. If `is_hidden`, it must be last."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        for param in function.__dict__["__click_params__"] if is_hidden else ():
            param.hidden = True
        return function

    return decorate


def option(spec: str, help: str, *, name: str = "", **settings: Any) -> Decorator:  # noqa: A002
    """Return an option. `spec` has its names and the placeholder of its value, such as `-o, --output FILE`.

    Without a placeholder and a type, the option is a flag. `name` is the parameter, by default the longest name.
    """
    words = spec.replace(",", "").split()
    names = [word for word in words if word.startswith("-")]
    metavar = " ".join(words[len(names) :]) or None
    if not (metavar or "type" in settings):
        settings["is_flag"] = True
    return click.option(*names, *filter(None, [name]), metavar=metavar, help=help, cls=Option, **settings)


def origin(name: str) -> str:
    """Return what set the parameter `name` of the current command: an option, or also a variable."""
    here = click.get_current_context()
    [param] = [each for each in here.command.params if each.name == name]
    return param.get_error_hint(here).replace("'", "")


isolation = option(
    "--require-isolation",
    "Fail if the system can't isolate the code of the project, and limit the files that the command reaches (default: "
    "BENTO_REQUIRE_ISOLATION)",
    envvar="BENTO_REQUIRE_ISOLATION",
)


def confine(store: Store, outputs: Sequence[str], *, require_isolation: bool) -> None:
    """Limit the files to which this process writes (`project_reach.confine`). In other processes, only checks."""
    from bento_cli import cli
    from bento_cli.projects import project_reach

    if require_isolation:
        project_reach.require()
    if cli.is_process:
        project_reach.confine(store.home, outputs)


def repeatable(spec: str, help: str, **settings: Any) -> Decorator:  # noqa: A002
    """Return an option that can be repeated (see `option`). Its value is a tuple."""
    return option(spec, f"{help} (repeatable)", multiple=True, **settings)


def tag(kind: Kind = BENTO, *, help: str) -> Decorator:  # noqa: A002
    """Return an argument for a tag in the store, or for an archive."""
    return click.argument("tag", type=Tag(kind), help=help)


def directory(name: str, form: str = "[PATH]", *, help: str) -> Decorator:  # noqa: A002
    """Return an argument for a directory, by default the current directory."""
    text = f"{help} (default: the current directory)"
    return click.argument(name, type=File(), metavar=form, default=".", help=text)


def many(name: str, kind: click.ParamType[str], form: str, *, help: str) -> Decorator:  # noqa: A002
    """Return a required argument that can be repeated. Its value is a tuple."""
    return click.argument(name, type=kind, metavar=f"{form}...", nargs=-1, required=True, help=help)


def pairs_option(name: str, form: str = "KEY=VALUE", *, help: str) -> Decorator:  # noqa: A002
    """Return a repeatable option, whose value is a dict. Raises BentoError for invalid values and duplicate keys."""

    def parse(_ctx: click.Context, _param: click.Parameter, texts: Sequence[str]) -> dict[str, str]:
        return pairs(texts, name, form)

    return repeatable(f"{name} {form.partition(',')[0]}", help, callback=parse)


def output(*choices: str) -> Decorator:
    """Return the option `--output`, whose default is the first of `choices`, and `--json`."""
    text = f"Set the output format (default: {choices[0]})"
    choice = option("-o, --output", text, type=click.Choice(choices), default=choices[0])
    return combine(choice, click.option("--json", "output", flag_value="json", help="Print JSON (same as -o json)"))


class _Format(click.Choice[str]):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if str(value).startswith("oci:"):
            self.fail(f"-o is the format of the output. To write the image, add --output {value}.", param, ctx)
        return super().convert(value, param, ctx)


# For commands in which, as in BentoML, --output is an option of the builder.
_format = _Format(("text", "json", "yaml"))
shown = combine(
    option("-o", "Set the output format (default: text)", name="shown", type=_format, default="text"),
    click.option("--json", "shown", flag_value="json", help="Print JSON (same as -o json)"),
)
bentofile = option("-f, --bentofile", "Use this bentofile.yaml or pyproject.toml", type=File())
insecure = repeatable("--insecure HOST[:PORT]", "Allow HTTP connections to this registry")
no_verify = option("--no-verify", "Don't verify files in the store")
no_sync = option(
    "--no-sync", "Don't flush files to disk (faster, but a power failure can damage the stored Bento or model)"
)


def no_models(kind: Kind) -> Decorator:
    """Return the option that excludes models, or no option for models."""
    return option("--no-models", "Exclude the Bento's models") if kind is BENTO else combine()


def force(kind: Kind, *names: str) -> Decorator:
    """Return the option that replaces entries of the store."""
    also = ", and models of the Bento that differ from the store's" if kind is BENTO else ""
    return option(", ".join((*names, "--force")), f"Replace the {kind.noun} if it is already in the store{also}")


def connected(insecure: Sequence[str], what: str) -> AbstractContextManager[tuple[Registries, Progress]]:
    """Return a registry client, and a progress display with the title `what`."""
    from bento_cli.library import connected

    return connected(insecure, what, show.progress_output())


@contextmanager
def located(target: str, insecure: Sequence[str], what: str, digest: str = "") -> Iterator[tuple[Place, str, Manifest]]:
    """Yield where the signatures of an image or artifact are, its name, and its manifest: the one with a digest.

    `target` is HOST/REPOSITORY[:TAG], or an OCI layout. `what` is the title of the progress.
    """
    from rules_bento.images.artifacts.signatures import InLayout, InRegistry
    from rules_bento.images.registry.layout import Layout
    from rules_bento.images.registry.reference import Reference

    if is_reference(target):
        reference = Reference.from_url(target)
        with connected(insecure, f"{what} {reference}") as (registries, _):
            root = registries.repository(reference).get_manifest(digest or reference.target)
            yield InRegistry(reference, registries), reference.name, root
    else:
        layout = Layout.open(Path(target))
        yield InLayout(layout), Path(target).name, layout.find(digest)


def signing_options(prefix: str = "") -> Decorator:
    """Return the options for `signing`. The names of the options that select a key or identity begin with `prefix`."""
    key = "Sign with the private key in this file or environment variable (env://NAME)"
    keyless = "Sign with an OIDC identity (such as a CI job's identity) instead of a key"
    services = "Use the sigstore services in this client trust configuration (default: without a key, the public "
    services += "services; with a key, no transparency log)"
    password = "Read the key's password from this file (default: the COSIGN_PASSWORD environment variable)"
    token = "Read the OIDC token from this file or environment variable (env://NAME; default: the CI job's token)"
    return combine(
        option(f"--{prefix}key KEY", key, name="sign_key", type=File()),
        option(f"--{prefix}keyless", keyless, name="keyless"),
        option("--identity-token TOKEN", token, default=""),
        option("--trust-config", services, type=File(), default=""),
        option("--sign-password-file", password, type=File(), default=""),
    )


def signing(
    prefix: str, sign_key: str | None, keyless: bool, identity_token: str, trust_config: str, sign_password_file: str
) -> Signing | None:
    """Return the signer, or None if no signer is set. Raises BentoError for invalid options."""
    flag = f"--{prefix}keyless"
    exclude({f"--{prefix}key": sign_key, flag: keyless})
    if identity_token and not keyless:
        raise BentoError(f"--identity-token requires {flag}. Use {flag} without a key, or remove --identity-token.")
    if trust_config and not (keyless or sign_key):
        remedy = "Add one of these, or remove --trust-config."
        raise BentoError(f"--trust-config requires --{prefix}key or {flag}", remedy=remedy)
    if keyless:
        from rules_bento.images.signing.keyless import IdentitySigner

        return IdentitySigner(identity_token, trust_config)
    if not sign_key:
        return None
    from rules_bento.images.signing.keys import read_private

    return read_private(sign_key, Path(), sign_password_file, trust_config)


def exclude(options: dict[str, object]) -> None:
    """Raise UsageError if more than one of `options` has a value."""
    used = [name for name, value in options.items() if value]
    if len(used) > 1:
        raise click.UsageError(f"{used[1]} can't be combined with {used[0]}.")


@contextmanager
def output_path(text: str, output: str) -> Iterator[Path]:
    """Yield the path to which the caller writes an archive.

    If `text` is `-`, copies the archive to standard output afterward. In this case, raises BentoError if standard
    output is a terminal, or if `output` is a format other than text.
    """
    if text != "-":
        yield Path(text)
        return
    import shutil

    from rules_bento.base.own_files import own_directory

    if output != "text":
        raise BentoError("--output can't be used if the archive is written to standard output. Remove --output.")
    if sys.stdout.isatty():
        raise BentoError("standard output: archives can't be written to a terminal. Redirect the output to a file.")
    with own_directory() as scratch:
        path = scratch / "archive"
        yield path
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


def import_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for `imports`."""
    from rules_bento.base.archives.unpack import Limits

    limits = Limits()
    size = "Reject archives with more data than SIZE, such as 512M (default: 256G)"
    memory = "Reject archives that need more memory than SIZE (default: 128M)"
    files = f"Reject archives with more than N files (default: {limits.members})"
    ratio = f"Reject archives that expand more than N times (default: {limits.ratio})"
    letters = "Allow file names that differ only in case, which collide on macOS and Windows"
    return combine(
        option("--max-size SIZE", size, name="size", type=_parse_size),
        option("--max-files N", files, name="members", type=positive),
        option("--max-ratio N", ratio, name="ratio", type=positive),
        option("--max-memory SIZE", memory, name="memory", type=_parse_size),
        option("--same-letters", letters),
        option("--copy", "Copy every file instead of sharing identical files between store entries"),
        no_sync,
    )(function)


def imports(*, act: Act, copy: bool, no_models: bool = False, force: bool = False, **limits: Any) -> Options:
    """Return the settings of an import from the values of `import_options`. See `Options` for `act`."""
    from rules_bento.base.archives.unpack import Limits

    from bento_cli.store.import_session import Options

    settings = Limits(**{name: value for name, value in limits.items() if value is not None})
    return Options(limits=settings, models=not no_models, share=not copy, replace=force, act=act)


def positive(text: str) -> int:
    """Parse a positive integer. Raises UsageError for other strings."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise click.BadParameter(f"expected a positive integer, got {text!r}.")
    return int(text)


def _parse_size(text: str) -> int:
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    number, shift = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 0)
    if not (number.isascii() and number.isdecimal() and len(number) < 20 and int(number)):
        raise click.BadParameter(f"expected a size such as 1048576, 512M, or 2G, got {text!r}.")
    return int(number) << shift


def pairs(texts: Sequence[str], option: str, form: str = "KEY=VALUE") -> dict[str, str]:
    """Parse the values of a repeatable option as a dict. Raises BentoError for invalid values and duplicate keys."""
    values: dict[str, str] = {}
    for number, text in enumerate(texts, 1):
        key, equals, value = text.partition("=")
        if not equals or not key:  # omit the value, which might be a secret
            problem = "no key" if equals else "no `=`"
            raise BentoError(f"{option}: expected {form}, but value number {number} has {problem}.")
        if not is_utf8(text):
            raise BentoError(f"{option}: value number {number} isn't UTF-8. Use a terminal with UTF-8.")
        if key in values:
            raise BentoError(f"{option}: the key {key!r} is set twice. Remove one of the values.")
        values[key] = value
    return values
