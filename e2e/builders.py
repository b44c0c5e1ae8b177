"""Builds images of a Bento from the store with podman and buildah, by the command that Bazel runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from container import call
from distribution import need

if TYPE_CHECKING:
    from workbench import Workbench

TOOLS = ("podman", "buildah")
BENTO = {
    "bento.yaml": """\
service: service:Hi
name: hi
version: v1
bentoml_version: 1.4.40
creation_time: '2026-01-01T00:00:00+00:00'
spec: 2
entry_service: Hi
services: [{name: Hi, service: ''}]
image: {base_image: scratch, python_version: '3.11'}
""",
    # The Dockerfile runs no commands, so the build needs neither a base nor a network.
    "env/docker/Dockerfile": "FROM scratch\nARG WHO=nobody\nLABEL who=$WHO\nCOPY . /bento\n",
    "env/docker/entrypoint.sh": "#!/bin/sh\nexec true\n",
    "src/service.py": "import bentoml\n",
}


def with_programs_of_host(directory: Path, programs: dict[str, list[str]]) -> str:
    """Return the option for `bazel run` that finds programs of the host, with options, in a new directory.

    Otherwise, programs run with the provisioned /usr.
    """
    directory.mkdir()
    for name, options in programs.items():
        enter = ["nsenter", f"--mount=/proc/{os.getpid()}/ns/mnt", "--", shutil.which(name) or "", *options]
        (directory / name).write_text(f'#!/bin/sh\nexec {" ".join(enter)} "$@"\n')
        (directory / name).chmod(0o755)
    return f"--run_under=env PATH={directory}:/usr/bin:/bin"


def builders_build_equal_images(bench: Workbench) -> str:
    """Build a Bento with two builders: all files have the modes and times of the context, and options are passed."""
    need(*TOOLS)
    directory, home = bench.directory / "built-bento", bench.directory / "built-home"
    for path, text in BENTO.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    (directory / "env/docker/entrypoint.sh").chmod(0o755)
    root = f"{bench.directory}/built"
    store = ["--root", root, "--runroot", f"{root}-run", "--storage-driver", "vfs"]
    path = with_programs_of_host(bench.directory / "builders-bin", dict.fromkeys(TOOLS, store))

    def bento(*words: str) -> None:
        bench.plain.bazel("run", path, "//tools:bento", "--", "--home", str(home), *words).succeeded()

    bento("import", str(directory))
    seen = []
    for tool in TOOLS:
        image = f"localhost/hi:{tool}"
        bento("containerize", "hi", "--backend", tool, "-t", image, "--", "--build-arg", "WHO=me", "--no-cache")
        labels = call("podman", *store, "inspect", "--type=image", "--format={{.Labels.who}}", image)
        assert labels.strip() == "me", labels
        root = Path(call("podman", *store, "image", "mount", image).strip(), "bento")
        seen.append(
            {
                found.relative_to(root).as_posix(): (
                    oct(found.stat().st_mode),
                    int(found.stat().st_mtime),
                    content(found),
                )
                for found in root.rglob("*")
            }
        )
        call("podman", *store, "image", "unmount", image)
    assert seen[0] == seen[1], seen
    assert seen[0]["env/docker/entrypoint.sh"][0] == "0o100755"
    assert {time for _, time, _ in seen[0].values()} == {315532800}, seen
    assert {"models", "hf-models", *BENTO} <= set(seen[0])
    return f"{' and '.join(TOOLS)} copied the same {len(seen[0])} files and folders"


def content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
