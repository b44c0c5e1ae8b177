"""`bento bundle`: packs entries of the store into one archive."""

from __future__ import annotations

from rules_bento.cli import show, status
from rules_bento.cli.progress import progress
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.library import Store
    from rules_bento.store.home import Kind


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the file of the bundle, what it takes, and the output."""
    parser.add_argument("out", metavar="PATH", help="the file to write, such as release.bentobundle")
    parser.add_argument("tags", metavar="TAG", nargs="+", help="a Bento")
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = "A bundle is a tar of .bento and .bentomodel archives: `tar -x` unpacks what BentoML imports."


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Pack the entries into a bundle."""
    from rules_bento.library import local
    from rules_bento.sharing import bundle

    out = local(options.out)
    with progress("Bundling") as tell:
        index = bundle.write(store.home, options.tags, out, tell)
    if options.output == "path":
        show.out(str(out))
    elif not show.data(index, options.output):
        what = f"{show.count(len(index['bentos']), 'Bento')} and {show.count(len(index['models']), 'model')}"
        show.out(f"Bundled {what} to {show.plain(str(out))}.")
    return status.OK
