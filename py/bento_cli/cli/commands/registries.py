"""Implements `bento login` and `bento logout`, which manage logins to registries."""

from __future__ import annotations

import sys

import click
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence

from bento_cli.cli import shared_options, show
from bento_cli.cli.command import command

if TYPE_CHECKING:
    from bento_cli.library import Store


@command("registry.example.com -u me")
@click.argument("registry", metavar="REGISTRY", help="Log in to this registry (HOST or HOST:PORT)")
@shared_options.option("-u, --username NAME", "Log in as this user (default: a prompt)")
@shared_options.option("--password-stdin", "Read the password from standard input (default: a prompt)")
@shared_options.insecure
def login_command(
    store: Store, registry: str, username: str | None, password_stdin: bool, insecure: Sequence[str]
) -> None:
    """Log in to a registry.

    The command stores the login as docker does: in the credential helper that docker's configuration file selects, or
    in the file itself. Only you can read the file. For BentoCloud and Yatai, use `bento cloud login`.
    """
    from bento_cli.sharing.registry.logins import log_in

    if password_stdin and not username:
        raise BentoError("--password-stdin requires --username", remedy="Add --username NAME.")
    if not password_stdin and not sys.stdin.isatty():
        remedy = "Add --password-stdin, and pipe the password."
        raise BentoError("the command can't prompt for a password", remedy=remedy)
    username = username or click.prompt("Username", err=True)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        from getpass import getpass

        password = getpass("Password: ")
    if not password or ":" in username:
        raise BentoError("the password is empty, or the user name contains a colon", remedy="Correct the login.")
    helper = log_in(registry, username, password, insecure)
    if not helper:
        from rules_bento.images.registry.auth import config_file

        show.note(f"The password isn't encrypted in {config_file()}. To encrypt passwords, set up a credential helper.")
    show.done(f"Logged in to {show.plain(registry)} as {show.plain(username)}.")


@command("registry.example.com")
@click.argument("registry", metavar="REGISTRY", help="Log out of this registry (HOST or HOST:PORT)")
def logout_command(store: Store, registry: str) -> None:
    """Remove the login for a registry."""
    from bento_cli.sharing.registry.logins import log_out

    existed = log_out(registry)
    show.done(f"{'Logged out of' if existed else 'No login is stored for'} {show.plain(registry)}.")
