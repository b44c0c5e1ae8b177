"""Holds what a Bento is made of beside its sources and models."""

from __future__ import annotations

from rules_bento.build_options.options import BuildOptions
from rules_bento.build_options.project import ProjectFiles
from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rules_bento.bento.env.python import LockedRequirements
    from rules_bento.bento.image_steps import ImageDefinition


@dataclass(frozen=True)
class ApiDescription:
    """Describes the API of a service as BentoML does, which is known only from importing it."""

    schema: dict[str, Any]  # as bento.yaml has it; empty for a legacy service
    openapi: str  # the text of apis/openapi.yaml


@dataclass(frozen=True)
class BentoSettings:
    """Holds what a target states about its Bento, beside the service's own source."""

    creation_time: str  # ISO 8601
    bentoml_version: str
    python_version: str  # X.Y: of the lock, or what images have where no option says it
    options: BuildOptions = field(default_factory=BuildOptions)
    files: ProjectFiles = field(default_factory=lambda: ProjectFiles({}))  # that options name
    version: str = ""  # default: from the content
    readme: str | None = None  # of the project
    loads: list[list[str]] = field(default_factory=list)  # of models by frameworks, as `model_loads` finds them
    requirements: str = ""  # the text of requirements files, beside the options'
    pins: tuple[str, ...] = ()  # `name==version`: what libraries take from other hubs, beside all others
    lock: LockedRequirements | None = None  # takes the place of requirements
    image: ImageDefinition | None = None  # of the target, in the place of the service's own
    api: ApiDescription | None = None  # of a service that was imported
    features: tuple[str, ...] = ()  # extras of bentoml
    spec: int | None = None  # default: 2 where that can hold the options, else 1
    export_uv_lock: Callable[[ProjectFiles], str] | None = None  # the requirements of the project's uv.lock
