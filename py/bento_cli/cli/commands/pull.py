"""`bento pull`, `bento models pull`: brings entries from a registry, a cloud or a hub into the store."""

from __future__ import annotations

from rules_bento.bento.kinds import BENTO
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import registries, show, status
from bento_cli.cli.commands import import_

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.sharing.cloud.pulling import CloudPulled
    from bento_cli.sharing.registry.pulling import Pulled


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the source, how it is taken, and the output."""
    parser.add_argument(
        "source", metavar="REFERENCE", help=f"pull {registries.ADDRESS}, or a tag from BentoCloud or Yatai"
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
    import_.add_options(parser)
    registries.add_arguments(parser)
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = (
        f"Only missing data is downloaded, and an interrupted pull is resumed. The {kind.noun} is added to\n"
        "the store only when it is complete and all digests are verified."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Pull an entry into the store."""
    if "/" in options.source:
        _pull(options, store, kind)
    else:
        _pull_from_cloud(options, store, kind)
    return status.OK


def _pull(options: Namespace, store: Store, kind: Kind) -> None:
    from rules_bento.registry.reference import Reference

    from bento_cli.sharing.registry.pulling import pull

    reference = Reference.from_url(options.source)
    taken = import_.options_of(options)
    with registries.connected(options, f"Pulling {reference}") as (servers, progress):
        done = pull(store.home, kind, reference, servers, progress, taken, force=options.force)
    _tell(options, done, f"oci://{done.reference}")


def _pull_from_cloud(options: Namespace, store: Store, kind: Kind) -> None:
    from bento_cli.sharing.cloud.pulling import pull

    taken = import_.options_of(options)
    with registries.cloud(options, store, f"Pulling {options.source} from") as (cloud, progress):
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
