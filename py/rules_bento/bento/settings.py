"""The settings of a Bento in addition to its sources, service metadata, and models."""

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
    """The API description of a service, which requires importing it."""

    schema: dict[str, Any]  # of bento.yaml; empty for a legacy service
    openapi: str  # content of apis/openapi.yaml


@dataclass(frozen=True)
class BentoSettings:
    """The settings of a Bento in addition to its service metadata."""

    creation_time: str  # ISO 8601
    bentoml_version: str
    python_version: str  # X.Y: of the lock, or the default of images
    options: BuildOptions = field(default_factory=BuildOptions)
    files: ProjectFiles = field(default_factory=lambda: ProjectFiles({}))  # that options refer to
    version: str = ""  # default: from the content
    readme: str | None = None  # of the project
    loads: list[list[str]] = field(
        default_factory=list
    )  # calls of framework functions that load models, from `model_loads`
    requirements: str = ""  # lines of requirements files, in addition to the options'
    pins: tuple[str, ...] = ()  # `name==version`: packages of libraries from other hubs
    lock: LockedRequirements | None = None  # replaces requirements
    image: ImageDefinition | None = None  # of the target; replaces the service's own
    api: ApiDescription | None = None  # of an imported service
    features: tuple[str, ...] = ()  # extras of bentoml
    spec: int | None = None  # default: 2 if it supports the options, else 1
    export_uv_lock: Callable[[ProjectFiles], str] | None = None  # returns the requirements of the project's uv.lock
