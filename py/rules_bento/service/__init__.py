"""Static reading: what a BentoML service says about itself, from its syntax tree alone.

Nothing is imported, compiled to code or executed. `read_service` gives a `ServiceInfo` with what
bento.yaml needs; each fact that the source does not state plainly is an `Unknown` that names the rule
attribute which states it instead. The judge is what importing the service with BentoML 1.4 gives.
"""

from __future__ import annotations

from rules_bento.service.metadata import (
    Api,
    Dependency,
    Env,
    HuggingFace,
    Image,
    ImageCall,
    Model,
    Mount,
    Runner,
    Service,
    ServiceInfo,
    SourceTree,
    Unknown,
    from_json,
    to_json,
)
from rules_bento.service.overrides import Declared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules_bento.service.remediation import Words

__all__ = [
    "Api",
    "Declared",
    "Dependency",
    "Env",
    "HuggingFace",
    "Image",
    "ImageCall",
    "Model",
    "Mount",
    "Runner",
    "Service",
    "ServiceInfo",
    "SourceTree",
    "Unknown",
    "from_json",
    "override",
    "read_service",
    "require_known",
    "snake_case",
    "to_json",
]


def read_service(
    service: str, sources: Mapping[str, bytes] | SourceTree, arguments: Mapping[str, object] | None = None
) -> ServiceInfo:
    """Read the service that `service` names out of the files of a Bento's src/.

    Args:
        service: BentoML's import string: `module:attr`, `file.py:attr`, `pkg.mod:attr`, a dotted `attr`
            that follows dependencies, or the module alone (then its one service is found as BentoML does).
        sources: the files by their path in src/ (`/` between parts), as bytes, or a `SourceTree`.
        arguments: what `bentoml.use_arguments()` gives the service.

    Raises:
        BentoError: the string is malformed, or the module, its attribute or a service in it is not there,
            or a file that was needed is no Python. The message names file, line and remedy.

    """
    # The reader is half of this package's weight; who only passes facts on does not pay for it.
    from rules_bento.service.reader import read

    return read(service, sources, arguments or {})


def override(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    """Let what is declared beside the source stand in for what the source does not state plainly.

    Raises:
        BentoError: a declared fact contradicts what the source states plainly, or is about nothing that is there.

    """
    from rules_bento.service.overrides import apply

    return apply(info, declared)


def require_known(info: ServiceInfo, target: str = "", words: Words = "attributes") -> None:
    """Refuse facts of which BentoML would write something and that neither the source nor a statement says.

    Raises:
        BentoError: one is unknown; the message has file, line, what is not plain, and what states it.

    """
    from rules_bento.service.remediation import require

    require(info.unknowns, target, words)


def snake_case(name: str) -> str:
    """Return the Bento name that BentoML derives from a service's name: `ImgSvc` -> `img_svc`."""
    from rules_bento.service.overrides import bento_name_of

    return bento_name_of(name)
