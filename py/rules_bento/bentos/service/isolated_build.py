"""Calls the build back end of a project in the isolation of imports: for a wheel, or for a hook that uv calls."""

from __future__ import annotations

import os
import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_json
from rules_bento.base.own_files import own_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Mapping
from rules_bento.bentos.packages.build_wheel import build_variables, hook_code, repack, wheel_name
from rules_bento.bentos.packages.interpreter_files import wheel_environment
from rules_bento.bentos.packages.virtualenv import Interpreter, make_environment
from rules_bento.bentos.service.import_twice import IsolatedProcess, Subject, not_isolated

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.bentos.packages.build_hooks import Hook

_LIMIT = 512 << 20  # bytes of a wheel, which is in memory
_LOG_LINES = 30
_OUTPUT = re.compile(r"(?a:[\w.+!-]+\.(whl|dist-info))")
# The result is a line of JSON, and the wheel. The back end can write something else.
_CODE = """\
import os, sys
pipe = os.fdopen(int(sys.argv[3]), "wb")
del sys.path[0]
with open({settings}, "w") as file:
    file.write({git})
os.chdir({source})
os.mkdir({output})
{hook}
paths = [{result}] + ([os.path.join({output}, os.fspath(wheel))] if wheel else [])
for number, path in enumerate(paths):
    with open(path, "rb") as file:
        pipe.write((b"\\n" if number else b"") + file.read())
pipe.close()
"""
# Files can belong to another user, and a copy has only the times and sizes of the files in Git's index.
_GIT_SETTINGS = "[safe]\n\tdirectory = *\n[core]\n\tcheckStat = minimal\n\ttrustCTime = false\n"
# The back end in uv also reads files outside of the project, such as `readme`.
_UV_CODE = """\
import json, subprocess, sys
words = ["--wheel", "--offline", "--no-config", "--no-sources", "--quiet", "--color=never", "--no-python-downloads"]
command = [{uv}, "build", *words, "--python", {python}, "--out-dir", {output}, "."]
if subprocess.run(command).returncode:
    sys.exit(1)
[wheel] = [name for name in os.listdir({output}) if name.endswith(".whl")]
with open({result}, "w") as file:
    json.dump({{"wheel": wheel}}, file)
"""
# `text` is what the script wrote: requirements, or the name of a directory of metadata, or of a wheel.
_SCRIPT = """\
import json
exec({script})
with open({result}, encoding="utf-8") as file:
    text = file.read()
with open({result}, "w", encoding="utf-8") as file:
    json.dump(text, file)
wheel = "" if text[:1] in ("", "[") else text if text.endswith(".whl") else text + "/METADATA"
"""


class Sources(NamedTuple):
    """What a build sees of a project: the directory `root`, at a path of the build, without changing it."""

    root: Path
    place: str = "."  # the path of the project in `root`
    python: Interpreter | None = None  # that runs the build; default: this one

    @staticmethod
    def of_archive(directory: Path) -> Sources:
        """Return the sources of a package in uv's cache: an unpacked archive, or a Git checkout."""
        places = (directory, *directory.parents[: len(directory.parts)])
        cache = next((each for each in places if (each / "CACHEDIR.TAG").is_file()), directory)
        inside = places[: places.index(cache)]
        root = next((each for each in inside if os.path.lexists(each / ".git")), directory)
        return Sources(root, os.path.relpath(directory, root))


def build_wheel(
    sources: Sources, packages: Path, scratch: Path, version: str, variables: Mapping[str, str], uv: str = ""
) -> Path:  # writes: own, `wheel_name` checks the name
    """Build the wheel of a project, and return a copy with fixed order and times.

    `packages` has the installed build requirements, and `scratch` is an empty directory. If `uv` is set, the back end
    is in this program. Raises BentoError if the build fails, or if this system doesn't allow isolation.
    """
    line, wheel = _run(sources, packages, scratch, version, variables, uv)
    built = scratch / "built" / wheel_name(line, "of [build-system], and run `uv lock`.")
    built.parent.mkdir()
    built.write_bytes(wheel)
    packed = scratch / "packed" / built.name
    packed.parent.mkdir()
    repack(built, packed)
    return packed


def call_hook(hook: Hook, python: Interpreter, variables: Mapping[str, str], sources: Sources) -> tuple[str, bytes]:
    """Call a hook of a back end with an interpreter. Returns what it returns as text, and the metadata or the wheel.

    Raises BentoError as `build_wheel`.
    """
    with own_directory("rules_bento-hook-") as scratch:
        line, content = _run(sources._replace(python=python), hook.packages, scratch, "", variables, hook=hook)
    text = read_json(line, "the build back end's answer")
    if not isinstance(text, str) or not (text[:1] in ("", "[") or _OUTPUT.fullmatch(text)):
        raise BentoError(f"the build back end returned {str(text)[:200]!r}", remedy="Use another version.")
    return text, content


def call_archive(hook: Hook) -> tuple[str, bytes]:
    """Call a hook of a package in uv's cache, as `call_hook`, with the interpreter of this process."""
    return call_hook(hook, Interpreter.own(), {}, Sources.of_archive(hook.directory))


def _run(
    sources: Sources,
    packages: Path,
    scratch: Path,
    version: str,
    variables: Mapping[str, str],
    uv: str = "",
    hook: Hook | None = None,
) -> tuple[bytes, bytes]:  # writes: own, and of `src` only isolated processes see the target
    """Run a build, by default of a wheel. Return a line of JSON with its result, and the content of the output."""
    root = sources.root
    (scratch / "src").symlink_to(root)
    python = make_environment(scratch / "environment", [packages], sources.python)
    run = scratch.resolve() / "build"
    source = run / "src" / sources.place
    output, result, settings = (run / "home" / name for name in ("wheels", "result.json", ".gitconfig"))
    uv = os.path.realpath(uv) if uv else ""
    paths = {"source": source, "output": output, "result": result, "settings": settings, "uv": uv}
    fields = {name: repr(str(path)) for name, path in (paths | {"python": python.resolve()}).items()}
    fields["git"] = repr(_GIT_SETTINGS)
    if hook:
        fields["script"] = repr(hook.moved(str(output), str(result)))
        code = _SCRIPT.format(**fields)
    else:
        code = _UV_CODE.format(**fields) if uv else hook_code(root / sources.place, source, output, result)
    code = _CODE.format(**fields, hook=code)
    environment = wheel_environment(python, [packages])
    environment = environment._replace(visible=(*environment.visible, *([uv] if uv else [])))
    variables = {**build_variables(python, run / "home", version), **variables}
    variables["PATH"] += f"{os.pathsep}{packages}/bin"  # programs in wheels
    subject = Subject("", scratch, variables=variables, seconds=0)
    process = IsolatedProcess(subject, environment, run, code, _LIMIT)
    try:
        process.start_readers()
        if reason := process.isolation_problem():
            permission = "lock with `uv lock`" if hook else "build the image on another system"
            raise not_isolated("the build of the project", reason, permission)
        process.start(is_isolated=True)
        status, content = process.result()
    finally:
        process.end()
    line, _, wheel = content.partition(b"\n")
    if status or not line or len(content) > _LIMIT:
        how = f"the wheel is larger than {_LIMIT} bytes" if len(content) > _LIMIT else f"status {status}"
        log = "\n".join(process.log().replace(str(run), "").splitlines()[-_LOG_LINES:])
        raise BentoError(
            f"the build failed ({how}). Builds have no network access, and see only the files of the repository or "
            "workspace that Git tracks or doesn't ignore, without caches and virtual environments, the requirements "
            f"of [build-system], and the system's programs. Build log:\n{log}"
        )
    return line, wheel
