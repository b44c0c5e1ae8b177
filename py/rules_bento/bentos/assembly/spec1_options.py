"""Validates the build options in a `bento.yaml` of spec 1: `docker`, `python`, and `conda`.

As in BentoML, unknown keys are rejected, and some options accept only specific values.
"""

from __future__ import annotations

import re
import sys

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any
from rules_bento.bentos.assembly.descriptor_values import any_value, items, optional, record, to_str, typed
from rules_bento.bentos.build_options import distros
from rules_bento.bentos.build_options.option_checks import check_choice, full_cuda_version, short_python_version

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.descriptor_values import Conversion


def _distro(value: Any, where: str) -> str:
    return check_choice(str(value), distros.NAMES, where)


def _environment(value: Any, where: str) -> dict[str, str] | None:
    if not value:
        return None
    if isinstance(value, list):
        for setting in value:
            if not isinstance(setting, str) or not re.fullmatch(r"\w+=[.\w\-,/]+", setting):
                remedy = "Write NAME=value; the value can contain only letters, digits, and `_ . - , /`."
                raise BentoError(f"invalid variable {setting!r}", place=where, remedy=remedy)
        return dict(setting.split("=", 1) for setting in value)
    if isinstance(value, dict):
        return {str(key): str(item) for key, item in value.items()}
    problem = f"expected a list or mapping of environment variables, got {value!r}"
    raise BentoError(problem, place=where, remedy="Specify the variables, not a file.")


def _conda_dependencies(value: Any, where: str) -> list[Any]:
    dependencies: list[Any] = items(any_value)(value, where)
    mappings = [item for item in dependencies if isinstance(item, dict)]
    if len(mappings) > 1 or any("pip" not in item for item in mappings):
        remedy = "Remove the other mappings."
        raise BentoError("expected at most one mapping, with the key pip", place=where, remedy=remedy)
    for item in mappings:
        items(typed(str))(item["pip"], f"{where}.pip")
    return dependencies


def _optional(**fields: Conversion) -> Conversion:
    return record({key: (optional(convert), None) for key, convert in fields.items()}, closed=True)


_DOCKER = _optional(
    distro=_distro,
    python_version=lambda value, where: short_python_version(str(value), where),
    cuda_version=lambda value, where: full_cuda_version(str(value), where),
    env=_environment,
    system_packages=items(to_str),
    setup_script=to_str,
    base_image=to_str,
    dockerfile_template=to_str,
)
_PYTHON = _optional(
    requirements_txt=typed(str),
    packages=items(any_value),
    lock_packages=any_value,
    pack_git_packages=any_value,
    index_url=typed(str),
    no_index=typed(bool),
    trusted_host=items(any_value),
    find_links=items(any_value),
    extra_index_url=items(any_value),
    pip_args=typed(str),
    wheels=items(any_value),
    is_src_layout=any_value,
)
_CONDA = _optional(
    environment_yml=to_str, channels=items(any_value), dependencies=_conda_dependencies, pip=items(any_value)
)


def _docker_defaults() -> Any:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"  # BentoML's own default, too
    return _DOCKER({"distro": distros.DEFAULT, "python_version": version}, "docker")


def _python_defaults() -> Any:
    return _PYTHON({"lock_packages": True, "pack_git_packages": True, "is_src_layout": False}, "python")


FIELDS: dict[str, tuple[Conversion, Any]] = {
    "docker": (_DOCKER, _docker_defaults),
    "python": (_PYTHON, _python_defaults),
    "conda": (_CONDA, lambda: _CONDA({}, "conda")),
}
"""The conversion and the default of each of the three blocks."""
