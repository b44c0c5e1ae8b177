"""Static reading: what a BentoML service says about itself, from its syntax tree alone.

Nothing is imported, compiled to code or executed. `read_service` gives a `ServiceInfo` with what
bento.yaml needs; each fact that the source does not state plainly is an `Unknown` that names the rule
attribute which states it instead. The judge is what importing the service with BentoML 1.4 gives.
"""

from __future__ import annotations

from rules_bento.service.facts import (
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = [
    "Api",
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


def read_service(service: str, sources: Mapping[str, bytes] | SourceTree) -> ServiceInfo:
    """Read the service that `service` names out of the files of a Bento's src/.

    Args:
        service: BentoML's import string: `module:attr`, `file.py:attr`, `pkg.mod:attr`, a dotted `attr`
            that follows dependencies, or the module alone (then its one service is found as BentoML does).
        sources: the files by their path in src/ (`/` between parts), as bytes, or a `SourceTree`.

    Raises:
        BentoError: the string is malformed, or the module, its attribute or a service in it is not there,
            or a file that was needed is no Python. The message names file, line and remedy.

    """
    # The reader is half of this package's weight; who only passes facts on does not pay for it.
    from rules_bento.service.reader import read

    return read(service, sources)


def override(
    info: ServiceInfo,
    *,
    services: Mapping[str, Sequence[str]] | None = None,
    bento_name: str | None = None,
    models: Collection[str] | None = None,
    envs: Collection[str] | None = None,
    labels: Collection[str] | None = None,
    image: object = None,
) -> ServiceInfo:
    """Let the rule's attributes stand in for what the source does not state plainly.

    Args:
        info: what was read.
        services: service name -> names of the services it depends on; the entry service is the one that
            was read, else the first that none depends on.
        bento_name: the Bento's name.
        models: tags that the target declares; stands in for model references that could not be read.
        envs: names of the environment variables that the target declares.
        labels: keys of the labels that the target declares.
        image: anything but None says that the target declares the image.

    Returns:
        The facts with the declared ones in place, without the unknowns that they answer.

    Raises:
        BentoError: a declared service contradicts what the source states plainly.

    """
    from rules_bento.service.bentoml.declared import Declared, apply

    return apply(info, Declared(services, bento_name, models, envs, labels, image))


def require_known(info: ServiceInfo, target: str = "") -> None:
    """Refuse facts without which the Bento cannot be imported or served.

    These are the names of services, the dependencies between them, and the model references.

    Raises:
        BentoError: one is unknown; the message has file, line, what is not plain, and the attribute.

    """
    from rules_bento.service.bentoml.declared import require

    require(info, target)


def snake_case(name: str) -> str:
    """Give the Bento name that BentoML derives from a service's name: `ImgSvc` -> `img_svc`."""
    from rules_bento.service.bentoml.declared import bento_name_of

    return bento_name_of(name)
