"""Holds what the commands that sign or verify have in common."""

from __future__ import annotations

from pathlib import Path

from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.signing.keys import PrivateKey

KEY = "FILE, or env://NAME for a variable"


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
