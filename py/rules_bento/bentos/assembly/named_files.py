"""Reads the files that options and images refer to: requirements files and their includes, uv.lock, and scripts."""

from __future__ import annotations

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterator
from rules_bento.bentos.packages.requirement_syntax import Line, check_lines, normalize_name, visit_lines

if TYPE_CHECKING:
    from rules_bento.bentos.build_options.options import BuildOptions
    from rules_bento.bentos.build_options.project import ProjectFiles
    from rules_bento.bentos.service import ServiceInfo


def named_files(info: ServiceInfo, options: BuildOptions, files: ProjectFiles) -> dict[str, bytes]:
    """Return the contents of the files that the options or the image refer to, by path in the build context.

    Later actions can read only these files. Omits unreadable files, because the action that uses a file reports the
    error.
    """
    for written in _requirements(info, options):
        try:
            inline_requirements(written, files, "", constraints=False)
        except BentoError:
            continue
    for written in _files(info, options):
        try:
            files.read(written, "")
        except BentoError:
            continue
    return dict(sorted(files.loaded.items()))


def _requirements(info: ServiceInfo, options: BuildOptions) -> Iterator[str]:
    if options.python.requirements_txt:
        yield options.python.requirements_txt
    for call in info.image.calls if info.image else ():
        if call.method == "requirements_file":
            yield from call.args


def _files(info: ServiceInfo, options: BuildOptions) -> Iterator[str]:
    for description in (options.description, info.description):
        if description and description.startswith("file:"):
            yield description.removeprefix("file:").strip()
    docker = options.docker
    for name in (docker.setup_script, docker.dockerfile_template, docker.env_file, options.conda.environment_yml):
        if name:
            yield name
    yield from options.python.wheels or ()
    for call in info.image.calls if info.image else ():
        if call.method == "run_script":
            yield from call.args
        elif call.method == "pyproject_toml":
            yield from call.args or ("pyproject.toml",)
        elif call.method == "uv_lock":
            yield from ("pyproject.toml", "uv.lock")


def inline_requirements(path: str, files: ProjectFiles, place: str, *, constraints: bool | None = None) -> list[Line]:
    """Return the lines of a requirements file, with the lines of included files inserted.

    If `constraints` is True, returns only constraints. If `constraints` is False, omits constraints. If `constraints`
    is None, raises BentoError for constraints. Also raises BentoError for an undeclared file, a circular include, and
    unsupported lines (see `check_lines`).
    """
    found: list[Line] = []

    def visit(line: Line, is_limit: bool) -> None:
        check_lines([line])
        limits = is_limit and bool(line.text)
        if limits and constraints is None:
            remedy = "Run `uv pip compile`, which applies constraints, and use the result as the requirements file."
            raise BentoError(f"a Bento can't contain the constraint {line.text!r}", place=line.place, remedy=remedy)
        found.extend([line] if constraints in (None, limits) else [])

    visit_lines(files.path(path, place), files.text, visit, place)
    return found


def uv_lock_lines(files: ProjectFiles) -> list[Line]:
    """Return the requirements in the project's uv.lock, with its default groups. Raises BentoError for a wrong lock."""
    from rules_bento.base.formats import schema
    from rules_bento.base.formats.toml import read_toml
    from rules_bento.bentos.packages import lock_format, uv_lock_conflicts

    document = lock_format.read_uv_lock(files.text("uv.lock", "uv_lock()"), "uv.lock")
    project = read_toml(files.text("pyproject.toml", "uv_lock()"), "pyproject.toml")
    schema.validate(project, {"project": {"name": str}, "tool?": {"uv?": {}}}, "pyproject.toml", "Correct the file.")
    name = normalize_name(project["project"]["name"])
    groups = project.get("tool", {}).get("uv", {}).get("default-groups", ["dev"])
    if groups != "all":
        schema.validate(groups, [str], "pyproject.toml: tool.uv.default-groups", "Correct the file.")
    chosen = None if groups == "all" else {*map(normalize_name, groups)}
    lines = lock_format.export(document, uv_lock_conflicts.Choice([name], (), chosen), "uv.lock")
    return [line._replace(hashes=()) for line in lines]
