"""Implements `bento cloud`, which manages contexts for BentoCloud and Yatai."""

from __future__ import annotations

import os
import sys

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.sharing.cloud.client import Cloud

_KEY, _ENDPOINT = "BENTO_CLOUD_API_KEY", "BENTO_CLOUD_API_ENDPOINT"


def add_login_arguments(parser: ArgumentParser, kind: Kind) -> None:
    from bento_cli.sharing.cloud.contexts import DEFAULT_ENDPOINT

    parser.add_argument(
        "--endpoint",
        metavar="URL",
        help=f"Log in to BentoCloud or Yatai at this URL (default: {_ENDPOINT} if set, otherwise {DEFAULT_ENDPOINT})",
    )
    parser.add_argument(
        "--api-token",
        metavar="TOKEN",
        help=f"Use this API token (- for standard input; default: {_KEY} if set, otherwise a prompt)",
    )
    parser.add_argument(
        "--context", metavar="NAME", help="Save the login under this context name (default: the current context)"
    )
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "If you don't specify an API token, the command prompts for a token. Other users of the machine can see a "
        "token on the command line, so use `-` in scripts. The token is stored in the same file as by BentoML: "
        ".yatai.yaml in the BentoML home directory. Only you can read the file."
    )


def run_login(options: Namespace, store: Store, kind: Kind) -> int:
    from bento_cli.sharing.cloud.client import Cloud
    from bento_cli.sharing.cloud.contexts import DEFAULT_ENDPOINT, Contexts, make

    contexts = Contexts(store.home)
    endpoint = options.endpoint or os.environ.get(_ENDPOINT) or DEFAULT_ENDPOINT
    context = make(options.context or contexts.current_name, endpoint, _token(options.api_token))
    if context.is_open:
        show.note(
            f"{context.endpoint}: the connection isn't encrypted, so others can read the token. Use an https URL."
        )
    with Cloud(context) as client:
        user = _get_document(client, "/api/v1/auth/current", "user")
        organization = _get_document(client, "/api/v1/current_org", "organization")
    email = user.get("email")
    replaced = contexts.save(make(context.name, context.endpoint, context.api_token, str(email) if email else None))
    if replaced:
        show.note(f"Replaced the existing context {context.name}.")
    fields = {"name": context.name, "endpoint": context.endpoint, "email": email, "organization": organization["name"]}
    if not show.data(fields, options.output):
        account = f"{email or user.get('name')} of {organization['name']}"
        show.out(f"Logged in to {context.endpoint} as {show.plain(account)} (context {show.plain(context.name)}).")
        show.next_steps("push TAG", "pull TAG")
    return status.OK


def _token(option: str | None) -> str:
    if option == "-":
        return sys.stdin.readline()
    token = option or os.environ.get(_KEY)
    if token:
        return token
    if not sys.stdin.isatty():
        raise BentoError(f"--api-token: the API token is missing. Set {_KEY}, or pipe the token to `--api-token -`.")
    from getpass import getpass

    return getpass("API token: ")


def _get_document(client: Cloud, path: str, what: str) -> dict[str, Any]:
    document = client.find(path, what=f"the {what}")
    if not document or "name" not in document:
        raise BentoError(f"{client}: the server returned no {what} for this token. Check --api-token and --endpoint.")
    return document


def add_current_context_arguments(parser: ArgumentParser, kind: Kind) -> None:
    show.add_output(parser, "json", "yaml")
    parser.epilog = "Unlike in BentoML, the output doesn't contain the API token."


def run_current_context(options: Namespace, store: Store, kind: Kind) -> int:
    from bento_cli.sharing.cloud.contexts import Contexts, of_environment

    context = of_environment() or Contexts(store.home).get()
    show.data({"name": context.name, "endpoint": context.address, "email": context.email}, options.output)
    return status.OK


def add_list_context_arguments(parser: ArgumentParser, kind: Kind) -> None:
    show.add_output(parser, "json", "yaml")


def run_list_context(options: Namespace, store: Store, kind: Kind) -> int:
    from bento_cli.sharing.cloud.contexts import Contexts

    show.data([context.name for context in Contexts(store.home).contexts], options.output)
    return status.OK


def add_update_current_context_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument("name", metavar="NAME", help="Make this context the default for push and pull")


def run_update_current_context(options: Namespace, store: Store, kind: Kind) -> int:
    from bento_cli.sharing.cloud.contexts import Contexts

    context = Contexts(store.home).set_current(options.name)
    show.out(f"The current context is {show.plain(context.name)} ({context.address}).")
    return status.OK
