"""Compiles verified sources with the base's Python, in isolation, to compare the result with bytecode in an image."""

from __future__ import annotations

import re
import zipfile
from hashlib import sha256
from itertools import groupby

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterator, Mapping, Sequence

from bento_cli.sharing.native_bytecode import NoInterpreterError, plan_bytecode

if TYPE_CHECKING:
    from pathlib import Path

    from bento_cli.proofs.base_files import BaseFiles
    from bento_cli.sharing.native_build import BuildWorkspace

_CACHED = re.compile(r"(.+)/__pycache__/([^/]+)\.cpython-3([0-9]+)\.pyc")
_TOGETHER = 200  # sources of the base that are in memory


def module_of(path: str, minor: int) -> str:
    """Return the path of the module whose bytecode is at `path`, for Python 3.`minor`, or ""."""
    match = _CACHED.fullmatch(path)
    return f"{match[1]}/{match[2]}.py" if match and match[3] == str(minor) else ""


def place_of(module: str, minor: int) -> str:
    """Return the path of a module's bytecode: the inverse of `module_of`."""
    directory, _, name = module.rpartition("/")
    return f"{directory}/__pycache__/{name.removesuffix('.py')}.cpython-3{minor}.pyc"


class Jobs(NamedTuple):
    """Modules to compile: modules of wheels, by wheel, and of the base."""

    base: BaseFiles
    wheels: Mapping[str, tuple[Path, str]]
    projects: Collection[str]  # modules whose bytecode must compare itself with the source
    modules: Sequence[str]

    def run(self, workspace: BuildWorkspace) -> Iterator[tuple[str, str | None]]:
        """Yield each module, and the SHA-256 of its bytecode.

        The SHA-256 is None if no interpreter of the base runs here, and "" if the source can't be compiled.
        """
        planned = plan_bytecode(workspace, self.base.image) if self.modules else None
        for mode, is_project in (("unchecked-hash", False), ("checked-hash", True)):
            modules = [each for each in self.modules if (each in self.projects) == is_project]
            try:
                compiler = planned.compiler(mode) if planned and modules else None
            except NoInterpreterError:
                compiler = None
            if compiler is None:
                yield from ((module, None) for module in modules)
                continue
            requests = ((f"/{module}", data) for module, data in self._contents(modules))
            order = [module for module, _ in self._grouped(modules)]
            for module, content in zip(order, compiler.compile_all(requests, None), strict=True):
                yield module, sha256(content).hexdigest() if content else ""

    def _grouped(self, modules: Sequence[str]) -> list[tuple[str, Path | None]]:
        found = [(module, self.wheels[module][0] if module in self.wheels else None) for module in modules]
        return sorted(found, key=lambda pair: (str(pair[1] or ""), pair[0]))

    def _contents(self, modules: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        for path, group in groupby(self._grouped(modules), key=lambda pair: pair[1]):
            names = [module for module, _ in group]
            if path:
                with zipfile.ZipFile(path) as archive:
                    for module in names:
                        yield module, archive.read(self.wheels[module][1])
                continue
            for at in range(0, len(names), _TOGETHER):
                found = self.base.read(names[at : at + _TOGETHER])
                for module in names[at : at + _TOGETHER]:
                    yield module, found[module]
