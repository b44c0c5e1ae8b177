"""Determines the metadata of a BentoML service, by analyzing its source statically or by importing it with BentoML.

Static analysis doesn't run the service's code. An `Unknown` represents each value that isn't a constant in the source,
and requires an import. All other values are the same as in an import with BentoML 1.4.
"""

from __future__ import annotations

from rules_bento.base.typing_lite import Mapping
from rules_bento.bentos.service.metadata import (
    HuggingFace,
    Image,
    ImageCall,
    Model,
    Service,
    ServiceInfo,
    SourceTree,
    from_json,
    to_json,
)

__all__ = ["HuggingFace", "Image", "ImageCall", "Model", "Service", "ServiceInfo", "SourceTree"]
__all__ += ["from_json", "read_service", "to_json"]


def read_service(
    service: str, sources: Mapping[str, bytes] | SourceTree, arguments: Mapping[str, object] | None = None
) -> ServiceInfo:
    """Determine the metadata of a service by static analysis of the files in a Bento's src/.

    Args:
        service: BentoML's import string: `pkg.mod:attr`, `file.py:attr`, or only a module or file that has one service.
        sources: the contents of the files by POSIX path in src/, or a `SourceTree`.
        arguments: the values that `bentoml.use_arguments()` returns in the service.

    Raises:
        BentoError: the import string is invalid or ambiguous, a module or an attribute is missing, a required file
            isn't valid Python, or BentoML rejects the service.

    """
    from rules_bento.bentos.service.reader import read  # most of this package: users of metadata don't load it

    tree = sources if isinstance(sources, SourceTree) else SourceTree(sources.keys(), sources.__getitem__)
    return read(service, tree, arguments or {})
