"""Implements `bento lock --apt`, which locks the Debian packages of images next to the lock of a project."""

from __future__ import annotations

import json

from rules_bento.base.archives.atomic import replace_file
from rules_bento.base.errors import BentoError
from rules_bento.base.landlock import outside
from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence
from rules_bento.images.debian import apt

from bento_cli.projects import image_table
from bento_cli.projects.project_reach import confined
from bento_cli.projects.uv_project import (
    DEBIAN_LOCK,
    LOCK,
    PYPROJECT,
    UvProject,
    find_locks,
    find_root,
    read_inside,
    read_tables,
)
from bento_cli.sharing import native_build
from bento_cli.sharing.debian_packages import SystemRequest, choose, read_files
from bento_cli.sharing.image_options import read_options
from bento_cli.sharing.native_base import DEFAULT_BASE

if TYPE_CHECKING:
    from pathlib import Path

    from bento_cli.sharing.backends import Options
    from bento_cli.sharing.native_build import BuildWorkspace


def lock(home: Path, directory: Path, names: Sequence[str], options: Options) -> tuple[Path, int, bool]:
    """Lock the newest packages that the bases of a project need: those in `names`, or in its table.

    Returns the path of the lock, the number of packages, and whether the lock changed.
    """
    directory = directory.absolute()
    if not directory.is_dir():
        raise BentoError("no such directory", place=str(directory), remedy="Specify the directory of a project.")
    root, table, default = directory, None, DEFAULT_BASE.format("3.11")
    if (directory / PYPROJECT).is_file():
        root = confined([directory], find_root, directory)
        document = confined([root], read_tables, directory / PYPROJECT, {})
        table = confined([root], image_table.of_document, document, directory, root)
    if (root / LOCK).is_file() or find_locks(root):
        default = DEFAULT_BASE.format(confined([root], UvProject.read, directory).default_python)
    settings = read_options({**options, "apt": names}, (), table=table, is_delivered=False)
    if "apt" not in settings:
        raise BentoError("no packages", place="--apt", remedy="Add --apt NAME, or write tool.bento.image.apt.")
    request = SystemRequest(tuple(settings["apt"]), root / DEBIAN_LOCK, str(directory))

    def run(workspace: BuildWorkspace) -> apt.Lock:
        bases = workspace.bases(default)
        return choose(workspace, {each.image.config["architecture"]: read_files(each) for each in bases}, request)

    found = apt.dumps(native_build.build("Locking", home, settings, run))
    is_changed = not request.lock.is_file() or read_inside(request.lock) != found.encode()
    if is_changed:
        outside(replace_file, request.lock, found.encode())  # writes: output, of the user
    return request.lock, sum(map(len, json.loads(found)["packages"].values())), is_changed
