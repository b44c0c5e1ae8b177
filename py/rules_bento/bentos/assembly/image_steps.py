"""Defines the image of a Bento as ordered steps, which a `bentoml.images.Image` declares.

`freeze` reads the files to which an ImageDefinition refers, and returns the values for bento.yaml and the Dockerfile.
"""

from __future__ import annotations

import hashlib
import re

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, cast
from rules_bento.bentos.assembly.env import python
from rules_bento.bentos.assembly.named_files import inline_requirements
from rules_bento.bentos.build_options import distros
from rules_bento.bentos.build_options.document import scalar_string
from rules_bento.bentos.build_options.option_checks import (
    check_choice,
    check_package,
    check_system_package,
    short_python_version,
)
from rules_bento.bentos.packages.requirement_syntax import Line, check_lines, logical_lines, package_lines
from rules_bento.bentos.packages.requirement_syntax import local_packages as _local
from rules_bento.bentos.service.metadata import ImageCall
from rules_bento.bentos.service.sdk_names import IMAGE

if TYPE_CHECKING:
    from rules_bento.bentos.build_options.options import BuildOptions
    from rules_bento.bentos.build_options.project import ProjectFiles
    from rules_bento.bentos.service import ServiceInfo

STEPS = (
    *("system_packages", "run", "run_script", "python_packages", "requirements_file", "pyproject_toml"),
    "requirements",  # lines of a requirements file; not in BentoML
    "run_after",  # a command that always runs after the Python packages: post_commands of the constructor
    *("uv_lock", "build_include"),
)
# Arguments of the constructor, in the order of their steps.
_LISTS = {
    "commands": "run",
    "python_requirements": "requirements",
    "post_commands": "run_after",
    "build_include_paths": "build_include",
}
_PACKAGE_STEPS = ("python_packages", "requirements_file", "pyproject_toml", "requirements")


@dataclass(frozen=True)
class ImageDefinition:
    """The declaration of an image. An unset field is None."""

    base_image: str | None = None
    distro: str | None = None  # empty: none, for a base image without system packages
    python_version: str | None = None
    lock_python_packages: bool | None = None
    pack_git_packages: bool | None = None
    steps: tuple[ImageCall, ...] = ()  # methods in STEPS
    place: str = field(default="image", compare=False)  # prefix of messages


@dataclass(frozen=True)
class ImageCommand:
    """A command of an image build. bento.yaml contains `text`. A Dockerfile uses `packages` or `script` if set."""

    text: str
    packages: tuple[str, ...] = ()  # system packages, if the command only installs these
    script: str = ""  # path of a script in the Bento, if the command only runs it


@dataclass(frozen=True)
class FrozenImage:
    """An image with the contents of all referenced files."""

    base_image: str
    python_version: str
    distro: str  # empty: unknown
    commands: tuple[ImageCommand, ...]
    post_commands: tuple[ImageCommand, ...]
    requirements: tuple[Line, ...]
    build_include: tuple[str, ...]
    files: dict[str, bytes]  # scripts, by path in the Bento


def from_service(info: ServiceInfo) -> ImageDefinition | None:
    """Return the image of a service, if it has one. Raises BentoError for an argument that BentoML doesn't support."""
    if info.image is None:
        return None
    place = f"{info.services[0].path}:{info.services[0].line}" if info.services else info.path
    arguments, place = info.image.arguments, f"{place}: the image of the service"
    for name in arguments:
        check_choice(name, IMAGE, f"{place}: argument of Image")
    steps: list[ImageCall] = []
    for name, method in _LISTS.items():
        value = arguments.get(name)
        if method == "requirements":
            value = [str(value)] if value else None
        steps += [ImageCall(method, (text,)) for text in _string_list(value, name, place)]
    image = ImageDefinition(
        base_image=_optional_string(arguments.get("base_image")) or None,
        distro=_optional_string(arguments.get("distro")),
        python_version=_optional_string(arguments.get("python_version")),
        lock_python_packages=cast("bool | None", arguments.get("lock_python_packages")),
        pack_git_packages=cast("bool | None", arguments.get("pack_git_packages")),
        steps=(*steps, *info.image.calls),
        place=place,
    )
    check(image)
    return image


def _optional_string(value: object) -> str | None:
    return None if value is None else scalar_string(value)


def _string_list(value: object, name: str, place: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BentoError(f"expected a list of strings, got {value!r:.80}.", place=f"{place}: {name}")
    return value


def check(image: ImageDefinition) -> None:
    """Raise BentoError if an image has an invalid name, version, or step, or if the steps are in the wrong order."""
    if image.distro:
        check_choice(image.distro, distros.NAMES, f"{image.place}: distro")
    if image.distro == "" and not image.base_image:
        raise BentoError("neither distro nor base_image is set", place=image.place, remedy="Set distro or base_image.")
    if image.python_version is not None:
        version = short_python_version(image.python_version, f"{image.place}: python_version")
        if not image.base_image and version not in distros.PYTHON_VERSIONS:
            valid = ", ".join(distros.PYTHON_VERSIONS)
            remedy = f"Use {valid}, or set base_image."
            raise BentoError(f"Python {version} isn't supported", place=image.place, remedy=remedy)
    for step in image.steps:
        _check_step(step, image)
    _check_order(image)


def _check_step(step: ImageCall, image: ImageDefinition) -> None:
    kind = check_choice(step.method, STEPS, f"{image.place}: method of Image")
    place = f"{image.place}: {kind}"
    expected = {"uv_lock": 0, "run": 1, "run_after": 1, "run_script": 1, "requirements_file": 1, "requirements": 1}
    if kind in expected and len(step.args) != expected[kind]:
        count = "one argument" if expected[kind] else "no arguments"
        raise BentoError(f"expected {count}, got {len(step.args)}.", place=place)
    if kind in ("system_packages", "python_packages", "build_include") and not step.args:
        raise BentoError("the step has no arguments", place=place, remedy="Add arguments, or remove the step.")
    if kind == "system_packages":
        if image.distro == "":
            raise BentoError("system packages require a distro", place=place, remedy="Set distro.")
        for package in step.args:
            check_system_package(package, place)
    if kind == "python_packages":
        for package in step.args:
            check_package(package, place)
    if kind in ("run", "run_after") and not _is_command(step.args[0]):
        problem = "a command must be one nonempty line, or lines that end in a backslash except for the last one"
        raise BentoError(problem, place=place, remedy="Join lines with '&&', or use run_script.")


def _is_command(text: str) -> bool:
    """Return whether a Dockerfile can have a string after `RUN`, so that the next instruction remains one."""
    *lines, last = re.split("[\r\n]", text.strip())
    return bool(last) and not last.endswith("\\") and all(line.rstrip(" \t").endswith("\\") for line in lines)


def _check_order(image: ImageDefinition) -> None:
    """Raise BentoError if a step adds Python packages after a command that requires installed packages.

    An image build installs the Python packages of all steps together, before the first such command.
    """
    packages = after = False
    for step in image.steps:
        if step.method in _PACKAGE_STEPS:
            if after:
                problem = f"{step.method} follows a command that runs after the installation of the Python packages"
                raise BentoError(problem, place=image.place, remedy=f"Move {step.method} before the command.")
            packages = True
        elif step.method == "run_after" or (packages and step.method in ("run", "run_script")):
            after = True


def freeze(
    image: ImageDefinition,
    options: BuildOptions,
    files: ProjectFiles,
    default_python: str,
    *,
    uv_lock: Iterable[Line] | None = None,
    locked: bool = False,
) -> FrozenImage:
    """Apply options to an image, and read all referenced files.

    Option values replace the values of the image. Packages and scripts from the options are added after the steps of
    the image. `uv_lock` contains the requirements of the project's uv.lock, if a step uses it.
    If `locked` is true, constraints are omitted. Raises BentoError for invalid files.
    """
    docker, place = options.docker, image.place
    distro = docker.distro if docker.distro is not None else image.distro
    base_image = docker.base_image or image.base_image
    python_version = short_python_version(
        docker.python_version or image.python_version or default_python, f"{place}: python_version"
    )
    builder = _ImageBuilder(files, constraints=False if locked else None)
    for step in image.steps:
        builder.add(step, place)
    builder.add_options(options)
    installs = distro is not None or builder.system_packages or not base_image
    distribution = distros.get(distro or distros.DEFAULT) if installs and distro != "" else None
    return FrozenImage(
        base_image=base_image or (distribution or distros.get(distros.DEFAULT)).image(python_version),
        python_version=python_version,
        distro=distribution.name if distribution else "",
        commands=builder.commands_for(distribution),
        post_commands=tuple(builder.post_commands),
        requirements=(*(uv_lock or ()), *builder.requirements),
        build_include=tuple(builder.build_include),
        files=builder.files,
    )


class _ImageBuilder:
    """Collects the commands, requirements, and files that the steps of an image add."""

    def __init__(self, files: ProjectFiles, *, constraints: bool | None) -> None:
        self.commands: list[ImageCommand | tuple[str, ...]] = []  # a tuple has system packages
        self.post_commands: list[ImageCommand] = []
        self.requirements: list[Line] = []
        self.build_include: list[str] = []
        self.files: dict[str, bytes] = {}
        self._files = files
        self._constraints = constraints  # as in inline_requirements
        self._after_packages = False

    @property
    def system_packages(self) -> bool:
        """Whether a step installs system packages."""
        return any(isinstance(command, tuple) for command in self.commands)

    def add(self, step: ImageCall, place: str) -> None:
        """Add the commands, requirements, or files of `step`."""
        match step.method:
            case "system_packages":
                self.commands.append(step.args)
            case "run":
                self._run(ImageCommand(step.args[0].strip()))
            case "run_after":
                self.post_commands.append(ImageCommand(step.args[0].strip()))
            case "run_script":
                self._run(self._script(step.args[0], place))
            case "build_include":
                for path in step.args:
                    self._files.path(path, f"{place}: build_include")
                self.build_include += step.args
            case "uv_lock":
                pass  # `freeze` gets the requirements
            case _:
                self._require(step_requirements(step, self._files, place, constraints=self._constraints))

    def add_options(self, options: BuildOptions) -> None:
        """Add the packages, installer options, and setup script in `options`, in the same order as BentoML."""
        if options.docker.system_packages:
            self.commands.append(options.docker.system_packages)
        lines = python.option_lines(options)
        if lines:
            self._require(lines)
        if options.python.requirements_txt:
            place = options.at("python.requirements_txt")
            requirements_txt = options.python.requirements_txt
            self._require(inline_requirements(requirements_txt, self._files, place, constraints=self._constraints))
        elif options.python.packages:
            self._require(package_lines(options.python.packages, options.at("python.packages")))
        if options.docker.setup_script:
            self._run(self._script(options.docker.setup_script, options.at("docker.setup_script")))

    def commands_for(self, distro: distros.Distro | None) -> tuple[ImageCommand, ...]:
        """Return the commands that precede the Python packages. Omits system packages if `distro` is None."""
        if distro is None:
            return tuple(command for command in self.commands if isinstance(command, ImageCommand))
        own = (
            command if isinstance(command, ImageCommand) else ImageCommand(distro.command(command), command)
            for command in self.commands
        )
        return (ImageCommand(distro.first_command, distro.packages), *own)

    def _run(self, command: ImageCommand) -> None:
        (self.post_commands if self._after_packages else self.commands).append(command)

    def _require(self, lines: Iterable[Line]) -> None:
        self.requirements += lines
        self._after_packages = True

    def _script(self, written: str, place: str) -> ImageCommand:
        path = self._files.path(written, place)
        content = self._files.read(path, place)
        check_script(path, content, place)
        # BentoML hashes the absolute path instead, so its Bentos depend on the location of the project.
        digest = hashlib.sha256(path.encode() + b"\0" + content).hexdigest()
        target = f"env/docker/script__{digest[:32]}"
        self.files[target] = content
        return ImageCommand(f"chmod +x ./{target} && ./{target}", script=target)


def step_requirements(
    step: ImageCall, files: ProjectFiles, place: str, *, constraints: bool | None = None
) -> list[Line]:
    """Return the requirement lines that a step adds.

    If `constraints` is True, a requirements file adds only constraints. If `constraints` is False, the file adds no
    constraints. By default, raises BentoError for constraints, and for an undeclared or invalid file.
    """
    at = f"{place}: {step.method}"
    packages: tuple[str, ...] | list[str] = ()
    match step.method:
        case "requirements":
            lines = list(logical_lines(step.args[0].rstrip("\n") + "\n", at))
            check_lines(lines)
            return lines
        case "requirements_file":
            return inline_requirements(step.args[0], files, at, constraints=constraints)
        case "pyproject_toml":
            packages = _project_dependencies(step.args[0] if step.args else "pyproject.toml", files, at)
        case "python_packages":
            packages = step.args
    return package_lines(packages, at)


def local_packages(image: ImageDefinition, files: ProjectFiles) -> dict[str, str]:
    """Return the packages that don't come from an index, of the pyproject.toml files that `image` uses."""
    from rules_bento.base.formats.toml import read_toml

    steps = [step for step in image.steps if step.method == "pyproject_toml"]
    paths = [step.args[0] if step.args else "pyproject.toml" for step in steps]
    return {name: text for path in paths for name, text in _local(read_toml(files.text(path, path), path)).items()}


def _project_dependencies(path: str, files: ProjectFiles, place: str) -> list[str]:
    """Return `project.dependencies` of a pyproject.toml (default: []). Raises BentoError for an invalid value."""
    from rules_bento.base.formats.toml import read_project, read_toml

    dependencies: list[str] = read_project(read_toml(files.text(path, place), path), path).get("dependencies", [])
    if not isinstance(dependencies, list) or not all(isinstance(item, str) for item in dependencies):
        problem = f"expected a list of strings, got {dependencies!r:.80}."
        raise BentoError(problem, place=f"{path}: project.dependencies")
    for dependency in dependencies:
        check_package(dependency, f"{path}: project.dependencies")
    return dependencies


def check_script(path: str, content: bytes, place: str) -> None:
    """Raise BentoError if a shebang ends with CR, or if a Python, Perl, Ruby, or JavaScript script has no shebang."""
    first = content.partition(b"\n")[0]
    if first.startswith(b"#!"):
        if first.endswith(b"\r"):
            remedy = "Save the file with LF line endings."
            raise BentoError(f"{path} has CRLF line endings, so the shebang is invalid", place=place, remedy=remedy)
        return
    if path.endswith((".py", ".pl", ".rb", ".js")):
        example = "/usr/bin/env python3" if path.endswith(".py") else "/bin/sh"
        raise BentoError(f"{path} has no shebang", place=place, remedy=f"Add '#!{example}' as the first line.")
