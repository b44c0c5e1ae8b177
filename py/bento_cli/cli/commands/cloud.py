"""Implements `bento cloud`, which manages contexts for BentoCloud and Yatai."""

from __future__ import annotations

import sys

import click
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any

from bento_cli.cli import shared_options, show
from bento_cli.cli.command import command
from bento_cli.sharing.cloud.contexts import DEFAULT_ENDPOINT, ENDPOINT, KEY, Contexts, make, of_environment

if TYPE_CHECKING:
    from bento_cli.library import Store
    from bento_cli.sharing.cloud.client import Cloud


@command("--endpoint https://cloud.example")
@shared_options.option(
    "--endpoint URL",
    f"Log in to BentoCloud or Yatai at this URL (default: {ENDPOINT} if set, otherwise {DEFAULT_ENDPOINT})",
    envvar=ENDPOINT,
)
@shared_options.option(
    "--api-token TOKEN",
    f"Use this API token (- for standard input; default: {KEY} if set, otherwise a prompt)",
    envvar=KEY,
)
@shared_options.option("--context NAME", "Save the login under this context name (default: the current context)")
@shared_options.output("text", "json", "yaml")
def login_command(store: Store, endpoint: str | None, api_token: str | None, context: str | None, output: str) -> None:
    """Log in to BentoCloud or Yatai.

    If you don't specify an API token, the command prompts for a token. Other users of the machine can see a token on
    the command line, so use `-` in scripts. The token is stored in the same file as by BentoML: .yatai.yaml in the
    BentoML home directory. Only you can read the file.
    """
    from bento_cli.sharing.cloud.client import Cloud

    contexts = Contexts(store.home)
    places = [shared_options.origin(name) for name in ("endpoint", "api_token")]
    login = make(context or contexts.current_name, endpoint or DEFAULT_ENDPOINT, _token(api_token), places=places)
    if login.is_open:
        show.note(f"{login.endpoint}: the connection isn't encrypted, so others can read the token. Use an https URL.")
    with Cloud(login) as client:
        user = _get_document(client, "/api/v1/auth/current", "user")
        organization = _get_document(client, "/api/v1/current_org", "organization")
    email = user.get("email")
    replaced = contexts.save(make(login.name, login.endpoint, login.api_token, str(email) if email else None))
    if replaced:
        show.note(f"Replaced the existing context {login.name}.")
    fields = {"name": login.name, "endpoint": login.endpoint, "email": email, "organization": organization["name"]}
    if not show.data(fields, output):
        account = f"{email or user.get('name')} of {organization['name']}"
        show.done(f"Logged in to {login.endpoint} as {show.plain(account)} (context {show.plain(login.name)}).")
        show.next_steps("push TAG", "pull TAG")


def _token(option: str | None) -> str:
    if option == "-":
        return sys.stdin.readline()
    if option:
        return option
    if not sys.stdin.isatty():
        remedy = f"Set {KEY}, or pipe the token to `--api-token -`."
        raise BentoError("the API token is missing", place="--api-token", remedy=remedy)
    from getpass import getpass

    return getpass("API token: ")


def _get_document(client: Cloud, path: str, what: str) -> dict[str, Any]:
    document = client.find(path, what=f"the {what}")
    if not document or "name" not in document:
        remedy = "Check --api-token and --endpoint."
        raise BentoError(f"the server returned no {what} for this token", place=str(client), remedy=remedy)
    return document


@command()
@shared_options.output("json", "yaml")
def current_context_command(store: Store, output: str) -> None:
    """Print the current context.

    Unlike in BentoML, the output doesn't contain the API token.
    """
    context = of_environment() or Contexts(store.home).get()
    show.data({"name": context.name, "endpoint": context.address, "email": context.email}, output)


@command()
@shared_options.output("json", "yaml")
def list_context_command(store: Store, output: str) -> None:
    """List the contexts."""
    show.data([context.name for context in Contexts(store.home).contexts], output)


@command("staging")
@click.argument("name", help="Make this context the default for push and pull")
def update_current_context_command(store: Store, name: str) -> None:
    """Select the current context."""
    context = Contexts(store.home).set_current(name)
    show.out(f"The current context is {show.plain(context.name)} ({context.address}).")
