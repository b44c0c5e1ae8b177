"""The options of a target: its attributes, over those of its bentofile."""

from __future__ import annotations

from typing import Any

from rules_bento.build_options import option_reader
from rules_bento.build_options.document import Document
from rules_bento.build_options.options import BuildOptions, merge
from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Sequence


def read(attributes: dict[str, Any], bentofiles: Sequence[tuple[str, ...]], *, src_exists: bool) -> BuildOptions:
    """Merge `attributes`, which have a bentofile's form, with the bentofile (path, name in messages) that there may be.

    `src_exists` is whether the build context has a folder `src`. Raises BentoError for what cannot be built from.
    """
    options = option_reader.parse(Document("", attributes))
    for path, name in bentofiles:
        from rules_bento.build_options.bentofile import read as read_bentofile

        options = merge(options, read_bentofile(path, name, src_exists=src_exists))
    return options


def service_of(options: BuildOptions, sources: Container[str]) -> str:
    """The service that options name, else the module `service`, as BentoML finds it. Raises BentoError without one."""
    if options.service is not None:
        return options.service
    if "service.py" not in sources:
        raise BentoError(
            "service is not set, and there is no service.py among the sources. Name the service, as 'module:Service', "
            "or look whether include, exclude or a .bentoignore leaves service.py out."
        )
    return "service"
