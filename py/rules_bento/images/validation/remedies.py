"""States the remedies of an image's problems. The problems are the same for each front: rule, backend, or command."""

from __future__ import annotations

from rules_bento.base.typing_lite import Collection, Iterable, Sequence


class Remedies:
    """Remedies as attributes of `bento_image` and `python_image`. Other fronts override attributes and methods."""

    builder = "`bentoml containerize`"  # which can run commands
    front = "bento_image"
    bytecode = (
        "Select Python {} with bento_tools.python in MODULE.bazel, use a base with the other version, or set "
        'bytecode = "none".'
    )
    fewer_layers = "Reduce image_layers of the models, or remove targets from layers."
    gzip = ('compression = "gzip"', 'set compression = "gzip" on these layers')  # the setting, and its alternative
    ignored_requirements = "ignore_system_requirements"
    size_limit = "size_limit"
    unknown_packages = (
        "The base has no package list of dpkg or apk, or the layers aren't fetched. Build with "
        "--@rules_bento//rules:base_layers=fetched."
    )

    def __init__(self, image: str = "", hub: str = "", base: str = "") -> None:
        """Take the name of the image's target, the hub of the base's Debian packages or "", and the base's label."""
        self.image = image
        self.hub = hub
        self.base = base

    def add_libraries(self, names: Collection[str]) -> str:
        """Return a sentence that explains how to add libraries, of which `names` are the file names, to an image."""
        return (
            "Add the system packages that provide the missing libraries to the base image or to the layers attribute."
        )

    def add_packages(self, names: Iterable[str]) -> str:
        """Return sentences that explain how to add system packages to an image, with a space at the end."""
        unique = sorted(set(names))
        if not self.hub:
            kind = "package" if len(unique) == 1 else "packages"
            told = f"Use a base image with the {kind} {listed(unique)}, or an image built from Debian packages "
            return told + "(bento_base). "
        lines = "".join(f'        "@{self.hub}//{name}",\n' for name in unique)
        text = "Add\n\nbento_base(\n"
        text += f'    name = "{self.image}_base",\n'
        text += f'    base = "{self.base}",\n'
        text += f"    packages = [\n{lines}    ],\n)\n\n"
        text += f'and set base = ":{self.image}_base" on the image. Add packages that the lock of @{self.hub} '
        return text + "doesn't contain to `packages` of the bento_debs target first. "

    def correct_command(self, name: str) -> str:
        """Return a sentence that explains how an image gets a program, file, or module that its command runs."""
        return f"Correct entrypoint, or add a package or layer that contains {name}."

    def exclude(self, package: str, patterns: list[str]) -> str:
        """Return a clause that excludes files of a package."""
        from rules_bento.bentos.packages.shared_files import exclude_in_hub

        return exclude_in_hub(package, patterns)

    def ignore_libraries(self, names: Collection[str]) -> str:
        """Return a clause that makes the checks ignore files with these names."""
        return f"set ignore_libraries = [{_quoted(sorted(names))}]"

    def ignore_requirements(self, names: Iterable[str]) -> str:
        """Return a clause that makes the checks ignore system requirements of the Bento."""
        return f"set {self.ignored_requirements} = [{_quoted(names)}]"

    def older_wheels(self, glibc: str) -> str:
        """Return a sentence on wheels for an older glibc."""
        return f'Set glibc = "{glibc}" in bento.pypi, which selects older wheels, or use a newer base.'


def _quoted(names: Iterable[str]) -> str:
    return ", ".join('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in names)


def listed(names: Sequence[str]) -> str:
    """Return names as an enumeration."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
