"""Collects the Python packages that options and images declare, and compares the packages with a lock.

Omits packages that the Bento includes as code. A package index can have another package under the name of a local
package, such as a member of a uv workspace.
"""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import dataclass, field, replace
from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterable, Mapping
from rules_bento.bentos.packages.requirement_syntax import (
    Line,
    address_name,
    join,
    local_path,
    normalize_name,
    parse,
    requirement_name,
)

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.env.common import BentoSettings
    from rules_bento.bentos.assembly.image_steps import ImageDefinition
    from rules_bento.bentos.build_options.options import BuildOptions
    from rules_bento.bentos.build_options.project import ProjectFiles


@dataclass(frozen=True)
class DeclaredPackages:
    """Requirements and constraints (PEP 508) from one location. Messages begin with the location `place`."""

    place: str
    requirements: list[str]
    constraints: list[str] = field(default_factory=list)
    hashes: dict[str, list[str]] = field(default_factory=dict)  # SHA-256, by requirement

    def without(self, names: Collection[str]) -> DeclaredPackages:
        """Return a copy without the requirements for the packages in `names`."""
        return replace(self, requirements=[text for text in self.requirements if requirement_name(text) not in names])

    def check_lock(self, locked_extras: Mapping[str, Collection[str]]) -> list[str]:
        """Compare the requirements with a lock. Returns warnings about missing extras.

        `locked_extras` maps each locked package to its extras. Raises BentoError for a missing package, unless the
        requirement has a marker.
        """
        missing, notes = [], []
        for text in self.requirements:
            name, extras = re.match(r"([-._A-Za-z0-9]+)\s*(?:\[([^]]*)])?", text).groups(default="")  # type: ignore[union-attr]
            if normalize_name(name) not in locked_extras:
                missing += [] if ";" in text else [text]
                continue
            wanted = {normalize_name(extra.strip()) for extra in extras.split(",") if extra.strip()}
            notes += [
                f"{self.place}: {text}: the lock doesn't contain the extra {extra!r}. Add the packages of this extra "
                f"to the target's requirements."
                for extra in sorted(wanted - {normalize_name(extra) for extra in locked_extras[normalize_name(name)]})
            ]
        if missing:
            problem = f"the target's requirements attribute doesn't contain these packages: {', '.join(missing)}"
            remedy = "Add each package to requirements, or the py_library that contains it to deps."
            raise BentoError(problem, place=self.place, remedy=remedy)
        return notes

    def check_hashes(self, locked: Mapping[str, Mapping[str, str]]) -> None:
        """Raise BentoError if a requirement specifies hashes, but not the hash of each locked file of the package.

        `locked` maps each package to its files, and each file name to the SHA-256 of the file.
        """
        for text, hashes in self.hashes.items():
            for file, sha256 in sorted(locked.get(requirement_name(text), {}).items()):
                if sha256 not in hashes:
                    problem = f"{text}: the locked hash of {file}, sha256:{sha256}, isn't one of the specified hashes"
                    raise BentoError(problem, place=self.place, remedy="Remove --hash to use the locked hashes.")


def declared_packages(options: BuildOptions, image: ImageDefinition, files: ProjectFiles) -> list[DeclaredPackages]:
    """Return the Python packages that the image and the options declare.

    Raises BentoError for an undeclared or invalid requirements file.
    """
    from rules_bento.bentos.assembly.image_steps import step_requirements
    from rules_bento.bentos.assembly.named_files import inline_requirements
    from rules_bento.bentos.build_options.options import packages_place

    place = packages_place(options)
    image_text, image_limits = (
        join(
            line
            for step in image.steps
            if step.method == "requirements_file" or not constraints
            for line in step_requirements(step, files, image.place, constraints=constraints)
        )
        for constraints in (False, True)
    )
    options_text, options_limits = "".join(f"{package}\n" for package in options.python.packages or ()), ""
    if options.python.requirements_txt:
        options_text, options_limits = (
            join(inline_requirements(options.python.requirements_txt, files, place, constraints=constraints))
            for constraints in (False, True)
        )
    return [
        DeclaredPackages(
            origin,
            _requirements(text, origin),
            _requirements(limits, origin),
            {item.text: list(item.hashes) for item in parse(text, origin)[0] if item.hashes},
        )
        for origin, text, limits in ((image.place, image_text, image_limits), (place, options_text, options_limits))
        if text or limits
    ]


def _requirements(text: str, origin: str) -> list[str]:
    """Return the requirements in `text`. Omits local files, and replaces direct references with package names."""
    requirements, _ = parse(text, origin)
    return [item.name if item.is_direct else item.text for item in requirements if not local_path(item.text)]


_PACKAGE = "/__init__.py"


def importable_names(paths: Iterable[str]) -> set[str]:
    """Return the normalized names of the packages and top-level modules in `paths`, such as `acme-lib` for acme.lib.

    A distribution usually has the name of its package. Ignores directories without `__init__.py`.
    """
    packages = {path.removesuffix(_PACKAGE) for path in paths if path.endswith(_PACKAGE)}
    modules = {path.removesuffix(".py") for path in paths if path.endswith(".py") and "/" not in path}
    return {normalize_name(name.replace("/", ".")) for name in packages | modules}


def without_own_packages(lines: Iterable[Line], settings: BentoSettings, local: Mapping[str, str]) -> list[Line]:
    """Return `lines` without the local packages that the Bento includes as code or as wheels.

    `local` maps the names of local packages to their sources. Raises BentoError for a local package that the Bento
    doesn't include, unless a lock is used, which must contain the package.
    """
    options = settings.options
    wheels = {address_name(path) for path in (options.python.wheels or ()) if local}
    kept = []
    for line in lines:
        name = requirement_name(line.text) if line.text[:1].isalnum() else ""
        if name in wheels or (name in settings.own_packages and (name in local or settings.lock)):
            continue
        if name in local and not settings.lock and " @ " not in line.text:
            raise BentoError(
                f"{name!r} comes from {without_credentials(local[name])} (tool.uv.sources), but a package index can "
                "have another package of this name",
                place=line.place,
                remedy="Add a wheel of the package to python.wheels or, with Bazel, add its py_library to deps.",
            )
        kept.append(line)
    return kept
