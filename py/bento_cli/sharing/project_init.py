"""Implements `bento init`, which writes `[tool.bento.image]`: what decides an image besides uv.lock."""

from __future__ import annotations

import shlex
from contextlib import suppress

from rules_bento.base.archives.atomic import replace_file
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.landlock import outside
from rules_bento.base.python_source import parse
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping
from rules_bento.bentos.packages.requirement_syntax import decode
from rules_bento.images.registry.pull_from_registry import find_manifest
from rules_bento.images.registry.reference import Reference

from bento_cli.projects import image_table
from bento_cli.projects.project_reach import confined
from bento_cli.projects.project_tree import ProjectTree
from bento_cli.projects.uv_project import PYPROJECT, UvProject, read_inside
from bento_cli.sharing import native_base, project_files
from bento_cli.sharing.image_options import LAYOUT, read_options
from bento_cli.sharing.project_command import find_command, project_sources, split_command, stated

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.images.registry.client import Registries


_OF_UV = "ghcr.io/astral-sh/uv:python"  # an image of Python with uv


class Draft(NamedTuple):
    """A table for a project, and what isn't in it."""

    project: UvProject
    text: str  # of pyproject.toml
    present: Mapping[str, Any]  # the table that pyproject.toml has
    found: dict[str, Any]  # keys that it lacks
    origin: str  # of the command
    start: str  # the path of a probe
    notes: list[str]  # what isn't in the table

    @property
    def path(self) -> str:
        """The path of pyproject.toml."""
        return str(self.project.directory / PYPROJECT)

    def add(self, key: str, value: Any) -> None:
        """Add a key unless it is present, or without a value, or invalid, which is noted."""
        if key in self.present or not value:
            return
        try:
            _read(self.project, {"tool": {"bento": {"image": {key: value}}}})
        except BentoError as error:
            self.notes.append(str(error))
        else:
            self.found[key] = value


def draft(directory: Path, package: str, base: str, file: Path | None) -> Draft:
    """Return the table for a project, whose base can be a tag. Opens only files of the project, and `file`."""
    return confined([directory, *([file] if file else [])], _draft, directory.absolute(), package, base, file)


def _read(project: UvProject, document: Mapping[str, Any]) -> None:
    """Read a table as builds do. Raises BentoError for an invalid one."""
    table = image_table.of_document(document, project.directory, project.root)
    read_options({}, (), table=table, is_delivered=False)
    if table.entrypoint:
        split_command(table.entrypoint, table.place("entrypoint"))


def _draft(directory: Path, package: str, base: str, file: Path | None) -> Draft:
    project = UvProject.read(directory, package)
    path = project.directory / PYPROJECT
    text = decode(read_inside(path), str(path))
    document = read_toml(text, str(path))
    _read(project, document)
    origin, found = stated(project, file)
    name = origin.partition(":")[0]
    notes = [f"{name}:{line}: {what}: {instead}." for line, what, instead in found.left]
    present = document.get("tool", {}).get("bento", {}).get("image", {})
    result = Draft(project, text, present, {}, origin, found.start, notes)
    if base:
        _read(project, {"tool": {"bento": {"image": {"base": base}}}})
    result.add("base", base or _base(project, found.base, name, notes))
    if not found.table.get("entrypoint") and "entrypoint" not in present:
        try:
            found.table["entrypoint"], result = _guess(project), result._replace(origin="found in the files")
        except BentoError as error:
            notes.append(str(error))
    for key in ("entrypoint", "apt", "env", "extra", "group", "files", "writable"):
        result.add(key, found.table.get(key))
    return result


def _base(project: UvProject, name: str, origin: str, notes: list[str]) -> str:
    """Return the base of a Dockerfile if it is Python's official image in a version for the project, or the default."""
    default = native_base.DEFAULT_BASE.format(project.default_python)
    stated = name.partition("@")[0]
    if stated.startswith(_OF_UV):  # python3.12-trixie-slim has the image of python:3.12-slim-trixie
        version, _, system = stated.removeprefix(_OF_UV).partition("-")
        system = f"slim-{system.removesuffix('-slim')}" if system.endswith("-slim") else system
        stated = f"python:{version}-{system}".rstrip("-")
    repository, _, tag = stated.removeprefix("docker.io/").removeprefix("library/").partition(":")
    version = ".".join(tag.partition("-")[0].split(".")[:2])
    if repository == "python" and version in (project.pinned_python[0] or version, project.default_python):
        return f"{default.rpartition(':')[0]}:{tag or 'latest'}"
    if name:
        notes.append(f"{origin}: FROM {name}: the base is {default}. For another one, add --base.")
    return default


def _guess(project: UvProject) -> str:
    """Return the command that a build finds in the files of a project that isn't a package."""
    if project.is_package:
        problem = "a build of the package finds the command, or names what could be it"
        raise BentoError(problem, place="entrypoint", remedy="Run `bento image`.")
    sources = project_sources(project_files.select(project, ProjectTree(project.root), (), []), None, parse)
    packages = {each["name"] for each in project.lock["package"]}
    return shlex.join(find_command(project, "", sources, None, packages, project.default_python)[0])


def pinned(base: str, registries: Registries) -> str:
    """Return a base with its tag, and the digest that the tag has now. A layout is itself."""
    if base.startswith(LAYOUT):
        return base
    reference = Reference.parse(base)
    if reference.digest and not reference.tag:
        return base
    tagged = f"{reference.name}:{reference.tag or 'latest'}"
    return f"{tagged}@{find_manifest([Reference.parse(tagged)], registries)[1].descriptor.digest}"


def upgrade_base(directory: Path, registries: Registries) -> tuple[str, str, str]:
    """Renew the digest of a table's base. Returns the path of pyproject.toml, and the old and new base."""
    project = confined([directory], UvProject.read, directory.absolute())
    path = project.directory / PYPROJECT
    text = decode(confined([directory], read_inside, path), str(path))
    table = read_toml(text, str(path)).get("tool", {}).get("bento", {}).get("image", {})
    before = str(table.get("base", ""))
    if before.startswith(LAYOUT) or not Reference.parse(before or "none").tag:
        remedy = "Run `bento init`, or write base as NAME:TAG@DIGEST."
        raise BentoError("the base has no tag", place=f"{path}: tool.bento.image.base", remedy=remedy)
    after = pinned(before, registries)
    if after != before:
        data = edit(text, {"base": after}, str(path)).encode()
        outside(replace_file, path, data)  # writes: output, of the user
    return str(path), before, after


def edit(text: str, values: Mapping[str, Any], origin: str, command: str = "") -> str:
    """Return a pyproject.toml with `values` in `[tool.bento.image]`, and a comment on the origin of the command.

    The other bytes stay. Raises BentoError if they can't stay.
    """
    import tomlkit
    from tomlkit.container import OutOfOrderTableProxy
    from tomlkit.exceptions import TOMLKitError

    def item(key: str, value: Any) -> Any:
        made: Any = tomlkit.inline_table() if isinstance(value, dict) else tomlkit.item(value)
        if isinstance(value, dict):
            made.update(value)
        return made.comment(command) if key == "entrypoint" and command else made

    newline = "\r\n" if text.count("\r\n") == text.count("\n") > 0 else "\n"
    plain = text.replace(newline, "\n")
    expected = read_toml(plain, origin)
    expected.setdefault("tool", {}).setdefault("bento", {}).setdefault("image", {}).update(values)
    made = tomlkit.table()
    for key, value in values.items():
        made.add(key, item(key, value))
    gap = "" if not plain else "\n" if plain.endswith("\n") else "\n\n"
    candidates = [f"{plain}{gap}[tool.bento.image]\n{tomlkit.dumps(made)}"]
    with suppress(TOMLKitError, ValueError):
        document = tomlkit.parse(plain)
        table: Any = document
        for name in ("tool", "bento", "image"):
            table = table[name] if name in table else table.setdefault(name, {})
        is_inline = not isinstance(table, (tomlkit.items.Table, OutOfOrderTableProxy))
        for key, value in values.items():
            if table.get(key) != value:
                table[key] = value if key in table or is_inline else item(key, value)
        candidates.append(tomlkit.dumps(document))
    for after in candidates:
        with suppress(BentoError):
            if read_toml(after, origin) == expected:
                return after.replace("\n", newline)
    lines = "; ".join(f"{key} = {item(key, value).as_string()}" for key, value in values.items())
    raise BentoError("the table can't be added to this form", place=origin, remedy=f"Write it yourself: {lines}.")
