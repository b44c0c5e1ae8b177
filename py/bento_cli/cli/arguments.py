"""Defines options that several commands share, and opens the connections and files that the options select."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

from rules_bento.bento.kinds import BENTO
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterator

from bento_cli.cli import show

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _ActionsContainer
    from contextlib import AbstractContextManager

    from rules_bento.artifacts.signatures import Signing
    from rules_bento.bento.kinds import Kind
    from rules_bento.net.transfers import Counter, Progress
    from rules_bento.registry.client import Registries

    from bento_cli.library import Store
    from bento_cli.sharing.cloud.client import Cloud
    from bento_cli.store.import_session import Options


def add_repeatable(parser: _ActionsContainer, *names: str, metavar: str, help: str, **more: Any) -> None:  # noqa: A002
    """Add an option that can be repeated."""
    parser.add_argument(*names, metavar=metavar, action="append", default=[], help=f"{help} (repeatable)", **more)


def add_flag(parser: _ActionsContainer, *names: str, help: str, **more: Any) -> None:  # noqa: A002
    """Add an option without a value."""
    parser.add_argument(*names, action="store_true", help=help, **more)


def add_bentofile(parser: ArgumentParser) -> None:
    """Add the option that selects a bentofile."""
    parser.add_argument(
        "-f",
        "--bentofile",
        metavar="FILE",
        help="Read build options from this file (default: bentofile.yaml or pyproject.toml)",
    )


def add_insecure(parser: ArgumentParser) -> None:
    """Add the option that allows unencrypted connections to registries."""
    add_repeatable(parser, "--insecure", metavar="HOST[:PORT]", help="Allow HTTP connections to this registry")


def connected(options: Namespace, what: str) -> AbstractContextManager[tuple[Registries, Counter]]:
    """Return a registry client, and a progress display with the title `what`."""
    from bento_cli.library import connected

    return connected(options.insecure, what, show.progress_output())


@contextmanager
def cloud(options: Namespace, store: Store, what: str) -> Iterator[tuple[Cloud, Progress]]:
    """Yield a client for BentoCloud or Yatai, and a progress display whose title begins with `what`.

    Uses the context that the environment variables define, otherwise the context that `--context` selects, otherwise
    the current context.
    """
    from rules_bento.net.transfers import Progress

    from bento_cli.sharing.cloud.client import Cloud
    from bento_cli.sharing.cloud.contexts import Contexts, of_environment

    context = of_environment() or Contexts(store.home).get(options.context or "")
    with Cloud(context) as client, Progress(f"{what} {context.address}", out=show.progress_output()) as progress:
        yield client, progress


def add_signing(parser: ArgumentParser, prefix: str = "", *, required: bool = False) -> None:
    """Add the options for signing. The names of the options that select a key or identity begin with `prefix`."""
    group = parser.add_mutually_exclusive_group(required=required)
    parser.set_defaults(keyless_flag=f"--{prefix}keyless")
    group.add_argument(
        f"--{prefix}key",
        metavar="KEY",
        dest="sign_key",
        help="Sign with the private key in this file or environment variable (env://NAME)",
    )
    add_flag(
        group,
        f"--{prefix}keyless",
        dest="keyless",
        help="Sign with an OIDC identity (such as a CI job's identity) instead of a key",
    )
    services = "Use the sigstore services in this client trust configuration (default: without a key, the public "
    services += "services; with a key, no transparency log)"
    password = "Read the key's password from this file (default: the COSIGN_PASSWORD environment variable)"
    token = "Read the OIDC token from this file or environment variable (env://NAME; default: the CI job's token)"
    parser.add_argument("--identity-token", metavar="TOKEN", default="", help=token)
    parser.add_argument("--trust-config", metavar="FILE", default="", help=services)
    parser.add_argument("--sign-password-file", metavar="FILE", default="", help=password)


def input_path(text: str) -> str:
    """Return the path of an input file. For `-`, returns the path of standard input."""
    return "/dev/stdin" if text == "-" else text


@contextmanager
def output_path(text: str, options: Namespace) -> Iterator[Path]:
    """Yield the path to which the caller writes an archive.

    If `text` is `-`, copies the archive to standard output afterward. In this case, raises BentoError if standard
    output is a terminal, or if `--output` selects a format other than text.
    """
    if text != "-":
        yield Path(text)
        return
    import shutil
    import tempfile

    if options.output != "text":
        raise BentoError("--output can't be used if the archive is written to standard output. Remove --output.")
    if sys.stdout.isatty():
        raise BentoError("standard output: archives can't be written to a terminal. Redirect the output to a file.")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "archive")
        yield path
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


def signing(options: Namespace) -> Signing | None:
    """Return the signer, or None if no signer is set. Raises BentoError for invalid options."""
    flag = options.keyless_flag
    if options.identity_token and not options.keyless:
        raise BentoError(f"--identity-token requires {flag}. Use {flag} without a key, or remove --identity-token.")
    if options.trust_config and not (options.keyless or options.sign_key):
        key = flag.removesuffix("less")
        raise BentoError(f"--trust-config requires {key} or {flag}. Add one of these, or remove --trust-config.")
    if options.keyless:
        from rules_bento.signing.keyless import IdentitySigner

        return IdentitySigner(options.identity_token, options.trust_config)
    if not options.sign_key:
        return None
    from rules_bento.signing.keys import read_private

    return read_private(options.sign_key, Path(), options.sign_password_file, options.trust_config)


def force_help(kind: Kind) -> str:
    """Return the help of `--force` for commands that add a Bento or model to the store."""
    also = ", and models of the Bento that differ from the store's" if kind is BENTO else ""
    return f"Replace the {kind.noun} if it is already in the store{also}"


def add_import_options(parser: ArgumentParser) -> None:
    """Add the options for importing archives."""
    from rules_bento.archives.unpack import Limits

    limits = Limits()
    group = parser.add_argument_group("Limits for untrusted archives")
    for name, kind, default, text in (
        ("size", _size, limits.size, "Reject archives with more data than SIZE, such as 512M or 2G (default: 256G)"),
        ("files", positive, limits.members, f"Reject archives with more than N files (default: {limits.members})"),
        ("ratio", positive, limits.ratio, f"Reject archives that expand more than N times (default: {limits.ratio})"),
        ("memory", _size, limits.memory, "Reject archives that need more memory than SIZE (default: 128M)"),
    ):
        metavar = "SIZE" if kind is _size else "N"
        group.add_argument(f"--max-{name}", type=kind, metavar=metavar, default=default, help=text)
    add_flag(
        parser, "--same-letters", help="Allow file names that differ only in case, which collide on macOS and Windows"
    )
    add_flag(parser, "--copy", help="Copy every file instead of sharing identical files between store entries")
    add_no_sync(parser)


def add_no_models(parser: ArgumentParser) -> None:
    """Add the option that excludes models."""
    add_flag(parser, "--no-models", help="Exclude the Bento's models")


def add_no_verify(parser: ArgumentParser) -> None:
    """Add the option that skips the verification of files."""
    add_flag(parser, "--no-verify", help="Don't verify files in the store")


def add_no_sync(parser: ArgumentParser) -> None:
    """Add the option that skips flushing files to disk."""
    add_flag(
        parser,
        "--no-sync",
        help="Don't flush files to disk (faster, but a power failure can damage the stored Bento or model)",
    )


def import_options(options: Namespace) -> Options:
    """Return the options of an import from parsed command-line arguments."""
    from rules_bento.archives.unpack import Limits

    from bento_cli.store.import_session import Options

    return Options(
        limits=Limits(options.max_size, options.max_files, options.max_ratio, options.max_memory, options.same_letters),
        models=not getattr(options, "no_models", False),
        share=not options.copy,
        replace=getattr(options, "force", False),
    )


def positive(text: str) -> int:
    """Parse a positive integer. Raises ArgumentTypeError for other strings."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"expected a positive integer, got {text!r}.")
    return int(text)


def _size(text: str) -> int:
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    number, shift = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 0)
    if not (number.isascii() and number.isdecimal() and len(number) < 20 and int(number)):
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"expected a size such as 1048576, 512M, or 2G, got {text!r}.")
    return int(number) << shift


def pairs(texts: list[str], option: str, form: str = "KEY=VALUE") -> dict[str, str]:
    """Parse the values of a repeatable option as a dict. Raises BentoError for invalid values and duplicate keys."""
    values: dict[str, str] = {}
    for number, text in enumerate(texts, 1):
        key, equals, value = text.partition("=")
        if not equals or not key:  # omit the value, which might be a secret
            problem = "no key" if equals else "no `=`"
            raise BentoError(f"{option}: expected {form}, but value number {number} has {problem}.")
        if key in values:
            raise BentoError(f"{option}: the key {key!r} is set twice. Remove one of the values.")
        values[key] = value
    return values
