"""Collects the metadata of a service by importing it with BentoML twice. The imports simulate different machines."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import rules_bento
from rules_bento.dataclasses_lite import asdict, dataclass, field, replace
from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.formats.differences import FieldDifference, differences
from rules_bento.formats.json import read_object
from rules_bento.service import import_answer
from rules_bento.service.stand_ins import find_package
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Collection, Mapping, Sequence

if TYPE_CHECKING:
    from rules_bento.service.metadata import ServiceInfo

    DeclaredPackages = Callable[[ServiceInfo], Collection[str]]

# rules_bento comes after the wheels on the path; the current directory isn't on it.
_START = (
    "import sys; sys.path[0:1] = []; sys.path.append(sys.argv[1]); "
    "from rules_bento.service.import_worker import main; main(sys.argv[2:])"
)
_HERE, _THERE = "here", "there"  # directories and users of the two imports
_START_SECONDS = 600  # for BentoML, before the service's turn
_UNCOMPARED: dict[str, Any] = {"varied": [], "optional": []}
_LOG_BYTES = 4000  # at the end of a log, in errors
_LOG_SECONDS = 5  # for the end of the log of an ended process
_ABSENT = (
    "{0} isn't installed, and the Bento doesn't require it, so importing it raised ImportError. To import it, install "
    "it in the environment of --python."
)
_NOT_ISOLATED = (
    "--import: this system doesn't allow user namespaces, so the code of the project can read and change your files. "
    "Import only projects that you trust."
)


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
    absent: Sequence[str] = ()  # modules of missing packages that have no stand-ins
    remedy: str = ""  # what to do to import the package {}


@dataclass(frozen=True)
class ImportedMetadata:
    """The metadata of an imported service, and its API descriptions."""

    info: ServiceInfo
    schema: dict[str, Any]  # as bento.yaml has it
    openapi: str  # the text of apis/openapi.yaml
    version: str  # of BentoML
    notes: tuple[str, ...] = ()  # warnings


def import_service(
    subject: Subject,
    python: Path,
    readable: Sequence[Path],
    scratch: Path,
    declared: DeclaredPackages | None = None,
) -> ImportedMetadata:
    """Import a service twice, and return its metadata.

    `python` is an interpreter with BentoML and the service's wheels. The service can read its files and the directories
    in `readable`. `scratch` is an empty directory. If `declared` returns the names of the Bento's packages, a module of
    another package can be absent, as for BentoML. Raises BentoError if an import fails, or if the results differ.
    """
    runs: list[_Run] = []
    try:
        runs.extend(_Run(subject, python, readable, scratch / name) for name in (_HERE, _THERE))
        for run in runs:
            run.read_log()
        here, there = [run.answer() for run in runs]
    finally:
        for run in runs:
            run.end()
    result = import_answer.read(here, subject.service)
    changing = next(differences(here | _UNCOMPARED, there | _UNCOMPARED), None)
    if changing and declared and not subject.absent:
        packages = declared(result[0])
        if absent := [module for module in there["optional"] if not find_package(module, packages)]:
            found = import_service(replace(subject, absent=absent), python, readable, scratch / "again")
            return replace(found, notes=(*found.notes, *(_ABSENT.format(module) for module in absent)))
    if changing:
        raise BentoError(_difference(changing, here["metadata"], there["varied"]).replace(str(scratch.resolve()), ""))
    notes = () if here.get("isolated") else (_NOT_ISOLATED,)
    return ImportedMetadata(*result, str(here.get("version")), notes)


class _Run:
    """An import that runs in its own process and directory."""

    def __init__(self, subject: Subject, python: Path, readable: Sequence[Path], directory: Path) -> None:
        self._directory, self._seconds, self._service = directory.resolve(), subject.seconds, subject.service
        self._source, home = self._directory / "src", self._directory / "home"
        home.mkdir(parents=True)
        (self._directory / "root").mkdir()
        is_second = directory.name == _THERE
        order = asdict(subject) | {
            "parent": os.getpid(),
            "original": subject.directory.absolute() / "src",
            "source": self._source,
            "home": home,
            "models": subject.directory.absolute() / "models",
            "mount_point": self._directory / "root",
            "readable": [path.absolute() for path in readable],
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
        self._log, self._reader = b"", threading.Thread(target=self._keep_end, daemon=True)
        self._pipe, write = os.pipe()
        with os.fdopen(write, "wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def read_log(self) -> None:
        """Read what the process prints, in another thread. All processes must have been started."""
        self._reader.start()

    def _keep_end(self) -> None:
        with os.fdopen(self._pipe, "rb", buffering=0) as pipe:
            while piece := pipe.read(1 << 16):
                self._log = (self._log + piece)[-_LOG_BYTES:]

    def answer(self) -> dict[str, Any]:
        """Wait for the import, and return its result as JSON. Raises BentoError if the import fails or times out."""
        try:
            status = self._process.wait(self._seconds + _START_SECONDS)
        except subprocess.TimeoutExpired:  # not even the process itself could end it
            status = self.end()
        text = read_file(self._directory / "answer") if (self._directory / "answer").exists() else b""
        if not text:
            raise BentoError(self._problem(status))
        # The service's code might have written anything to this file. Buckets of metrics often end with infinity.
        answer = read_object(text, "the answer of the import", constants=True)
        import_answer.check(answer, self._service)
        if "problem" in answer:
            problem = str(answer["problem"]).replace(f"{self._directory}/", "")
            if self._directory.name == _THERE and answer.get("varied"):  # the other import has succeeded
                lines = "".join(f"\n  {line}" for line, _ in answer["varied"])
                problem += f"\nThe result depends on the values of these lines:{lines}"
            raise BentoError(f"{problem}\n{answer.get('remedy')}.")
        return answer

    def end(self) -> int:
        """Kill the process and the processes that it started, and return its exit status."""
        with suppress(ProcessLookupError, PermissionError):  # on macOS, EPERM for a process that has ended
            os.killpg(self._process.pid, signal.SIGKILL)
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
        number = -status if status < 0 else max(status - 128, 0)  # of the signal
        how = f"signal {number}" if number else f"status {status}"
        self._reader.join(_LOG_SECONDS)
        log = self._log.decode("utf-8", "replace").strip()
        return (
            f"importing the service ended the process with {how}.{places}\n{log}\n"
            "Make the service importable in a build: without a network, a GPU, or undeclared files."
        )


def _difference(changing: FieldDifference, fields: dict[str, Any], varied: Sequence[Sequence[str]]) -> str:
    name = changing.field.removeprefix("metadata.")
    found = f"{import_answer.place_of(name, fields)}: {name} is {changing.first}"
    if varied:
        places = "".join(f"\n  {place}" for place, _ in varied)
        cause = f"because these lines depend on a package that isn't imported:{places}\n{varied[0][1]}."
        return f"{found} or {changing.second}, {cause}"
    cause = "on another machine or another day. Write a value that depends only on the sources."
    return f"{found}, but {changing.second} {cause}"
