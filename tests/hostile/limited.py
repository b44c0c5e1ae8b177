"""Runs readers on inputs with limits on memory and time, in separate processes, and reports the outcomes."""

import faulthandler
import gc
import importlib.metadata
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rules_bento.base.errors import BentoError

from tests.hostile.mutations import CANARIES
from tests.hostile.readers import Reader

MEMORY = 1 << 30
"""Bytes of address space beyond what the process has when it starts."""

RESIDENT = 500
"""Megabytes of memory beyond what the process has when it starts, whatever pytest has run before."""

SECONDS = 10
"""Of the processor, for one input."""

PATIENCE = 600
"""Seconds of the clock, for what waits; the machine may be busy."""

_SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # memory: disks are slow at small files

# The first search of packages opens the archive of the standard library, and never closes it.
[*importlib.metadata.distributions(name="none")]

_OURS = re.compile("rules_bento|bento_cli")

_PLACES = {"around", "work", "out", *CANARIES}  # what a reader may find or make
_KIBIBYTES = 1 << 10 if sys.platform == "darwin" else 1


class Outcome(NamedTuple):
    """Describes the outcome of an input. `kind` is "read", "BentoError", or the problem."""

    kind: str
    message: str = ""
    megabytes: int = 0
    seconds: float = 0.0

    @property
    def is_fine(self) -> bool:
        """Return whether the input was read or rejected, without another effect."""
        return self.kind in ("read", "BentoError")


def run(reader: Reader, inputs: Sequence[bytes]) -> Iterator[Outcome]:
    """Yield the outcome of each input in order. Starts another process after a crash or a timeout."""
    done = 0
    while done < len(inputs):
        ended = 0
        for outcome in _batch(reader, inputs[done:]):
            ended += 1
            yield outcome
        done += ended


def _batch(reader: Reader, inputs: Sequence[bytes]) -> Iterator[Outcome]:
    """Yield the outcomes of inputs until an input ends the process. The outcome of this input is the last."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _work(reader, inputs, writing)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        rest, count = b"", 0
        while count < len(inputs):
            ready, _, _ = select.select([pipe], [], [], PATIENCE)
            data = pipe.read(1 << 16) if ready else b""
            if not data:
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                late = not ready or os.WTERMSIG(status) == signal.SIGXCPU
                yield Outcome("hang" if late else "crash", f"ended with status {status}")
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                outcome = Outcome(*json.loads(line))
                yield outcome
                count += 1
                if outcome.kind == "memory":
                    os.waitpid(child, 0)
                    return
    os.waitpid(child, 0)


def _work(reader: Reader, inputs: Sequence[bytes], answer: int) -> None:
    """Read inputs one after the other, and report the outcome of each."""
    root = Path(tempfile.mkdtemp(prefix="hostile-", dir=_SCRATCH))
    directory = root / "around" / "work"
    directory.mkdir(parents=True)
    try:
        faulthandler.disable()  # a crash is told by the parent
        gc.freeze()  # what the parent has: else looking for garbage takes longer than most readers
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resident = _resident()
        bound = _address_space() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (bound, resource.RLIM_INFINITY))
        for number, data in enumerate(inputs):
            if number == 1:
                gc.freeze()  # what the first one has imported
            used = resource.getrusage(resource.RUSAGE_SELF)
            spent = int(used.ru_utime + used.ru_stime) + SECONDS + 1
            resource.setrlimit(resource.RLIMIT_CPU, (spent, resource.RLIM_INFINITY))
            outcome = _one(reader, data, root, resident)
            os.write(answer, json.dumps(outcome).encode() + b"\n")
            if outcome.kind == "memory":
                break
    finally:
        shutil.rmtree(root, ignore_errors=True)
        os._exit(0)


def _one(reader: Reader, data: bytes, root: Path, resident: int) -> Outcome:
    """Return the outcome of one input, including files that it leaves. The process had `resident` megabytes."""
    around = root / "around"
    directory = around / "work"
    given = directory / reader.file
    given.write_bytes(data)
    for name in CANARIES:
        (around / name).mkdir()
        (around / name / name).write_text(name, "utf-8")
    out = directory / "out"
    os.chdir(directory)
    opened = _opened()
    start = time.process_time()
    kind, message = _ending(reader, given, out)
    seconds = time.process_time() - start
    gc.collect()
    megabytes = _resident() - resident
    if kind in ("read", "BentoError"):
        if megabytes > RESIDENT:
            kind, message = "memory", f"{megabytes} MB"
        elif seconds > SECONDS:
            kind, message = "hang", f"{seconds:.1f} s"
        elif (
            outside := {path.name for at in (root, around, directory) for path in at.iterdir()}
            - _PLACES
            - {reader.file}
        ):
            kind, message = "outside", " ".join(sorted(outside))
        elif damaged := [name for name in CANARIES if not _is_whole(around / name)]:
            kind, message = "canary", " ".join(damaged)
        elif kind == "BentoError" and (half := [path for path in _files(out) if not reader.keeps(path)]):
            kind, message = "half", " ".join(sorted(half))
        elif _opened() > opened:
            kind, message = "open", "a descriptor is left open"
    _clear(root, {"around"})
    _clear(around, {"work"})
    _clear(directory, set())
    return Outcome(kind, message, megabytes, round(seconds, 3))


def _ending(reader: Reader, given: Path, out: Path) -> tuple[str, str]:
    try:
        reader.read(given, out)
    except BentoError as error:
        message = str(error)
        try:
            message.encode()
        except UnicodeEncodeError:
            return "message", ascii(message)
        return ("BentoError", message) if message.strip() and "Traceback" not in message else ("message", message)
    except BaseException as error:  # what else comes out is what is looked for
        frames = traceback.extract_tb(error.__traceback__)
        where = next((frame for frame in reversed(frames) if _OURS.search(frame.filename)), frames[-1])
        place = "/".join(Path(where.filename).parts[-2:])
        return type(error).__name__, f"{place}:{where.lineno}: {str(error)[:200]}"
    return "read", ""


def _is_whole(canary: Path) -> bool:
    """Return whether a directory with a file is as it was: nothing was added, removed, replaced, or written."""
    try:
        return _files(canary) == [canary.name] and (canary / canary.name).read_text("utf-8") == canary.name
    except (OSError, ValueError):
        return False


def _files(directory: Path) -> list[str]:
    return [str(Path(at, name).relative_to(directory)) for at, _, names in os.walk(directory) for name in names]


def _clear(directory: Path, kept: set[str]) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name in kept:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)  # noqa: PTH108 - half of the time of Path


def _opened() -> int:
    """Open descriptors of this process, sockets among them."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - half of the time of Path


def _resident() -> int:
    """Return the most memory that this process has had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _KIBIBYTES >> 10


def _address_space() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text("utf-8").split()[0])
    except OSError:
        return 1 << 40  # no such bound on macOS: the resident size is looked at
    return pages * resource.getpagesize()
