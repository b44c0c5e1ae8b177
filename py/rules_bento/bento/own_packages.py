"""Finds the packages that a Bento includes as code, so that its requirements must not name them.

A package index can have another package under the name of a local package, such as a member of a uv workspace.
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.packages.requirements import Line, address_name, normalize_name, requirement_name
from rules_bento.typing_lite import TYPE_CHECKING, Iterable, Mapping

if TYPE_CHECKING:
    from rules_bento.bento.env.common import BentoSettings

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
                f"{name!r} comes from {local[name]} (tool.uv.sources), but a package index can have another package "
                "of this name",
                place=line.place,
                remedy="Add a wheel of the package to python.wheels or, with Bazel, add its py_library to deps.",
            )
        kept.append(line)
    return kept
