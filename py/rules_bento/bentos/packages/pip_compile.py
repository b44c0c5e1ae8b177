"""Runs pip-compile of pip-tools, the resolver for teams whose policy is that pip selects versions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.net.secret_hosts import variables_for_addresses
from rules_bento.base.own_files import own_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Mapping, Sequence
from rules_bento.bentos.packages.requirement_syntax import parse

if TYPE_CHECKING:
    from rules_bento.bentos.packages.lock_format import Lock
    from rules_bento.bentos.packages.lock_with_uv import Project

_PROGRAM = "from piptools.scripts.compile import cli; cli(prog_name='pip-compile')"

# pip-tools prints its traceback before the explanation of a conflict.
_TRACEBACK = r"(?m)^Traceback \(most recent call last\):\n(?:[ ].*\n|\n)*(?:[\w.]+: )?"


def pip_compile(python: str, roots: Sequence[str]) -> list[str]:
    """Return the command that runs pip-compile with the packages in the directories `roots`."""
    paths = [str(Path(root).absolute()) for root in roots]
    program = f"import sys; sys.path[:0] = {paths!r}; {_PROGRAM}"
    command = [python, "-I", "-S", "-B", "-X", "utf8", "-c", program, "--no-config", "--allow-unsafe"]
    return [*command, "--no-emit-index-url", "--no-emit-find-links"]


def run_pip_compile(command: Sequence[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of `pip_compile`, and return its result."""
    return subprocess.run(command, check=False, capture_output=True, text=True, env=variables)


def without_traceback(text: str) -> str:
    """Remove the traceback that pip-tools prints with the explanation of a conflict."""
    return re.sub(_TRACEBACK, "", text)


def select(project: Project, previous: Lock | None, *, origin: str, upgrade: Collection[str] = ()) -> list[str]:
    """Return `name==version` of the packages that pip selects for this interpreter and machine. pip uses the network.

    Prefers the versions in `previous`, except for the packages in `upgrade`. In `upgrade`, `*` selects all packages.
    Raises BentoError for a setting that pip doesn't support, and if pip finds no solution.
    """
    unsupported = {"overrides": project.overrides, "explicit": project.indexes.explicit, "tool.uv": project.settings}
    for name, value in unsupported.items():
        if value:
            problem = f"{name}: pip-tools doesn't support this setting"
            raise BentoError(problem, place=origin, remedy='Remove the setting, or set resolver = "uv".')
    with own_directory("rules_bento-pip-") as directory:
        source, limits, output = directory / "requirements.in", directory / "constraints.txt", directory / "locked.txt"
        source.write_text("".join(f"{requirement}\n" for requirement in project.requirements), "utf-8")
        limits.write_text("".join(f"{limit}\n" for limit in project.constraints), "utf-8")
        output.write_text("" if "*" in upgrade else _preferences(previous), "utf-8")
        command = [*pip_compile(sys.executable, sys.path), "--quiet", "--no-header", "--no-annotate", "--strip-extras"]
        command += ["--constraint", str(limits), "--output-file", str(output), *project.indexes.pip_flags()]
        command += [word for package in upgrade if package != "*" for word in ("--upgrade-package", package)]
        addresses = (project.indexes.default, *project.indexes.extra, *project.indexes.find_links)
        variables = variables_for_addresses(addresses, project.indexes.trusted_hosts, os.environ)
        pip = [*command, str(source)]
        done = subprocess.run(pip, check=False, cwd=directory, env=variables, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.stderr.write(without_credentials(without_traceback(done.stderr)))
            problem = "pip found no solution (see above), so the lock is unchanged"
            raise BentoError(problem, place=origin, remedy="Change the requirements.")
        locked, _ = parse(output.read_text("utf-8"), "pip-tools")
    return ["==".join(requirement.pin) for requirement in locked if requirement.pin]


def _preferences(lock: Lock | None) -> str:
    """Return a lock as a requirements file, without packages that have several versions."""
    names = [package["name"] for package in lock["packages"]] if lock else []
    return "".join(
        f"{package['name']}=={package['version']}\n"
        for package in (lock["packages"] if lock else ())
        if "source" not in package and names.count(package["name"]) == 1
    )
