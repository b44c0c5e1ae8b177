"""Records which lines of the user's sources run in tests and servers. Writes LCOV for `bazel coverage`.

The test must depend on coverage.py. The report contains paths relative to the workspace, not to the Bento's `src/`.
"""

from __future__ import annotations

import os
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.formats import split_lines
from rules_bento.base.typing_lite import Any, Iterable, Mapping
from rules_bento.bentos.sources.library_paths import is_loader, loaded_path, possible_paths, short_path_of

# Interpreters of the environment read it at startup; the name sorts after the wheels' directories.
_STARTUP = "wheels_recorded.pth"
_START = "import coverage; coverage.process_startup()\n"

_SETTINGS = """\
[run]
data_file = {directory}/lines
include =
{files}
parallel = true
sigterm = true
disable_warnings = no-data-collected
"""


class Recording:
    """Records the line coverage of one test run."""

    def __init__(self, directory: Path, files: Mapping[Path, str]) -> None:  # writes: own, constant names
        """Create `directory` for the data. `files` maps each recorded file to the path in the report."""
        directory.mkdir(parents=True)
        self._files = files
        self._settings = directory / "settings"
        lines = "".join(f"    {_pattern(path)}\n" for path in files)
        self._settings.write_text(_SETTINGS.format(directory=directory, files=lines), "utf-8")
        self._coverage: Any = None

    def start(self, python: Path) -> None:
        """Start recording this process, and new child processes that use the virtual environment of `python`."""
        import coverage

        [packages] = python.parent.parent.glob("lib/python*/site-packages")
        (packages / _STARTUP).write_text(_START, "utf-8")  # writes: own, a constant name in the environment
        os.environ["COVERAGE_PROCESS_START"] = str(self._settings)
        self._coverage = coverage.Coverage(config_file=str(self._settings))
        self._coverage.start()

    def finish(self, output: Path) -> None:  # writes: output that follows links, a path of Bazel
        """Write the data of all processes to `output` as LCOV, with paths relative to the workspace."""
        import coverage

        self._coverage.stop()
        self._coverage.save()
        self._coverage.combine()
        try:
            self._coverage.lcov_report(morfs=[str(path) for path in self._files], outfile=str(output))
        except coverage.exceptions.NoDataError:  # no file was imported
            output.write_text("", "utf-8")
            return
        lines = output.read_text("utf-8").splitlines(keepends=True)
        output.write_text("".join(self._in_workspace(line) for line in lines), "utf-8")

    def _in_workspace(self, line: str) -> str:
        if not line.startswith("SF:"):
            return line
        return f"SF:{self._files[Path(line[3:-1]).absolute()]}\n"


def recording(settings: Mapping[str, Any], bento: Path, directory: Path) -> Recording | None:
    """Return a new recording, or None if `bazel coverage` isn't running or records no Python sources.

    Raises BentoError if the package `coverage` isn't installed.
    """
    manifest = os.environ.get("COVERAGE_MANIFEST")
    if not os.environ.get("COVERAGE") or not manifest:
        return None
    named = sorted(line for line in split_lines(Path(manifest).read_text("utf-8")) if line.endswith(".py"))
    files = _recorded_files(named, settings, bento)
    if not files:
        return None
    try:
        import coverage  # noqa: F401
    except ImportError:
        remedy = "Add coverage from the package hub."
        raise BentoError("coverage is missing", place="requirements", remedy=remedy) from None
    return Recording(directory, files)


def _recorded_files(named: Iterable[str], settings: Mapping[str, Any], bento: Path) -> dict[Path, str]:
    """Map each recorded file to its path in the workspace. Includes files in the Bento and files that tests import."""
    candidates: list[tuple[str, Path]] = []
    for name in named:
        own = short_path_of(name)
        candidates.append((name, Path(own)))
        for path in possible_paths(own, settings["build_ctx"]):
            for each in (path, path.removeprefix("src/")):
                candidates += [(name, bento / "src" / each), (name, bento / "src" / loaded_path(each))]
    files: dict[Path, str] = {}
    for name, candidate in candidates:
        if candidate.is_file() and not is_loader(candidate):
            files.setdefault(candidate.absolute(), name)
    return files


def _pattern(path: Path) -> str:
    """Return a coverage.py pattern for `path`. Replaces special characters with `?`, because they can't be escaped."""
    return "".join("?" if letter in "*?[]" else letter for letter in str(path))
