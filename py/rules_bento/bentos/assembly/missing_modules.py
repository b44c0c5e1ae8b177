"""Reports modules that the sources import, and that probably neither the sources nor the Bento's packages provide.

A distribution can provide modules of any name, and packages that it requires. So most missing modules are reported only
if the Bento requires no other packages than bentoml. With a lock, which lists all packages, well-known modules are also
reported for other Bentos.
"""

from __future__ import annotations

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Mapping, Sequence
from rules_bento.bentos.packages.requirement_syntax import normalize_name, parse
from rules_bento.bentos.service.loaded_names import LOADED, PROVIDED, WELL_KNOWN, find_package

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.env.common import BentoSettings
    from rules_bento.bentos.assembly.image_steps import ImageDefinition
    from rules_bento.bentos.service.loaded_modules import MissingModule

_PROVIDED_ELSEWHERE = "If the base image or a system package provides a module, add `# bento: provided` to its line."


def notes(
    missing: Sequence[MissingModule],
    files: Mapping[str, bytes],
    sources: Collection[str],
    settings: BentoSettings,
    image: ImageDefinition,
) -> list[str]:
    """Return notes on missing modules. `files` contains the Bento's requirements files, and `sources` are paths.

    With `settings.requires_modules`, raises BentoError for a module that certainly no package provides.
    """
    if not missing:
        return []
    # Spec 2 writes locked packages to requirements.txt, and spec 1 to requirements.lock.txt.
    roots, *more = (_required(files, name) for name in ("requirements.in", "requirements.txt", "requirements.lock.txt"))
    roots, locked = roots or more[0], more[1] or more[0]
    packages = {*roots.values(), *locked.values()}
    only_bentoml = has_only_bentoml(settings, image, [*roots])
    is_known = len(locked) > len(roots) and has_only_bentoml(settings, image, ())  # all packages
    own = {part.partition(".")[0] for path in sources for part in path.split("/")}  # links, and other directories
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
        elif top in own:
            continue
        elif (top not in LOADED | PROVIDED) if only_bentoml else (is_known and _is_certain(top, packages)):
            unprovided.setdefault(top, place)
    if unprovided:
        listed = ", ".join(f"`{top}` (package {find_package(top, None)})" for top in unprovided)
        option = "requirements" if settings.requires_modules else "python.packages"
        error = BentoError(
            f"the Bento's packages don't provide {listed}",
            place=next(iter(unprovided.values())),
            remedy=f"Add the packages to {option}. {_PROVIDED_ELSEWHERE}",
        )
        if settings.requires_modules:
            raise error
        found.append(str(error))
    return found


def _is_certain(module: str, packages: Collection[str]) -> bool:
    """Return whether a well-known module can't be in any of `packages`, which are all packages of a Bento."""
    return module in WELL_KNOWN and not any(f"-{find_package(module, None)}-" in f"-{name}-" for name in packages)


def _required(files: Mapping[str, bytes], name: str) -> dict[str, str]:
    """Return the requirements in a file, and the normalized names of their packages."""
    required = parse(files.get(f"env/python/{name}", b"").decode(), name)[0]
    return {item.text: normalize_name(item.name) for item in required}


def has_only_bentoml(settings: BentoSettings, image: ImageDefinition, required: Sequence[str]) -> bool:
    """Return whether a Bento's environment has only bentoml and the packages that bentoml requires."""
    docker, python, conda = settings.options.docker, settings.options.python, settings.options.conda
    others = (docker.base_image, docker.setup_script, docker.dockerfile_template, python.wheels, image.base_image)
    steps = {step.method for step in image.steps} - {"build_include", "system_packages"}
    return not (any(others) or steps or not conda.is_empty) and all(
        text.partition("=")[0].strip() == "bentoml" for text in required
    )
