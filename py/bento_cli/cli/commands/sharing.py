"""`bento push`, `pull`, `copy`, and `tags`: transfer entries to and from registries, BentoCloud, and Yatai."""

from __future__ import annotations

from rules_bento.bento.kinds import BENTO
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.cli import arguments, show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.sharing.cloud.pulling import CloudPulled
    from bento_cli.sharing.registry.pulling import Pulled
    from bento_cli.sharing.registry.pushing import Delivered
    from bento_cli.store.entries import Entry


def add_push_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument("tag", metavar="TAG", help=f"push this {kind.noun}")
    parser.add_argument(
        "targets",
        metavar="REFERENCE",
        nargs="*",
        help=f"push to {arguments.ADDRESS} (default tag: the version; without REFERENCE: BentoCloud or Yatai)",
    )
    parser.add_argument("-t", "--threads", type=arguments.jobs, metavar="N", help="number of parallel transfers")
    parser.add_argument(
        "-f", "--force", action="store_true", help="replace an existing entry of BentoCloud or Yatai with the same tag"
    )
    parser.add_argument("--no-verify", action="store_true", help="don't check the files for damage first")
    parser.add_argument(
        "--context", metavar="NAME", help="context of `bento cloud login` (default: the current context)"
    )
    parser.add_argument("--sign-key", metavar="KEY", help=f"sign with this private key: {arguments.KEY}")
    arguments.add_password(parser)
    arguments.add_insecure(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Only missing data is uploaded. Credentials for registries are read from docker's config and its\n"
        "helpers, and for BentoCloud and Yatai from the contexts of `bento cloud login`."
    )


def run_push(options: Namespace, store: Store, kind: Kind) -> int:
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
    key = arguments.private_key(options.sign_key, options) if options.sign_key else None
    with arguments.connected(options, f"Pushing {entry.tag}") as (servers, progress):
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

    with arguments.cloud(options, store, f"Pushing {entry.tag} to") as (cloud, progress):
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


def add_pull_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "source", metavar="REFERENCE", help=f"pull {arguments.ADDRESS}, or a tag from BentoCloud or Yatai"
    )
    parser.add_argument(
        "--context", metavar="NAME", help="context of `bento cloud login` (default: the current context)"
    )
    parser.add_argument(
        "-f", "--force", action="store_true", help="replace an existing entry of the store with the same tag"
    )
    if kind is BENTO:
        parser.add_argument("--no-models", action="store_true", help="exclude the models of the Bento")
        # An option of BentoML, which excludes models by default.
        parser.add_argument("--with-models", action="store_true", help="pull missing models (default)")
    arguments.add_options(parser)
    arguments.add_insecure(parser)
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = (
        f"Only missing data is downloaded, and an interrupted pull is resumed. The {kind.noun} is added to\n"
        "the store only when it is complete and all digests are verified."
    )


def run_pull(options: Namespace, store: Store, kind: Kind) -> int:
    if "/" in options.source:
        _pull(options, store, kind)
    else:
        _pull_from_cloud(options, store, kind)
    return status.OK


def _pull(options: Namespace, store: Store, kind: Kind) -> None:
    from rules_bento.registry.reference import Reference

    from bento_cli.sharing.registry.pulling import pull

    reference = Reference.from_url(options.source)
    taken = arguments.options_of(options)
    with arguments.connected(options, f"Pulling {reference}") as (servers, progress):
        done = pull(store.home, kind, reference, servers, progress, taken, force=options.force)
    _tell(options, done, f"oci://{done.reference}")


def _pull_from_cloud(options: Namespace, store: Store, kind: Kind) -> None:
    from bento_cli.sharing.cloud.pulling import pull

    taken = arguments.options_of(options)
    with arguments.cloud(options, store, f"Pulling {options.source} from") as (cloud, progress):
        done = pull(store.home, kind, options.source, cloud, progress, taken, force=options.force)
        where = str(cloud)
    _tell(options, done, where)


def _tell(options: Namespace, done: CloudPulled | Pulled, origin: str) -> None:
    """Print what a pull has brought."""
    entry, models = done.entry, [str(model.tag) for model in done.models]
    for note in done.notes:
        show.note(note)
    if options.output == "path":
        show.out(str(entry.path))
    elif options.output == "text":
        known = f" ({', '.join(map(str, done.known))} {'was' if len(done.known) == 1 else 'were'} there)"
        text = f"Pulled {entry.kind.noun} {entry.tag}" if done.new else f"{entry.kind.noun} {entry.tag} was there"
        if models:
            text += f" with {', '.join(models)}" if done.new else f"; pulled {', '.join(models)}"
        show.out(f"{text}{known if done.known and done.new else ''}.")
    facts = {
        "tag": str(entry.tag),
        "path": str(entry.path),
        "origin": origin,
        "new": done.new,
        "models": models,
        "known_models": [str(tag) for tag in done.known],
    }
    show.data(facts, options.output)


def add_copy_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument("source", metavar="REFERENCE", help=f"copy from {arguments.ADDRESS}")
    parser.add_argument(
        "targets", metavar="TARGET", nargs="+", help="copy to this repository (default tag: the tag of the source)"
    )
    parser.add_argument(
        "--no-referrers", action="store_true", help="don't copy referrers, such as SBOMs and signatures"
    )
    arguments.add_insecure(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = "Missing blobs are streamed from registry to registry or mounted, and not written to the disk."


def run_copy(options: Namespace, store: Store, kind: Kind) -> int:
    from rules_bento.artifacts import signatures
    from rules_bento.registry.push import copy
    from rules_bento.registry.reference import Reference

    source = Reference.from_url(options.source)
    targets = [Reference.from_url(text) for text in options.targets]
    targets = [target if target.tag or not source.tag else target.with_tag(source.tag) for target in targets]
    with arguments.connected(options, f"Copying {source}") as (servers, progress):
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


def add_tags_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument("repository", metavar="REPOSITORY", help="oci://registry/repository")
    arguments.add_insecure(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = "Tags that only list referrers are omitted."


def run_tags(options: Namespace, store: Store, kind: Kind) -> int:
    from rules_bento.artifacts.artifact import versions
    from rules_bento.registry.reference import Reference

    reference = Reference.from_url(options.repository)
    with arguments.connected(options, "Listing") as (servers, _):
        tags = versions(servers.repository(reference))
    if not show.data(tags, options.output):
        for tag in tags:
            show.out(show.plain(tag))
    return status.OK
