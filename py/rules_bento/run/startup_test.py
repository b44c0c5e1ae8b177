"""Tests the startup of an image: the files read, the CPU time, and the imported modules."""

from __future__ import annotations

import re
import sys

from rules_bento.arguments import Strings
from rules_bento.errors import BentoError
from rules_bento.run.startup import StartupRequest, start
from rules_bento.typing_lite import Iterable

_SHOWN = 15  # packages and files in the report
# A line of `PYTHONPROFILEIMPORTTIME`: the microseconds of a module without and with its imports, and the name.
_IMPORT = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", re.MULTILINE)


class _StartupTestRequest(StartupRequest):
    max_megabytes: int  # 0: no limit
    max_cpu_seconds: int  # 0: no limit
    forbidden_import: Strings  # module that no process imports (repeatable)


def run(request: _StartupTestRequest) -> int:
    """Start a container, and print a report. Returns 1 if the startup exceeds a limit or imports a forbidden module."""
    startup = start(request, {"PYTHONPROFILEIMPORTTIME": "1"})
    imports = [(name, int(microseconds)) for microseconds, name in _IMPORT.findall(startup.log)]
    forbidden = request.forbidden_import
    if forbidden and not imports:
        remedy = "Start Python without -E and -I."
        raise BentoError("the image's Python reported no imports", place="forbidden_imports", remedy=remedy)
    size = sum(startup.files.values())
    problems = [
        *(
            f"{name}: the startup uses {value:.1f}, but the limit is {limit}"
            for name, value, limit in (
                ("max_megabytes", size / 1e6, request.max_megabytes),
                ("max_cpu_seconds", startup.cpu_seconds, request.max_cpu_seconds),
            )
            if 0 < limit < value
        ),
        *(f"forbidden_imports: the startup imports {name}" for name in _imported(forbidden, imports)),
    ]
    largest = sorted(startup.files.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    report = [
        f"files read: {len(startup.files)}, {size / 1e6:.1f} MB",
        f"CPU: {startup.cpu_seconds:.2f} s",
        "seconds of imports, by package:",
        *(f"{seconds:10.3f}  {name}" for name, seconds in _by_package(imports)[:_SHOWN]),
        "bytes of the largest files:",
        *(f"{count:10}  /{path}" for path, count in largest),
        *(f"{request.target}: {problem}. Change the service, or the attribute." for problem in problems),
    ]
    sys.stdout.write("\n".join(report) + "\n")
    return int(bool(problems))


def _imported(forbidden: Iterable[str], imports: Iterable[tuple[str, int]]) -> list[str]:
    """Return the forbidden modules that were imported, directly or through a submodule."""
    names = {name for name, _ in imports}
    return [module for module in forbidden if any(f"{name}.".startswith(f"{module}.") for name in names)]


def _by_package(imports: Iterable[tuple[str, int]]) -> list[tuple[str, float]]:
    """Return the import time in seconds of each top-level package, summed over all processes, slowest first."""
    seconds: dict[str, float] = {}
    for name, microseconds in imports:
        package = name.partition(".")[0]
        seconds[package] = seconds.get(package, 0) + microseconds / 1e6
    return sorted(seconds.items(), key=lambda item: (-item[1], item[0]))
