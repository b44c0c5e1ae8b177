"""`bento push`, `bento models push`: sends entries of the store to registries or a cloud."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.cli import registries, show, signing, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.sharing.registry.pushing import Delivered
    from bento_cli.store.entries import Entry


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the tag, the destination with its options, and the output."""
    parser.add_argument("tag", metavar="TAG", help=f"push this {kind.noun}")
    parser.add_argument(
        "targets",
        metavar="REFERENCE",
        nargs="*",
        help=f"push to {registries.ADDRESS} (default tag: the version; without REFERENCE: BentoCloud or Yatai)",
    )
    parser.add_argument("-t", "--threads", type=registries.jobs, metavar="N", help="number of parallel transfers")
    parser.add_argument(
        "-f", "--force", action="store_true", help="replace an existing entry of BentoCloud or Yatai with the same tag"
    )
    parser.add_argument("--no-verify", action="store_true", help="don't check the files for damage first")
    parser.add_argument(
        "--context", metavar="NAME", help="context of `bento cloud login` (default: the current context)"
    )
    parser.add_argument("--sign-key", metavar="KEY", help=f"sign with this private key: {signing.KEY}")
    signing.add_password(parser)
    registries.add_arguments(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Only missing data is uploaded. Credentials for registries are read from docker's config and its\n"
        "helpers, and for BentoCloud and Yatai from the contexts of `bento cloud login`."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Push an entry of the store."""
    entry = store.section(kind).get(options.tag)
    if options.targets:
        _push(options, store, entry)
    elif options.sign_key:
        raise BentoError(
            "--sign-key: BentoCloud and Yatai store no signatures. Push to a registry: oci://registry/repository."
        )
    else:
        _push_to_cloud(options, store, entry)
    return status.OK


def _push(options: Namespace, store: Store, entry: Entry) -> None:
    from rules_bento.net.transfers import JOBS
    from rules_bento.registry.reference import Reference

    from bento_cli.sharing.registry.pushing import push

    targets = [Reference.from_url(text) for text in options.targets]
    key = signing.private_key(options.sign_key, options) if options.sign_key else None
    with registries.connected(options, f"Pushing {entry.tag}") as (servers, progress):
        done = push(
            store.home,
            entry,
            targets,
            servers,
            progress,
            check=not options.no_verify,
            jobs=options.threads or JOBS,
            key=key,
        )
    if not show.data([_data(entry, delivered) for delivered in done], options.output):
        for delivered in done:
            show.out(_describe(entry, delivered))


def _push_to_cloud(options: Namespace, store: Store, entry: Entry) -> None:
    from bento_cli.sharing.cloud.pushing import JOBS, push

    with registries.cloud(options, store, f"Pushing {entry.tag} to") as (cloud, progress):
        done = push(
            store.home,
            entry,
            cloud,
            progress,
            force=options.force,
            check=not options.no_verify,
            jobs=options.threads or JOBS,
        )
        where = str(cloud)
    everything = [*done.models, done.main]
    for note in (note for sent in everything for note in sent.notes):
        show.note(note)
    facts: dict[str, Any] = {
        "tag": str(entry.tag),
        "endpoint": where,
        "sent": done.main.sent,
        "models": [{"tag": str(sent.tag), "sent": sent.sent} for sent in done.models],
        "size": sum(sent.size for sent in everything),
    }
    if not show.data(facts, options.output):
        new = [str(sent.tag) for sent in done.models if sent.sent]
        known = [str(sent.tag) for sent in done.models if not sent.sent]
        text = f"Pushed {entry.kind.noun} {entry.tag}" if done.main.sent else f"{entry.kind.noun} {entry.tag} was there"
        text += f" with {', '.join(new)}" if new else ""
        text += f" ({', '.join(known)} {'was' if len(known) == 1 else 'were'} there)" if known else ""
        show.out(f"{text}: {show.size(facts['size'])} to {where}.")


def _describe(entry: Entry, done: Delivered) -> str:
    pushed = done.pushed
    there = pushed.blobs - pushed.sent - pushed.mounted
    took = f"{pushed.sent} of {show.count(pushed.blobs, 'blob')} sent ({show.size(pushed.size)})"
    where = f"{pushed.reference.name} as {', '.join(done.tags)}"
    return f"Pushed {entry.kind.noun} {entry.tag} to {where}: {took}, {pushed.mounted} mounted, {there} there already."


def _data(entry: Entry, done: Delivered) -> dict[str, Any]:
    pushed = done.pushed
    return {
        "tag": str(entry.tag),
        "reference": f"oci://{pushed.reference}",
        "tags": list(done.tags),
        "blobs": pushed.blobs,
        "sent": pushed.sent,
        "mounted": pushed.mounted,
        "size": pushed.size,
    }
