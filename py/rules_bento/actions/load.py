"""Loads an image into docker, podman or nerdctl, whichever is there; nothing is written to disk for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from rules_bento import oci_image, oci_layout
from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--contents": 1,  # JSON, see registry/contents.py
    "--folder": 1,  # that its paths are relative to
    "--reference": 1,
    "--target": 1,
    "--tool": 1,  # docker, podman or nerdctl; the first that is there if not given
}

_TOOLS = ("docker", "podman", "nerdctl")


def run(arguments: Arguments) -> int:
    """Stream the archive to the tool; returns its exit status."""
    folder = Path(arguments.one("--folder"))
    contents = json.loads((folder / arguments.one("--contents")).read_text("utf-8"))["image"]
    image = oci_image.Image((folder / contents["config"]).read_bytes(), (folder / contents["manifest"]).read_bytes())
    blobs = {
        oci_image.Layer.loads((folder / blob["description"]).read_text("utf-8")).digest: folder / blob["path"]
        for blob in contents["blobs"]
    }
    tool = _tool(arguments.optional("--tool"))
    loading = subprocess.Popen([tool, "load"], stdin=subprocess.PIPE)
    if loading.stdin is None:
        raise AssertionError
    try:
        with loading.stdin as pipe:
            pipe.writelines(oci_layout.docker_archive(image, blobs, arguments.one("--reference")))
    except BrokenPipeError:
        sys.stderr.write(f"{tool} ended before it had read the image\n")
    return loading.wait()


def _tool(wanted: str) -> str:
    for name in [wanted] if wanted else _TOOLS:
        found = shutil.which(name)
        if found:
            return found
    raise BentoError(
        f"{wanted or ', '.join(_TOOLS)}: not on PATH. Install one, or build the output group docker_archive of the "
        f"image and load that file where one is."
    )
