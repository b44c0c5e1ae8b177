"""`bento bundle`: packs entries of the store into one archive."""

from __future__ import annotations

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status
from bento_cli.cli.progress import progress

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the file of the bundle, what it takes, and the output."""
    parser.add_argument("out", metavar="PATH", help="write the bundle to this file, such as release.bentobundle")
    parser.add_argument("tags", metavar="TAG", nargs="+", help="include this Bento and its models")
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = (
        "A bundle is a tar of .bento and .bentomodel archives. `tar -x` unpacks them, and BentoML can\nimport them."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Pack the entries into a bundle."""
    from bento_cli.library import local
    from bento_cli.sharing import bundle

    out = local(options.out)
    with progress("Bundling") as tell:
        index = bundle.write(store.home, options.tags, out, tell)
    if options.output == "path":
        show.out(str(out))
    elif not show.data(index, options.output):
        what = f"{show.count(len(index['bentos']), 'Bento')} and {show.count(len(index['models']), 'model')}"
        show.out(f"Bundled {what} to {show.plain(str(out))}.")
    return status.OK
