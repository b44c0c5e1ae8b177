"""Defines the options that several commands share, and opens the connections and files that they select."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterator

from bento_cli.cli import show

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _ActionsContainer

    from rules_bento.net.transfers import Progress
    from rules_bento.registry.client import Registries
    from rules_bento.signing.keyless import IdentitySigner
    from rules_bento.signing.keys import PrivateKey

    from bento_cli.library import Store
    from bento_cli.sharing.cloud.client import Cloud
    from bento_cli.sharing.registry.signing import Signing
    from bento_cli.store.import_session import Options

KEY = "(file, or env://NAME for an environment variable)"
REFERENCE = "HOST/REPOSITORY[:TAG]"


def add_repeatable(parser: _ActionsContainer, *names: str, metavar: str, help: str, **more: Any) -> None:  # noqa: A002
    """Add an option that can be used several times."""
    parser.add_argument(*names, metavar=metavar, action="append", default=[], help=f"{help} (repeatable)", **more)


def add_insecure(parser: ArgumentParser) -> None:
    """Add the option that allows unencrypted connections to registries."""
    add_repeatable(parser, "--insecure", metavar="HOST[:PORT]", help="Connect to this registry without encryption")


@contextmanager
def connected(options: Namespace, what: str) -> Iterator[tuple[Registries, Progress]]:
    """Yield a client for registries, and a progress display."""
    from rules_bento.net.transfers import Progress
    from rules_bento.registry.client import Registries

    with Registries(options.insecure) as registries, Progress(what, out=show.progress_output()) as progress:
        yield registries, progress


@contextmanager
def cloud(options: Namespace, store: Store, what: str) -> Iterator[tuple[Cloud, Progress]]:
    """Yield a client for the environment's context, or else the selected or current context, and a progress display."""
    from rules_bento.net.transfers import Progress

    from bento_cli.sharing.cloud.client import Cloud
    from bento_cli.sharing.cloud.contexts import Contexts, of_environment

    context = of_environment() or Contexts(store.home).get(options.context or "")
    with Cloud(context) as client, Progress(f"{what} {context.address}", out=show.progress_output()) as progress:
        yield client, progress


def add_signing(parser: ArgumentParser, prefix: str = "", *, required: bool = False) -> None:
    """Add the options for the key or identity, which begin with `prefix`, and for the format of signatures."""
    group = parser.add_mutually_exclusive_group(required=required)
    group.add_argument(f"--{prefix}key", metavar="KEY", dest="sign_key", help=f"Sign with this private key {KEY}")
    group.add_argument(
        f"--{prefix}keyless",
        action="store_true",
        dest="keyless",
        help="Sign with a certificate for an OIDC identity, such as a CI job",
    )
    parser.add_argument(
        "--identity-token",
        metavar="TOKEN",
        default="",
        help="OIDC token for a keyless signature: file, or env://NAME (default: token of the CI job)",
    )
    parser.add_argument(
        "--trust-config",
        metavar="FILE",
        default="",
        help="Client trust configuration of sigstore services for a keyless signature (default: public services)",
    )
    parser.add_argument(
        "--sign-password-file",
        metavar="FILE",
        default="",
        help="Read the password of the private key from this file (default: COSIGN_PASSWORD)",
    )
    parser.add_argument(
        "--sign-format",
        choices=("bundle", "legacy"),
        default="bundle",
        help="Write signatures in this format: bundle (sigstore bundles), or legacy for cosign 2 (default: bundle)",
    )


def input_path(text: str) -> str:
    """Return the path of an input file; `-` is standard input."""
    return "/dev/stdin" if text == "-" else text


@contextmanager
def output_path(text: str, options: Namespace) -> Iterator[Path]:
    """Yield the path to write an archive to. For `-`, yields a temporary file, and copies the file to standard output.

    Raises BentoError for `-` if standard output is a terminal, or if `--output` selects a format other than text.
    """
    if text != "-":
        yield Path(text)
        return
    import shutil
    import tempfile

    if options.output != "text":
        raise BentoError("--output: can't be combined with an archive on standard output. Remove the option.")
    if sys.stdout.isatty():
        raise BentoError(
            "standard output: an archive can't be written to a terminal. Redirect the output to a file or a pipe."
        )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "archive")
        yield path
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


def signing_key(options: Namespace) -> PrivateKey | IdentitySigner | None:
    """Return the key or identity in the options of `add_signing`, or None. Raises BentoError for invalid options."""
    if options.keyless:
        from rules_bento.signing.keyless import IdentitySigner

        if options.sign_format != "bundle":
            raise BentoError("--sign-format legacy: requires a private key. Remove the option.")
        return IdentitySigner(options.identity_token, options.trust_config)
    if options.identity_token or options.trust_config:
        raise BentoError("--identity-token, --trust-config: only supported for keyless signatures. Remove the option.")
    if not options.sign_key:
        return None
    from rules_bento.signing.keys import read_private

    return read_private(options.sign_key, Path(), options.sign_password_file)


def signing(options: Namespace) -> Signing | None:
    """Return the key or identity and the format that the options of `add_signing` select."""
    key = signing_key(options)
    return (key, options.sign_format) if key else None


def add_import_options(parser: ArgumentParser) -> None:
    """Add the options of commands that import archives."""
    from rules_bento.archives.unpack import Limits

    limits = Limits()
    group = parser.add_argument_group("Limits for untrusted archives")
    for name, kind, metavar, default, text in (
        ("size", _size, "SIZE", limits.size, "Limit the total size of all files, in bytes (default: 256G)"),
        ("files", positive, "N", limits.members, f"Limit the number of files (default: {limits.members})"),
        ("ratio", positive, "N", limits.ratio, f"Limit the compression ratio (default: {limits.ratio})"),
        ("memory", _size, "SIZE", limits.memory, "Limit the memory of the decompressor, in bytes (default: 128M)"),
    ):
        group.add_argument(f"--max-{name}", type=kind, metavar=metavar, default=default, help=text)
    parser.add_argument(
        "--same-letters",
        action="store_true",
        help="Allow file names that differ only in case (macOS and Windows don't support such names)",
    )
    parser.add_argument(
        "--copy", action="store_true", help="Copy all files instead of sharing files with other entries of the store"
    )
    add_no_sync(parser)


def add_no_models(parser: ArgumentParser) -> None:
    """Add the option that excludes models."""
    parser.add_argument("--no-models", action="store_true", help="Exclude the models of the Bento")


def add_no_verify(parser: ArgumentParser) -> None:
    """Add the option that skips the verification of the files."""
    parser.add_argument("--no-verify", action="store_true", help="Skip the check for damaged files")


def add_no_sync(parser: ArgumentParser) -> None:
    """Add the option that disables flushing files to the disk."""
    parser.add_argument(
        "--no-sync",
        action="store_true",
        help="Don't flush files to disk (after a power failure, the entry might be lost)",
    )


def import_options(options: Namespace) -> Options:
    """Convert the command-line options of `add_import_options` to import options."""
    from rules_bento.archives.unpack import Limits

    from bento_cli.store.import_session import Options

    return Options(
        limits=Limits(options.max_size, options.max_files, options.max_ratio, options.max_memory, options.same_letters),
        models=not getattr(options, "no_models", False),
        share=not options.copy,
        replace=getattr(options, "force", False),
    )


def positive(text: str) -> int:
    """Parse a positive integer."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"invalid number {text!r}. Use a positive integer.")
    return int(text)


def _size(text: str) -> int:
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    number, shift = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 0)
    if not (number.isascii() and number.isdecimal() and len(number) < 20 and int(number)):
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"invalid size {text!r}. Use a positive integer with an optional suffix K, M, G, or T.")
    return int(number) << shift


def pairs(texts: list[str], option: str, form: str = "KEY=VALUE") -> dict[str, str]:
    """Parse the values of a repeatable option. Raises BentoError for an invalid value and for a duplicate key."""
    values: dict[str, str] = {}
    for number, text in enumerate(texts, 1):
        key, equals, value = text.partition("=")
        if not equals or not key:  # omit the value, which might be a secret
            raise BentoError(f"{option} (occurrence {number}): expected {form}.")
        if key in values:
            raise BentoError(f"{option}: duplicate key {key}. Keep only one value.")
        values[key] = value
    return values
