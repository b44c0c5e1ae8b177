"""An archive of a Bento and its models, joined of parts that were written before."""

from __future__ import annotations

from rules_bento.archives.archive import join, transcode, write_part
from rules_bento.archives.tarstream import Member
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rules_bento.archives.archive import Form


def assemble(out: Path, parts: Sequence[Path], latest: Mapping[str, str], form: Form | None = None) -> None:
    """Write the archive at `out`: the parts in this order, and the pointers to the latest model of each name.

    `latest` has the versions by names of models. Without a `form` it is a `.bento`. Raises BentoError for parts that
    do not fit together, and OSError; nothing is left at `out` then.
    """
    pointers = out.with_name(out.name + ".latest")
    members = [Member.inline(f"models/{name}/latest", version.encode()) for name, version in latest.items()]
    if members:
        write_part(pointers, members, threads=1)
        parts = [*parts, pointers]
    try:
        if form:
            transcode(out, parts, form)
        else:
            join(out, parts)
    finally:
        pointers.unlink(missing_ok=True)
