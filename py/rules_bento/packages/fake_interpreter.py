"""A program that answers, in the place of an interpreter, what uv asks one before it resolves.

uv starts a real interpreter for that, with sysconfig, platform and more, which takes five times as long as resolving a
slice; and then it goes by the platform and the version of Python that it is given. The answer here is the same on every
machine. It is in the form of the uv that the rules lock: another one may want another form, and refuses it then.
"""

from __future__ import annotations

import json
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def write_fake_interpreter(path: Path, python: str, version: str) -> None:
    """Write the program, which `python` runs, for a Python of `version` (`X.Y` or `X.Y.Z`)."""
    # Options in one word: Linux hands no more than that on. A link stays one: it may be what finds the libraries.
    info = json.dumps(_interpreter_info(str(path), version))
    path.write_text(f"#!{Path(python).absolute()} -IS\nprint({info!r})\n", "utf-8")
    path.chmod(0o755)


def _interpreter_info(executable: str, version: str) -> dict[str, Any]:
    """Return what uv asks an interpreter for.

    Platform and processor do not matter: `--python-platform` says which are meant.
    """
    scheme = dict.fromkeys(("platlib", "purelib", "include", "scripts", "data"), "")
    prefixes = dict.fromkeys(("sys_base_prefix", "sys_base_exec_prefix", "sys_prefix"), "/")
    full_version = version if version.count(".") > 1 else f"{version}.0"
    markers = {
        "implementation_name": "cpython",
        "implementation_version": full_version,
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": full_version,
        "python_version": ".".join(version.split(".")[:2]),
        "sys_platform": "linux",
    }
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
        "os": {"name": "manylinux", "major": 2, "minor": 17},
        "arch": "x86_64",
        "cpu_info": {"detected": {"kind": "flags", "flags": ""}},
        "manylinux_compatible": True,
        "gil_disabled": False,
        "debug_enabled": False,
        "pointer_size": "64",
    }
