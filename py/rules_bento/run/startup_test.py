"""Tests the startup of an image: the files read, the CPU time, and the imported modules."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from types import MappingProxyType

from rules_bento.base.errors import BentoError
from rules_bento.base.exit_handling import exit_on_signals
from rules_bento.base.formats.oci import Layer
from rules_bento.base.own_files import own_directory
from rules_bento.base.subcommand_arguments import Pairs, Request, Strings
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Mapping
from rules_bento.run import image_start
from rules_bento.run.image_start import Conditions, Startup
from rules_bento.run.load import blobs_of
from rules_bento.run.testing import real_service

if TYPE_CHECKING:
    from pathlib import Path

_SHARE = 0.8  # of a test's timeout, so that the test can report the failure
_SHOWN = 15  # packages and files in the report
# A line of `PYTHONPROFILEIMPORTTIME`: the microseconds of a module without and with its imports, and the name.
_IMPORT = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", re.MULTILINE)


class _StartupTestRequest(Request):
    contents: str  # JSON, see run/push_description.py
    directory: Path  # directory that its paths are relative to
    port: int = 0  # of the server; 0: the lowest exposed port
    ready: str  # URL path that answers when the container is ready; empty: when the port accepts connections
    request: Pairs  # URL path, body as JSON
    max_megabytes: int  # 0: no limit
    forbidden_import: Strings  # module that no process imports (repeatable)


def run(request: _StartupTestRequest) -> int:
    """Start a container, and print a report.

    Returns 1 if the startup exceeds a limit or imports a forbidden module, or if the service differs from bento.yaml.
    """
    startup = start(request, {"PYTHONPROFILEIMPORTTIME": "1"})
    imports = [(name, int(microseconds)) for microseconds, name in _IMPORT.findall(startup.log)]
    forbidden = request.forbidden_import
    if forbidden and not imports:
        remedy = "Start Python without -E and -I."
        raise BentoError("the image's Python reported no imports", place="forbidden_imports", remedy=remedy)
    size = sum(startup.files.values())
    differences = real_service.problems(startup.log)
    problems = [f"forbidden_imports: the startup imports {name}" for name in _imported(forbidden, imports)]
    if 0 < request.max_megabytes < size / 1e6:
        problems.append(f"max_megabytes: the startup uses {size / 1e6:.1f}, but the limit is {request.max_megabytes}")
    largest = sorted(startup.files.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    report = [
        f"files read: {len(startup.files)}, {size / 1e6:.1f} MB",
        f"CPU: {startup.cpu_seconds:.2f} s",
        f"memory: {startup.memory / 1e6:.0f} MB",
        "seconds of imports, by package:",
        *(f"{seconds:10.3f}  {name}" for name, seconds in _by_package(imports)[:_SHOWN]),
        "bytes of the largest files:",
        *(f"{count:10}  /{path}" for path, count in largest),
        *(f"{request.target}: {problem}. Change the service, or the attribute." for problem in problems),
        *(f"{request.target}: {difference}" for difference in differences),
        *([real_service.REMEDY] if differences else []),
    ]
    sys.stdout.write("\n".join(report) + "\n")
    return int(bool(problems or differences))


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


def start(request: _StartupTestRequest, variables: Mapping[str, str] = MappingProxyType({})) -> Startup:
    """Start the container of a test with additional environment variables (see `image_start.start`)."""
    exit_on_signals()
    deadline = time.monotonic() + float(os.environ.get("TEST_TIMEOUT", "inf")) * _SHARE
    directory = request.directory
    image = json.loads((directory / request.contents).read_text("utf-8"))["image"]
    layers = [Layer.loads((directory / blob["description"]).read_text("utf-8")) for blob in image["blobs"]]
    config: dict[str, Any] = json.loads((directory / image["config"]).read_text("utf-8"))["config"]
    exposed = [int(port.partition("/")[0]) for port in config.get("ExposedPorts", ())]
    conditions = Conditions(
        *(request.ready, math.inf, "Check the container's log."),
        *("Check readiness_path and port, or increase timeout.", variables),
        port=request.port or min(exposed, default=3000),
        requests=request.request,
        deadline=deadline,
    )
    with own_directory("rules_bento-start-") as scratch:
        blobs = blobs_of(image["blobs"], directory, scratch)
        files = [(blobs[layer.digest], layer.media_type, layer.diff_id) for layer in layers if layer.size]
        return image_start.start(files, config, conditions)
