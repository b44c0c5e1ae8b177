"""Starts a built image for `bento image --start`, before the image is delivered."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import rules_bento
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.landlock import outside
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence, TypeVar
from rules_bento.images.plan import HOME, USER

if TYPE_CHECKING:
    from rules_bento.base.formats.oci import Layer

_PLACE = "--start"
_IF_ENDED = (
    "Correct the program or --entrypoint. If the program needs variables that the image lacks, set them for this run "
    "with --start-env NAME=VALUE."
)
_IF_LATE = "Correct the path or the program, or set a longer --start-timeout SECONDS."
_IF_REJECTED = (
    "Allow the host localhost, such as with --start-env ALLOWED_HOSTS=localhost if Django's settings read it, "
    "or correct the path."
)
_IF_UNWRITABLE = "add --writable {}, use its home directory"
_IF_UNLISTED = (
    f"Copy the base's file, add the line `bentoml:x:{USER}:{USER}::{HOME}:/usr/sbin/nologin`, and add "
    "--file passwd=/etc/passwd --replace /etc/passwd."
)
_Image = TypeVar("_Image")
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from rules_bento.run.image_start import main; main()"


def startable(images: Mapping[str, _Image], platform: str) -> _Image:
    """Return the image for this machine's platform. Raises BentoError if there is none."""
    if platform not in images:
        problem = f"the image is for {', '.join(images)}, and this machine is {platform}"
        raise BentoError(problem, place=_PLACE, remedy="Start the image on such a machine.")
    return images[platform]


def start(
    settings: Mapping[str, Sequence[Any]], layers: Sequence[tuple[Layer, Path]], config: bytes, scratch: str
) -> dict[str, Any]:
    """Start the command of an image without a network, until it is ready, and stop it. Returns measurements.

    `settings` are the options of the command. `layers` have their blobs, and `scratch` is a temporary directory. Raises
    BentoError if the image isn't ready in time, or if its service differs from bento.yaml.
    """
    [ready], [seconds] = settings["start"], settings.get("start-timeout", ["120"])
    conditions = {"ready": ready, "seconds": int(seconds), "if_ended": _IF_ENDED, "if_late": _IF_LATE}
    conditions["variables"] = {each.name: each.value for each in settings.get("start-env", ())}
    conditions |= {"if_rejected": _IF_REJECTED, "if_unwritable": _IF_UNWRITABLE, "if_unlisted": _IF_UNLISTED}
    files = [(str(blob), layer.media_type, layer.diff_id) for layer, blob in layers]
    request = json.dumps([files, read_object(config, "the image's config")["config"], conditions])
    package = Path(rules_bento.__file__).parent.parent.absolute()
    paths = json.dumps([path for path in (*sys.path, str(package)) if path.startswith("/")])
    # Another process, without variables of the user, and without limits of Landlock, which forbid namespaces. Signals
    # of a terminal don't reach it.
    process = outside(
        lambda: subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", _START, paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"TMPDIR": scratch},
            start_new_session=True,
        )
    )
    try:
        content, _ = process.communicate(request.encode())
    except BaseException:
        process.terminate()
        process.wait()  # until it has removed its files
        raise
    answer = read_object(content, _PLACE) if content else {"error": f"a process ended with status {process.returncode}"}
    if problem := answer.get("error") or "\n".join(answer["differences"]):
        raise BentoError(problem, place=_PLACE)
    measured = {name: answer[name] for name in ("ready", "seconds", "cpu_seconds", "memory")}
    sizes = zip(layers, answer["layers"], strict=True)
    measured["layers"] = [{"name": layer.name, "size": size, "read": read} for (layer, _), (size, read) in sizes]
    return measured
