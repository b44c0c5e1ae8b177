"""Calls the hooks of build back ends for uv, in isolation, with the view that builds of wheels have."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import own_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Iterator
from rules_bento.bentos.packages import uv
from rules_bento.bentos.service import isolated_build

from bento_cli.projects.project_reach import confined, tree
from bento_cli.projects.project_tree import ProjectTree
from bento_cli.projects.uv_project import UvProject

if TYPE_CHECKING:
    from rules_bento.bentos.packages.build_hooks import Call, Hook


@contextmanager
def isolated_hooks(places: Iterable[Path], version: str) -> Iterator[Call]:
    """Yield a function for hooks of the projects in the trees of `places`, and of packages in uv's cache.

    `version` is the version of the interpreter, as in `uv.start`.
    """
    trees, python = [*map(tree, places)], uv.find_interpreter(uv.minor(version))
    seen = dict[Path, isolated_build.Sources]()
    variables = {name: value for name, value in os.environ.items() if re.search("_PRETEND_VERSION", name)}
    with own_directory("bento-hooks-") as scratch:

        def call(hook: Hook) -> tuple[str, bytes]:
            if python.release(2) != uv.minor(version):
                remedy = f"Run `uv python install {uv.minor(version)}`."
                raise BentoError(f"this machine has no Python {uv.minor(version)}", remedy=remedy)
            directory = hook.directory.resolve()
            if directory not in seen:
                (copy := scratch / str(len(seen))).mkdir()  # writes: own, a number of this run
                seen[directory] = _sources(directory, trees, copy)
            return isolated_build.call_hook(hook, python, variables, seen[directory])

        yield call


def _sources(directory: Path, trees: Iterable[Path], copy: Path) -> isolated_build.Sources:
    if directory.is_relative_to(uv.cache_directory().resolve()):
        return isolated_build.Sources.of_archive(directory)
    if not any(directory.is_relative_to(each) for each in trees):
        raise BentoError("the project isn't in the repository", place=str(directory), remedy="Use its wheel.")
    project = UvProject(tree(directory), directory, {}, True, {}, {})
    found = ProjectTree(project.root)
    confined(found.places, found.key, project, copy, copy=copy)
    return isolated_build.Sources(copy, found.place(project))
