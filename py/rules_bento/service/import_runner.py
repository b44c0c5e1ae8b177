"""Collects the metadata of a service by importing it with BentoML twice. The imports simulate different machines."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import rules_bento
from rules_bento.dataclasses_lite import asdict, dataclass, field
from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.formats.differences import FieldDifference, differences
from rules_bento.formats.json import read_object
from rules_bento.service.metadata import ServiceInfo, from_json
from rules_bento.typing_lite import Any, Mapping, Sequence

# rules_bento comes after the wheels on the path; the current directory isn't on it.
_START = (
    "import sys; sys.path[0:1] = []; sys.path.append(sys.argv[1]); "
    "from rules_bento.service.import_worker import main; main(sys.argv[2:])"
)
_HERE, _THERE = "here", "there"  # directories and users of the two imports
_START_SECONDS = 600  # for BentoML, before the service's turn


@dataclass(frozen=True)
class Subject:
    """The service to import, and the settings of the import.

    `aliases` maps model aliases to tags. Stand-ins replace the modules of `packages`, except for modules in `outside`.
    If `packages` is None, stand-ins replace the modules of all missing packages. `remedy` is the advice in errors about
    stand-ins. The package name replaces `{}` in `remedy`.
    """

    service: str  # `module:Service`
    directory: Path  # of the unpacked Bento: `src`, and maybe `models`
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of the Bento
    aliases: Mapping[str, str] = field(default_factory=dict)  # alias -> tag of a model
    variables: Mapping[str, str] = field(default_factory=dict)  # environment
    seconds: float = 900  # limit for the import
    packages: Sequence[str] | None = ()  # that aren't imported, and have stand-ins; None for all that are missing
    outside: Sequence[str] = ()  # modules of the project that aren't among its sources
    remedy: str = ""  # what to do to import the package {}


@dataclass(frozen=True)
class ImportedMetadata:
    """The metadata of an imported service, and its API descriptions."""

    info: ServiceInfo
    schema: dict[str, Any]  # as bento.yaml has it
    openapi: str  # the text of apis/openapi.yaml


def import_service(subject: Subject, python: Path, readable: Sequence[Path], scratch: Path) -> ImportedMetadata:
    """Import a service twice, and return its metadata.

    `python` is an interpreter with BentoML and the service's wheels. The service can read its files and the directories
    in `readable`. `scratch` is an empty directory. Raises BentoError if an import fails, or if the results differ.
    """
    runs = [_Run(subject, python, readable, scratch / name) for name in (_HERE, _THERE)]
    try:
        here, there = [run.answer() for run in runs]
    finally:
        for run in runs:
            run.end()
    if changing := next(differences(here | {"varied": []}, there | {"varied": []}), None):
        raise BentoError(_difference(changing, here["metadata"], there["varied"]).replace(str(scratch.resolve()), ""))
    try:
        return ImportedMetadata(from_json(here["metadata"]), here["schema"], here["openapi"])
    except (LookupError, TypeError, AttributeError, ValueError):
        raise BentoError(
            f"{subject.service}: the result file of the import is invalid. The service's code might have overwritten "
            "the file. Remove code that writes files during the import."
        ) from None


class _Run:
    """An import that runs in its own process and directory."""

    def __init__(self, subject: Subject, python: Path, readable: Sequence[Path], directory: Path) -> None:
        self._directory, self._seconds = directory.resolve(), subject.seconds
        self._source, home = self._directory / "src", self._directory / "home"
        home.mkdir(parents=True)
        shutil.copytree(subject.directory / "src", self._source, symlinks=True, copy_function=os.link)
        if (subject.directory / "models").is_dir():
            (home / "models").symlink_to((subject.directory / "models").absolute())
        is_second = directory.name == _THERE
        order = asdict(subject) | {
            "source": self._source,
            "readable": [path.absolute() for path in (*readable, subject.directory, directory, python.parents[1])],
            "elsewhere": is_second,
            "answer": self._directory / "answer",
            "trace": self._directory / "trace",
        }
        (self._directory / "order").write_text(json.dumps(order, default=os.fspath), "utf-8")
        environment = {
            **dict.fromkeys(("BENTOML_HOME", "HOME", "TMPDIR"), str(home)),
            **dict.fromkeys(("LOGNAME", "USER"), directory.name),
            "BENTOML_DO_NOT_TRACK": "true",
            "CUDA_VISIBLE_DEVICES": "",
            "LC_ALL": "C.UTF-8",
            "PATH": str(python.parent.absolute()),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": str(int(is_second)),
            "TZ": "XXX-9" if is_second else "UTC0",
            **subject.variables,
        }
        ours = Path(rules_bento.__file__).parent.parent.absolute()
        command = [str(python), "-c", _START, str(ours), str(self._directory / "order")]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def answer(self) -> dict[str, Any]:
        """Wait for the import, and return its result as JSON. Raises BentoError if the import fails or times out."""
        try:
            status = self._process.wait(self._seconds + _START_SECONDS)
        except subprocess.TimeoutExpired:  # not even the process itself could end it
            status = self.end()
        if not (self._directory / "answer").exists():
            raise BentoError(self._problem(status))
        # The service's code might have written anything to this file. Buckets of metrics often end with infinity.
        answer = read_object(read_file(self._directory / "answer"), "the answer of the import", constants=True)
        if "problem" in answer:
            problem = str(answer["problem"]).replace(f"{self._directory}/", "")
            if self._directory.name == _THERE and answer.get("varied"):  # the other import has succeeded
                lines = "".join(f"\n  {line}" for line, _ in answer["varied"])
                problem += f"\nThe result depends on the values of these lines:{lines}"
            raise BentoError(f"{problem}\n{answer.get('remedy')}.")
        return answer

    def end(self) -> int:
        """Kill the process, and return its exit status."""
        self._process.kill()
        return self._process.wait()

    def _problem(self, status: int) -> str:
        """Return the error message for a process that wrote no result, with the stack trace of the service's code."""
        path = self._directory / "trace"
        trace = path.read_text("utf-8", "replace") if path.exists() else ""
        lines = re.findall(f'  File "{re.escape(str(self._source))}/(.*)", line ([0-9]+) in (.*)', trace)
        places = "".join(f"\n  {file}:{number}: in {function}" for file, number, function in reversed(lines))
        if trace.startswith("Timeout"):
            return (
                f"importing the service did not end within {self._seconds:.0f} seconds. The import was at:{places}\n"
                "Move slow or blocking code to the startup of the service."
            )
        how = f"signal {-status}" if status < 0 else f"status {status}"
        log = (self._directory / "log").read_bytes()[-4000:].decode("utf-8", "replace")
        return (
            f"importing the service ended the process with {how}.{places}\n{log.strip()}\n"
            "Make the service importable in a build: without a network, a GPU, or undeclared files."
        )


def place_of(name: str, fields: dict[str, Any]) -> str:
    """Return the `file:line` of the service with the metadata field `name`. For a legacy service, returns the file."""
    index = re.match(r"services\.([0-9]+)", name)
    services = fields["services"][int(index[1]) if index else 0 :]
    return f"{services[0]['path']}:{services[0]['line']}" if services else str(fields["path"])


def _difference(changing: FieldDifference, fields: dict[str, Any], varied: Sequence[Sequence[str]]) -> str:
    name = changing.field.removeprefix("metadata.")
    found = f"{place_of(name, fields)}: {name} is {changing.first}"
    if varied:
        places = "".join(f"\n  {place}" for place, _ in varied)
        cause = f"because these lines depend on a package that isn't imported:{places}\n{varied[0][1]}."
        return f"{found} or {changing.second}, {cause}"
    cause = "on another machine or another day. Write a value that depends only on the sources."
    return f"{found}, but {changing.second} {cause}"
