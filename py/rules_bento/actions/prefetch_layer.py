"""Puts the files of a layer that a start reads before the others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from rules_bento.formats import read_file
from rules_bento.images import startup_trace
from rules_bento.images.layers import description
from rules_bento.images.layers.estargz import TOC_DIGEST
from rules_bento.images.layers.prioritized import write_prioritized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = description.FLAGS | {
    "--layer": 2,  # description, blob
    "--startup-trace": 1,
}


def run(arguments: Arguments) -> None:
    """Write layer and description. A layer that is not of eStargz, or has none of the files, stays what it is."""
    described, blob = arguments.tuples("--layer")[0]
    path = arguments.required("--startup-trace")
    names = startup_trace.loads(read_file(path), path)
    fields = json.loads(Path(described).read_text("utf-8"))
    out, _ = description.output(arguments)
    toc_digest = fields.get("annotations", {}).get(TOC_DIGEST)
    written = write_prioritized(out, Path(blob), toc_digest, names) if toc_digest else None
    if written is None:
        shutil.copyfile(blob, out)
        shutil.copyfile(described, arguments.required("--description"))
    else:
        description.describe(arguments, written.info, fields["name"], prefetched=written.files)
