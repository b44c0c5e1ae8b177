"""Defines options that several commands have, and opens what they select."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from rules_bento.net.transfers import Progress
    from rules_bento.registry.client import Registries
    from rules_bento.signing.keys import PrivateKey

    from bento_cli.library import Store
    from bento_cli.sharing.cloud.client import Cloud
    from bento_cli.store.import_session import Options

KEY = "FILE, or env://NAME for a variable"
ADDRESS = "oci://registry/repository:tag"


def add_insecure(parser: ArgumentParser) -> None:
    """Add the options that say how registries are reached."""
    parser.add_argument(
        "--insecure",
        metavar="HOST",
        action="append",
        default=[],
        help="connect to this registry, host[:port], without encryption (repeatable)",
    )


@contextmanager
def connected(options: Namespace, what: str) -> Iterator[tuple[Registries, Progress]]:
    """Open registries and a progress line for the length of the block."""
    from rules_bento.net.transfers import Progress
    from rules_bento.registry.client import Registries

    with Registries(options.insecure) as registries, Progress(what, out=show.progress_output()) as progress:
        yield registries, progress


def jobs(text: str) -> int:
    """Return the number of transfers at once."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"invalid number {text!r}. Use a positive integer.")
    return int(text)


@contextmanager
def cloud(options: Namespace, store: Store, what: str) -> Iterator[tuple[Cloud, Progress]]:
    """Open the cloud of `--context`, or the current one, and a progress line for the length of the block."""
    from rules_bento.net.transfers import Progress

    from bento_cli.sharing.cloud.client import Cloud
    from bento_cli.sharing.cloud.contexts import Contexts, of_environment

    context = of_environment() or Contexts(store.home).get(options.context or "")
    with Cloud(context) as reached, Progress(f"{what} {context.address}", out=show.progress_output()) as progress:
        yield reached, progress


def add_password(parser: ArgumentParser) -> None:
    """Add the option for the password of an encrypted key."""
    parser.add_argument(
        "--sign-password-file",
        metavar="FILE",
        default="",
        help="read the password of the key from this file (default: COSIGN_PASSWORD)",
    )


def private_key(name: str, options: Namespace) -> PrivateKey:
    """Return the key of a command line. Raises BentoError as `read_private` does."""
    from rules_bento.signing.keys import read_private

    return read_private(name, Path(), options.sign_password_file)


def add_options(parser: ArgumentParser) -> None:
    """Add the options that all commands have that take archives in."""
    from rules_bento.archives.unpack import Limits

    limits = Limits()
    group = parser.add_argument_group("limits for untrusted archives")
    group.add_argument(
        "--max-size", type=_size, metavar="SIZE", default=limits.size, help="maximum size of all files (default: 256G)"
    )
    group.add_argument(
        "--max-files",
        type=int,
        metavar="N",
        default=limits.members,
        help=f"maximum number of files (default: {limits.members})",
    )
    group.add_argument(
        "--max-ratio",
        type=int,
        metavar="N",
        default=limits.ratio,
        help=f"maximum ratio of unpacked to packed bytes (default: {limits.ratio})",
    )
    group.add_argument(
        "--max-memory",
        type=_size,
        metavar="SIZE",
        default=limits.memory,
        help="maximum memory of the decompressor (default: 128M)",
    )
    parser.add_argument(
        "--same-letters",
        action="store_true",
        help="allow file names that differ only in case, which other systems than Linux don't support",
    )
    parser.add_argument(
        "--copy", action="store_true", help="share no files with other versions, so that all files are writable"
    )
    parser.add_argument(
        "--no-sync", action="store_true", help="don't wait for the disk; a power failure might lose the result"
    )


def options_of(options: Namespace) -> Options:
    """Return what `add_options` parsed."""
    from rules_bento.archives.unpack import Limits

    from bento_cli.store.import_session import Options

    return Options(
        limits=Limits(options.max_size, options.max_files, options.max_ratio, options.max_memory, options.same_letters),
        models=not getattr(options, "no_models", False),
        share=not options.copy,
    )


def _size(text: str) -> int:
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    number, shift = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 0)
    if not (number.isascii() and number.isdecimal() and len(number) < 20 and int(number)):
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"invalid size {text!r}. Use a positive integer with an optional K, M, G, or T.")
    return int(number) << shift


def pairs(texts: list[str], flag: str, form: str = "KEY=VALUE") -> dict[str, str]:
    """Return the values of a repeatable flag by key. Raises BentoError for another form, and for a key twice."""
    found: dict[str, str] = {}
    for number, text in enumerate(texts, 1):
        key, equals, value = text.partition("=")
        if not equals or not key:  # not the text itself: it may be a value, and a secret
            raise BentoError(f"{flag} (occurrence {number}): expected {form}.")
        if key in found:
            raise BentoError(f"{flag}: {key} is given twice. Keep one.")
        found[key] = value
    return found
