"""Sets up the namespaces that `unshare` created, and runs the command: `enter.py JSON COMMAND...`."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

UP = 0x1
CHECKOUT = Path(__file__).resolve().parent.parent
SET_FLAGS = 0x8914  # SIOCSIFFLAGS of Linux


def start_loopback() -> None:
    """Start the loopback interface, so that Bazel's client and server can connect to each other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sH14x", b"lo", UP))


def provisioned_root(checkout: Path) -> Path:
    """Return the root file system of tools/bazel of a checkout, by the same steps as tools/bazel."""
    digest = sha256((checkout / "tools/provision_bazel.py").read_bytes()).hexdigest()[:12]
    cache = os.environ.get("XDG_CACHE_HOME") or f"{os.environ['HOME']}/.cache"
    root = Path(cache, "rules_bento/bazel", digest, "root")
    assert root.exists(), f"{root} doesn't exist. Run tools/bazel without a Bazel on PATH to provision it."
    return root


def set_clock(offset: str, scratch: Path) -> None:
    """Change the time for the interpreter of the provisioned root, for all environment variables.

    Other programs keep the real time: in the PID namespace of a sandbox, several processes would use the same
    semaphores of faketime.
    """
    usr = provisioned_root(CHECKOUT) / "usr"
    changed, work = scratch / "changed", scratch / "work"
    if not changed.exists():
        work.mkdir(parents=True)
        (changed / "bin").mkdir(parents=True)
        interpreter = (usr / "bin/python3").resolve()
        [library] = usr.glob("lib/*/faketime/libfaketime.so.1")
        wrapper = changed / "bin" / interpreter.name
        shutil.copy(interpreter, changed / "bin" / f"real-{interpreter.name}")
        wrapper.write_text(
            f"#!/bin/sh\nFAKETIME={offset} FAKETIME_DISABLE_SHM=1 LD_PRELOAD=/usr/{library.relative_to(usr)} "
            f'exec /usr/bin/real-{interpreter.name} "$@"\n'
        )
        wrapper.chmod(0o755)
    layers = f"lowerdir={usr},upperdir={changed},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(usr)], check=True)


def main() -> None:
    given = json.loads(sys.argv[1])
    if given["host_name"]:
        socket.sethostname(given["host_name"])
    if not given["network"]:
        start_loopback()
    if given["clock"]:
        set_clock(given["clock"], Path(given["scratch"]))
    command = sys.argv[2:]
    if given["user"]:
        command = ["unshare", f"--map-user={given['user']}", f"--map-group={given['user']}", "--", *command]
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
