"""Determines the metadata of a BentoML service, by static analysis of its source or by an import with BentoML.

Static analysis executes no code of the service. A value that isn't a constant in the source becomes an `Unknown`, which
a rule attribute or a flag can declare. Known values must equal the result of an import with BentoML 1.4.
"""

from __future__ import annotations

from rules_bento.service.metadata import (
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
from rules_bento.service.overrides import Declared, override, require_known, snake_case
from rules_bento.typing_lite import Mapping

__all__ = ["Declared", "HuggingFace", "Image", "ImageCall", "Model", "Service", "ServiceInfo", "SourceTree"]
__all__ += ["from_json", "override", "read_service", "require_known", "snake_case", "to_json"]


def read_service(
    service: str, sources: Mapping[str, bytes] | SourceTree, arguments: Mapping[str, object] | None = None
) -> ServiceInfo:
    """Return the metadata of a service, from a static analysis of the files in a Bento's src/.

    Args:
        service: BentoML's import string: `pkg.mod:attr`, `file.py:attr`, or a module or file that defines one service.
        sources: the contents of the files by POSIX path in src/, or a `SourceTree`.
        arguments: the values that `bentoml.use_arguments()` returns in the service.

    Raises:
        BentoError: the string is malformed, or names a missing module or attribute; the service is ambiguous; a
            required file isn't valid Python; or BentoML rejects the service. The message contains a remedy.

    """
    from rules_bento.service.reader import read  # most of this package: users of metadata don't load it

    return read(service, sources, arguments or {})
