"""Reports modules that the sources import, and that neither the sources nor the Bento's packages provide.

A module is missing if the files of all packages are known (`module_table`), because any other package might provide it.
"""

from __future__ import annotations

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Mapping, Sequence
from rules_bento.bentos.assembly.installed_packages import locked_table, required_table
from rules_bento.bentos.packages.requirement_syntax import Line, normalize_name, parse
from rules_bento.bentos.service.loaded_names import OPTIONAL, STAND_IN
from rules_bento.bentos.service.module_table import ModuleTable

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.env.common import BentoSettings
    from rules_bento.bentos.assembly.image_steps import ImageDefinition
    from rules_bento.bentos.service.loaded_modules import MissingModule

_PROVIDED_ELSEWHERE = "If the base image or a system package provides a module, add `# bento: provided` to its line."


def notes(
    missing: Sequence[MissingModule],
    files: Mapping[str, bytes],
    own: Collection[str],
    settings: BentoSettings,
    image: ImageDefinition,
) -> list[str]:
    """Return notes on missing modules. `files` contains the Bento's requirements files, and `own` names of modules.

    With `settings.requires_modules`, raises BentoError for a module that certainly no package provides.
    """
    if not missing:
        return []
    table, installed = _table(files, settings)
    is_closed = installs_only_packages(settings, image)
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
        elif reason == OPTIONAL:
            if package := table.find(top):
                problem = f"the service tests for `{top}`, which the Bento requires, but the environment lacks it"
                raise BentoError(problem, place=place, remedy=f"Install {package} in the environment of --python.")
            if not (is_closed and table.lacks(top)):
                found.append(
                    f"{place}: `{top}` isn't installed in the environment of --python, so importing it raised "
                    "ImportError. If the Bento's packages provide it, install it in this environment."
                )
        elif table.find(top):
            continue
        elif reason == "directory":
            found.append(
                f"{place}: the Bento contains the files of the directory {top}, but not the module `{top}`. Import "
                f"the files without `{top}.`, or build the parent directory."
            )
        elif is_closed and table.lacks(top) and (reason == STAND_IN or not reason) and top not in own:
            unprovided.setdefault(top, place)
        elif reason == STAND_IN:
            found.append(
                f"{place}: the environment of --python doesn't have the module `{top}`, so a stand-in replaced it, and "
                "no package of the Bento is known to provide it. Install and require its package, or remove the import."
            )
        elif reason:
            found.append(f"{place}: the import of `{module}` requires {reason}, which is excluded. Check the patterns.")
    if unprovided:
        error = _unprovided_error(unprovided, installed, settings)
        if settings.requires_modules:
            raise error
        found.append(str(error))
    return found


def _unprovided_error(places: Mapping[str, str], installed: ModuleTable, settings: BentoSettings) -> BentoError:
    """Return the error for modules that no package provides, by the first place that imports each."""
    names = ((top, installed.find(top)) for top in places)
    listed = ", ".join(f"`{top}`{f' (package {package})' if package else ''}" for top, package in names)
    option = "requirements" if settings.requires_modules else "python.packages"
    return BentoError(
        f"the Bento's packages don't provide {listed}",
        place=next(iter(places.values())),
        remedy=f"Add the packages that do to {option}. {_PROVIDED_ELSEWHERE}",
    )


def _table(files: Mapping[str, bytes], settings: BentoSettings) -> tuple[ModuleTable, ModuleTable]:
    """Return the tables of the Bento's packages, and of all known packages."""
    # Spec 2 writes locked packages to requirements.txt, and spec 1 to requirements.lock.txt.
    roots, *more = (_required(files, name) for name in ("requirements.in", "requirements.txt", "requirements.lock.txt"))
    roots, locked = roots or more[0], more[1] or more[0]
    wheels = dict.fromkeys(settings.lock.wheels if settings.lock else (), "")
    named = [line for line in locked if not (wheels and line.text.startswith("./"))]
    pins = wheels | {normalize_name(line.name): line.pin[1] if line.pin else "" for line in named}
    known = settings.installed(pins)
    is_locked = len(locked) > len(roots)  # with what the requirements require
    table = locked_table(pins, known) if is_locked else required_table([line.text for line in roots], known)
    return table, ModuleTable({name: package.modules or () for name, package in known.items()})


def _required(files: Mapping[str, bytes], name: str) -> list[Line]:
    return parse(files.get(f"env/python/{name}", b"").decode(), name)[0]


def installs_only_packages(settings: BentoSettings, image: ImageDefinition) -> bool:
    """Return whether a Bento's environment gets all its Python packages from the Bento's requirements."""
    docker, python, conda = settings.options.docker, settings.options.python, settings.options.conda
    others = (docker.base_image, docker.setup_script, docker.dockerfile_template, python.wheels, image.base_image)
    steps = {step.method for step in image.steps} - {"build_include", "system_packages"}
    return not (any(others) or steps or not conda.is_empty)
