"""`bento cloud`: manages the contexts for BentoCloud and Yatai."""

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
        help=f"address of BentoCloud or Yatai (default: {_ENDPOINT}, or else {DEFAULT_ENDPOINT})",
    )
    parser.add_argument("--api-token", metavar="TOKEN", help=f"API token (default: {_KEY}); - reads standard input")
    parser.add_argument("--context", metavar="NAME", help="name of the context (default: the current context)")
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Other users of the machine can see a token on a command line: omit --api-token to enter it, or use\n"
        "`-`. As in BentoML, the token is stored in .yatai.yaml of the home, which only you can read."
    )


def run_login(options: Namespace, store: Store, kind: Kind) -> int:
    from bento_cli.sharing.cloud.client import Cloud
    from bento_cli.sharing.cloud.contexts import DEFAULT_ENDPOINT, Contexts, make

    contexts = Contexts(store.home)
    endpoint = options.endpoint or os.environ.get(_ENDPOINT) or DEFAULT_ENDPOINT
    context = make(options.context or contexts.current_name, endpoint, _token(options.api_token))
    if context.is_open:
        show.note(f"{context.endpoint} isn't encrypted: others can read the token and all pushed data. Use https.")
    with Cloud(context) as cloud:
        user = _get_document(cloud, "/api/v1/auth/current", "the user")
        organization = _get_document(cloud, "/api/v1/current_org", "the organization")
    email = user.get("email")
    replaced = contexts.save(make(context.name, context.endpoint, context.api_token, str(email) if email else None))
    facts = {"name": context.name, "endpoint": context.endpoint, "email": email}
    facts["organization"] = organization["name"]
    if replaced:
        show.note(f"The context {context.name} replaced an existing context.")
    if not show.data(facts, options.output):
        who = f"{email or user.get('name')} of {organization['name']}"
        show.out(f"Logged in to {context.endpoint} as {show.plain(who)} (context {show.plain(context.name)}).")
    return status.OK


def _token(stated: str | None) -> str:
    if stated == "-":
        return sys.stdin.readline()
    stated = stated or os.environ.get(_KEY)
    if stated:
        return stated
    if not sys.stdin.isatty():
        raise BentoError(
            f"The API token is missing, and standard input isn't a terminal. Set {_KEY}, or use `--api-token -`."
        )
    from getpass import getpass

    return getpass("API token: ")


def _get_document(cloud: Cloud, path: str, what: str) -> dict[str, Any]:
    document = cloud.find(path, what=what)
    if not document or "name" not in document:
        raise BentoError(f"{what}: {cloud} has none for this token. Check the token and the endpoint.")
    return document


def add_current_context_arguments(parser: ArgumentParser, kind: Kind) -> None:
    show.add_output(parser, "json", "yaml")
    parser.epilog = "Unlike BentoML's command, this command doesn't show the API token."


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
    parser.add_argument("name", metavar="NAME", help="select this context")


def run_update_current_context(options: Namespace, store: Store, kind: Kind) -> int:
    from bento_cli.sharing.cloud.contexts import Contexts

    context = Contexts(store.home).set_current(options.name)
    show.out(f"The context is {show.plain(context.name)}, {context.address}.")
    return status.OK
