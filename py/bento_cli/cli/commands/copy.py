"""`bento copy`: copies what a registry has to other places."""

from __future__ import annotations

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import registries, show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the source, the destinations and the output."""
    parser.add_argument("source", metavar="REFERENCE", help=f"copy from {registries.ADDRESS}")
    parser.add_argument(
        "targets", metavar="TARGET", nargs="+", help="copy to this repository (default tag: the tag of the source)"
    )
    parser.add_argument(
        "--no-referrers", action="store_true", help="don't copy referrers, such as SBOMs and signatures"
    )
    registries.add_arguments(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = "Missing blobs are streamed from registry to registry or mounted, and not written to the disk."


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Copy from one registry to the other."""
    from rules_bento.artifacts import signatures
    from rules_bento.registry.push import copy
    from rules_bento.registry.reference import Reference

    source = Reference.from_url(options.source)
    targets = [Reference.from_url(text) for text in options.targets]
    targets = [target if target.tag or not source.tag else target.with_tag(source.tag) for target in targets]
    with registries.connected(options, f"Copying {source}") as (servers, progress):
        if not options.no_referrers:
            # Before the tags, so that none stands for what is not signed yet.
            signatures.carry_all(source, targets, servers, progress)
        done = copy(source, targets, servers, progress, with_referrers=not options.no_referrers)
    facts = [
        {
            "reference": f"oci://{pushed.reference}",
            "blobs": pushed.blobs,
            "sent": pushed.sent,
            "mounted": pushed.mounted,
            "size": pushed.size,
        }
        for pushed in done
    ]
    if not show.data(facts, options.output):
        for pushed in done:
            took = f"{pushed.sent} of {show.count(pushed.blobs, 'blob')} sent ({show.size(pushed.size)})"
            show.out(f"Copied to oci://{pushed.reference}: {took}, {pushed.mounted} mounted.")
    return status.OK
