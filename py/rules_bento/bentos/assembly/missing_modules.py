"""Reports modules that the sources import, and that probably neither the sources nor the Bento's packages provide.

A distribution can provide modules of any name, and packages that it requires. So most missing modules aren't reported
if the Bento requires other packages than bentoml.
"""

from __future__ import annotations

from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence
from rules_bento.bentos.packages.requirement_syntax import normalize_name, parse
from rules_bento.bentos.service.loaded_names import LOADED, PROVIDED, find_package

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.env.common import BentoSettings
    from rules_bento.bentos.assembly.image_steps import ImageDefinition
    from rules_bento.bentos.service.loaded_modules import MissingModule


def notes(
    missing: Sequence[MissingModule], requirements: str, settings: BentoSettings, image: ImageDefinition
) -> list[str]:
    """Return notes on missing modules. `requirements` are the lines of the Bento's requirements file."""
    if not missing:
        return []
    required = parse(requirements, "requirements")[0]
    packages = {normalize_name(item.name) for item in required}
    found, unprovided = list[str](), dict[str, str]()
    for module, place, reason in missing:
        top = module.partition(".")[0]
        if reason == "submodule":
            found.append(f"{place}: the sources don't contain the module `{module}`. Add its file to the sources.")
        elif reason == "loaded":
            found.append(
                f"{place}: BentoML might load another module `{module}` before the service, and the Bento might not "
                "start. Rename the module in the sources."
            )
        elif find_package(top, packages):
            continue
        elif reason == "directory":
            found.append(
                f"{place}: the Bento contains the files of the directory {top}, but not the module `{top}`. Import "
                f"the files without `{top}.`, or build the parent directory."
            )
        elif reason:
            found.append(f"{place}: the import of `{module}` requires {reason}, which is excluded. Check the patterns.")
        elif top not in LOADED | PROVIDED and has_only_bentoml(settings, image, [item.text for item in required]):
            unprovided.setdefault(top, place)
    if unprovided:
        listed = ", ".join(f"`{top}` (package {find_package(top, None)})" for top in unprovided)
        found.append(
            f"{next(iter(unprovided.values()))}: the Bento's only package is bentoml, which doesn't provide {listed}. "
            "Add the packages to python.packages (in Bazel, to requirements)."
        )
    return found


def has_only_bentoml(settings: BentoSettings, image: ImageDefinition, required: Sequence[str]) -> bool:
    """Return whether a Bento's environment has only bentoml and the packages that bentoml requires."""
    docker, python, conda = settings.options.docker, settings.options.python, settings.options.conda
    others = (docker.base_image, docker.setup_script, docker.dockerfile_template, python.wheels, image.base_image)
    steps = {step.method for step in image.steps} - {"build_include", "system_packages"}
    return not (any(others) or steps or not conda.is_empty) and all(
        text.partition("=")[0].strip() == "bentoml" for text in required
    )
