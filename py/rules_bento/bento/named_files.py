"""Reads the files that options and the image refer to, so that later actions need only these files."""

from __future__ import annotations

from rules_bento.bento.nested_requirements import inline_requirements
from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.build_options.options import BuildOptions
    from rules_bento.build_options.project import ProjectFiles
    from rules_bento.service import ServiceInfo


def named_files(info: ServiceInfo, options: BuildOptions, files: ProjectFiles) -> dict[str, bytes]:
    """Return the content of each referenced and declared file, by its path in the build context.

    Unreadable files are omitted: the action that uses them reports an error.
    """
    for written in _requirements(info, options):
        try:
            inline_requirements(written, files, "")
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
