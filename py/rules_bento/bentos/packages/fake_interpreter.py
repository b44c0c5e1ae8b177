"""Writes a script that uv runs instead of a Python interpreter. The script prints constant information.

uv runs an interpreter to get the interpreter's version, platform, and paths. This query takes five times as long as
resolving a lock subset, and uv overrides most of the result with the requested version and platform. The script prints
the format that versions of uv from 0.5 to 0.13 expect. Later versions might reject the output.
"""

from __future__ import annotations

import json
import shlex

from rules_bento.base.typing_lite import TYPE_CHECKING, Any
from rules_bento.bentos.packages.platforms import marker_environment

if TYPE_CHECKING:
    from pathlib import Path


def write_fake_interpreter(path: Path, version: str) -> None:  # writes: own, `python` in a new directory
    """Write a script that uv accepts as Python `version` (`X.Y[.Z]`). The system's shell runs the script."""
    path.unlink(missing_ok=True)  # never write through a link
    info = json.dumps(_interpreter_info(str(path), version))
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(info)}\n", "utf-8")
    path.chmod(0o755)


def _interpreter_info(executable: str, version: str) -> dict[str, Any]:
    """Return the information that the script prints. uv ignores the platform in it, and uses `--python-platform`."""
    scheme = dict.fromkeys(("platlib", "purelib", "include", "scripts", "data"), "")
    prefixes = dict.fromkeys(("sys_base_prefix", "sys_base_exec_prefix", "sys_prefix"), "/")
    full_version = version if version.count(".") > 1 else f"{version}.0"
    markers = marker_environment("linux", "x86_64", ".".join(version.split(".")[:2]))
    markers |= {"implementation_version": full_version, "python_full_version": full_version}
    del markers["extra"]
    platform = {"os": {"name": "manylinux", "major": 2, "minor": 17}, "arch": "x86_64"}
    return prefixes | {
        "result": "success",
        "markers": markers,
        "sys_base_executable": executable,
        "sys_executable": executable,
        "sys_path": [],
        "site_packages": [],
        "stdlib": "/",
        "extension_suffixes": [".so"],
        "standalone": False,
        "scheme": scheme,
        "virtualenv": scheme,
        **platform,
        "platform": platform,  # for uv before 0.13
        "cpu_info": {"detected": {"kind": "flags", "flags": ""}},
        "manylinux_compatible": True,
        "gil_disabled": False,
        "debug_enabled": False,
        "pointer_size": "64",
    }
