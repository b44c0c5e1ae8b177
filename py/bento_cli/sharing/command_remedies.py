"""Explains the problems of images with options of `bento containerize` and `bento image`."""

from __future__ import annotations

import shlex

from rules_bento.base.typing_lite import Collection, Iterable
from rules_bento.images.validation.package_needs import debian_package
from rules_bento.images.validation.remedies import Remedies, listed


class CommandRemedies(Remedies):
    """Remedies as options of a command. `builder` is the remedy of another builder."""

    front = "the native backend"
    unknown_packages = "The base has no package list of dpkg or apk."

    def __init__(self, base: str, builder: str = "", distributions: Collection[str] = ()) -> None:
        """Take the name of the base, another builder or "", and the IDs of the base's distribution."""
        super().__init__(base=base)
        self.builder = builder
        self._use_builder = f" Use {builder}." if builder else ""
        self._has_apt = not {"debian", "ubuntu"}.isdisjoint(distributions)
        self.fewer_layers = f"Use a base image with fewer layers.{self._use_builder}"
        self.gzip = ("--compression=gzip", "use --compression=zstd")
        self.ignored_requirements = "--ignore-requirement"
        self.size_limit = "--size-limit"

    def add_libraries(self, names: Iterable[str]) -> str:
        """Return a sentence that explains how to add libraries, of which `names` are the file names, to an image."""
        packages = sorted({*filter(None, map(debian_package, names))})
        if self._has_apt and packages:
            return f"Add their Debian packages, probably {self._apt(packages)}."
        return f"Use a base image that contains the missing libraries.{self._use_builder}"

    def add_packages(self, names: Iterable[str]) -> str:
        """Return sentences that explain how to add system packages to an image, with a space at the end."""
        unique = sorted(set(names))
        if self._has_apt:
            return f"Add {self._apt(unique)}. "
        kind = "package" if len(unique) == 1 else "packages"
        return f"Use a base image with the {kind} {listed(unique)}.{self._use_builder} "

    def _apt(self, names: Iterable[str]) -> str:
        return " ".join(f"--apt {name.removesuffix('t64')}" for name in names)  # t64 provides the name without it

    def correct_command(self, name: str) -> str:
        """Return a sentence that explains how an image gets a program, file, or module that its command runs."""
        add = f"add the file with --file, such as {name}=/srv/{name}, whose path --entrypoint then needs"
        if not name.endswith(".py"):
            add = f"add a package that contains {name} to the lock"
        return f"Correct --entrypoint, which needs no `uv run`, or {add}."

    def exclude(self, package: str, patterns: list[str]) -> str:
        """Return a clause that excludes files of a package."""
        return self._add("exclude", (f"{package}:{pattern}" for pattern in patterns))

    def ignore_libraries(self, names: Iterable[str]) -> str:
        """Return a clause that makes the checks ignore files with these names."""
        return self._add("ignore-library", sorted(names))

    def ignore_requirements(self, names: Iterable[str]) -> str:
        """Return a clause that makes the checks ignore system requirements of the Bento."""
        return self._add("ignore-requirement", names)

    def older_wheels(self, glibc: str) -> str:
        """Return a sentence on wheels for an older glibc."""
        return f"Lock a version with a wheel for glibc {glibc}, or use a newer base."

    def _add(self, option: str, values: Iterable[str]) -> str:
        words = [f"--{option}={shlex.quote(value)}" for value in values]
        return f"add {' '.join(words)}"
