"""`bento tags`: lists the tags of a repository."""

from __future__ import annotations

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import registries, show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the repository and the output."""
    parser.add_argument("repository", metavar="REPOSITORY", help="oci://registry/repository")
    registries.add_arguments(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = "Tags that only list referrers are omitted."


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """List, in the registry's order."""
    from rules_bento.artifacts.artifact import versions
    from rules_bento.registry.reference import Reference

    reference = Reference.from_url(options.repository)
    with registries.connected(options, "Listing") as (servers, _):
        tags = versions(servers.repository(reference))
    if not show.data(tags, options.output):
        for tag in tags:
            show.out(show.plain(tag))
    return status.OK
