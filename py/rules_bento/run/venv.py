"""Creates or updates a virtual environment with a Bento's packages, for `bento_venv`.

The environment is in the source tree. uv installs the wheels that Bazel fetched by hash. A stamp in the environment
records the installed wheels, the interpreter, and the import roots, so that an update installs only the difference.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from rules_bento.base.archives.atomic import atomic_file
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import MAX_BYTES, FormatError, read_file
from rules_bento.base.formats.json import read_object
from rules_bento.base.own_files import own_directory, remove
from rules_bento.base.subcommand_arguments import Arguments, Request
from rules_bento.base.typing_lite import Any
from rules_bento.bentos.packages import uv
from rules_bento.bentos.packages.shared_files import PackageFiles, check_shared_files, files_of_record, override_in_hub
from rules_bento.bentos.packages.virtualenv import OMIT_PLATFORMS, check_platform

HELP = """\
Creates or updates a virtual environment of the Bento's packages.

--directory DIR  create the environment in this directory (default: `.venv` in the target's package)
--python PYTHON  use this interpreter: a path, or a version installed on this machine (default: the build's interpreter)
"""

_STAMP = "rules_bento.json"  # the file that marks an environment as created by this program


class _VenvOptions(Arguments):
    directory: str = ""
    python: str = ""


class _VenvRequest(Request):
    usage = HELP
    python: str
    runfiles: Path
    settings: Path  # JSON, see rules/bento_venv.bzl
    uv: str


def run(request: _VenvRequest) -> None:
    """Create or update the environment, and print its path."""
    settings = json.loads(request.settings.read_text("utf-8"))
    workspace = request.source_tree()
    # uv doesn't check the platform of wheels that are files.
    check_platform(filter(None, [settings["platform"]]), OMIT_PLATFORMS)
    own = _VenvOptions.from_user(request.rest)
    started = Path(os.environ.get("BUILD_WORKING_DIRECTORY", workspace))
    environment = _Environment(
        started / own.directory if own.directory else Path(workspace, settings["directory"]),
        uv=request.uv,
        version=settings["python_version"],
    )
    wanted = {
        "python": own.python or os.path.realpath(request.python),
        "roots": _roots(settings, Path(workspace)),
        "wheels": _wheels(settings["wheels"], request.runfiles),
    }
    changed = environment.update(wanted)
    sys.stderr.write(
        f"{environment.directory}: {len(wanted['wheels'])} packages, {'updated' if changed else 'unchanged'}. Set "
        f"{environment.python} as the interpreter of your editor.\n"
    )


def _roots(settings: dict[str, Any], workspace: Path) -> list[str]:
    """Return the build context and import roots in the source tree. Omits and reports roots in other repositories."""
    own = settings["repository"]
    roots = [root.partition("/") for root in settings["import_roots"]]
    for repository in sorted({repository for repository, _, _ in roots} - {own}):
        sys.stderr.write(f"{repository}: modules of other repositories aren't in the environment\n")
    directories = [settings["build_ctx"], *(directory for repository, _, directory in roots if repository == own), ""]
    return list(dict.fromkeys(os.path.normpath(workspace / directory) for directory in directories))


def _wheels(wheels: dict[str, str], runfiles: Path) -> dict[str, list[Any]]:
    """Return the path, size in bytes, and modification time in ns of each wheel, by package name."""
    by_name: dict[str, list[Any]] = {}
    for name, path in wheels.items():
        file = os.path.realpath(runfiles / path)
        status = Path(file).stat()
        by_name[name] = [file, status.st_size, status.st_mtime_ns]
    return by_name


def _files(item: tuple[str, list[Any]]) -> PackageFiles:
    """Return the files that a wheel installs in site-packages, given an item of the result of `_wheels`."""
    import zipfile

    name, (path, *_) = item
    with zipfile.ZipFile(path) as wheel:
        [record] = [each for each in wheel.infolist() if re.fullmatch(r"[^/]+\.dist-info/RECORD", each.filename)]
        if record.file_size > MAX_BYTES:
            remedy = "Use another version of the package."
            raise BentoError(f"RECORD exceeds {MAX_BYTES >> 20} MiB", place=name, remedy=remedy)
        return files_of_record(name, wheel.read(record).decode())


class _Environment:  # writes: output that follows links, the directory of the environment
    """A virtual environment that only this program creates and changes."""

    def __init__(self, directory: Path, uv: str, version: str) -> None:
        self.directory = directory
        self.python = directory / "bin" / "python"
        self._uv = uv
        self._version = version

    def update(self, wanted: dict[str, Any]) -> bool:
        """Update the environment. Returns whether it changed. Raises BentoError if another program created it."""
        stamp = self._read_stamp()
        if stamp == wanted and os.access(self.python, os.X_OK):
            return False
        check_shared_files(map(_files, wanted["wheels"].items()), override_in_hub)
        if stamp.get("python") != wanted["python"] or not os.access(self.python, os.X_OK):
            stamp = {}
        self.directory.mkdir(parents=True, exist_ok=True)
        # Mark the directory first, so that a run after an interruption can continue.
        self._write_stamp({"python": stamp.get("python", "")})
        if not stamp:
            self._clear()
            self._run("venv", "--offline", "--allow-existing", "--python", wanted["python"], str(self.directory))
        packages = self.directory / "lib" / f"python{self._version}" / "site-packages"
        if not packages.is_dir():
            remedy = (
                f"Pass `-- --python {self._version}` to use an installed interpreter, or pass an interpreter's path."
            )
            raise BentoError(f"the packages require Python {self._version}", place=wanted["python"], remedy=remedy)
        before = stamp.get("wheels")
        self._install(wanted["wheels"], before if isinstance(before, dict) else {})
        (packages / "rules_bento.pth").write_text("".join(f"{root}\n" for root in wanted["roots"]), "utf-8")
        self._write_stamp(wanted)
        return True

    def _read_stamp(self) -> dict[str, Any]:
        """Return the stamp of the environment, or an empty dict if the directory is empty or missing.

        Raises BentoError if another program created the directory.
        """
        try:
            return read_object(read_file(str(self.directory / _STAMP)), str(self.directory / _STAMP))
        except FileNotFoundError:
            if not self.directory.exists() or (self.directory.is_dir() and not any(self.directory.iterdir())):
                return {}
        except (FormatError, OSError):
            pass
        remedy = "Remove the directory, or specify another one with `-- --directory DIR`."
        raise BentoError(f"{self.directory} exists, but this target didn't create it", remedy=remedy)

    def _write_stamp(self, stamp: dict[str, Any]) -> None:
        with atomic_file(self.directory / _STAMP) as file:
            file.write(json.dumps(stamp, indent=1).encode())

    def _clear(self) -> None:
        """Remove all files in the directory except the stamp."""
        for path in self.directory.iterdir():
            if path.name != _STAMP:
                remove(path)

    def _install(self, wheels: dict[str, list[Any]], before: dict[str, list[Any]]) -> None:
        """Install wheels that differ from `before`, and remove packages that aren't in `wheels`."""
        with own_directory("rules_bento-venv-") as scratch:
            requirements = scratch / "requirements.txt"
            lines = [f"{name} @ {Path(wheel[0]).as_uri()}\n" for name, wheel in wheels.items()]
            requirements.write_text("".join(lines), "utf-8")
            again = [
                word for name in wheels if before.get(name) != wheels[name] for word in ("--reinstall-package", name)
            ]
            self._run(
                *("pip", "sync", "--offline", "--no-index", "--python", str(self.python), *again, str(requirements))
            )

    def _run(self, *words: str) -> None:
        if uv.start(uv.Run([self._uv, *words, "--quiet"], None, Path.cwd(), is_shown=True)).returncode:
            remedy = "Check uv's output above."
            raise BentoError("uv couldn't create the environment", place=str(self.directory), remedy=remedy)
