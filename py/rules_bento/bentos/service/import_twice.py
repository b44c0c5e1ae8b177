"""Collects the metadata of a service by importing it with BentoML twice. The imports simulate different machines."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import types
import typing
from contextlib import suppress
from pathlib import Path

import rules_bento
from rules_bento.base import formats, namespaces
from rules_bento.base.comparison_program import differences
from rules_bento.base.dataclasses_lite import asdict, dataclass, field
from rules_bento.base.display import some
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.landlock import outside
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Collection, Iterator, Mapping, Sequence
from rules_bento.bentos.service import metadata
from rules_bento.bentos.service.metadata import ServiceInfo

if TYPE_CHECKING:
    from rules_bento.bentos.packages.interpreter_files import PythonEnvironment

# Nothing of the project affects this interpreter: it ignores variables, and runs no code of site-packages.
_START = (
    "import sys; sys.path[:] = [path for path in sys.path if path]; sys.path.append(sys.argv[1]); "
    "from rules_bento.bentos.service.import_sandbox import main; main(sys.argv[2:])"
)
_TRUSTED = ("-I", "-S", "-B", "-X", "utf8")
_HERE, _THERE = "here", "there"  # directories and users of the two imports
_START_SECONDS = 600  # for BentoML, before the service's turn
_UNCOMPARED: dict[str, Any] = {"varied": [], "missing": [], "variables": [], "sought": []}
_LOG_BYTES = 4000  # at the end of a log, in errors
_TRACE_BYTES = 1 << 16
_LOG_SECONDS = 5  # for the end of the log of an ended process
_UNPROTECTED = "the code of the project and its packages can read and change your files"
_NAMESPACES = "Allow user namespaces (on Ubuntu, run `sysctl kernel.apparmor_restrict_unprivileged_userns=0`). "
_INTERPRETER = "Check the free memory, and that the environment's interpreter runs."


# Fields that can have line breaks: documentation, labels, and fields that other modules check or quote.
_TEXTS = re.compile(
    r"(description|labels\..*|envs\.\d+\.value|services\.\d+\.(doc|config\..*)"
    r"|image\.(calls\..*|arguments\.(commands|post_commands|python_requirements)\b.*))",
    re.DOTALL,
)
_CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True)
class Subject:
    """The service to import, and the settings of the import.

    `aliases` maps model aliases to tags. Stand-ins replace the modules of `packages` (see ModuleTable), except for
    modules in `outside`. If `is_open`, other packages might also provide modules. `remedy` is the advice in errors
    about stand-ins. The package name replaces `{}` in `remedy`. `permission` is the advice for an import that can't be
    isolated.
    """

    service: str  # `module:Service`
    directory: Path  # of the unpacked Bento: `src`, and maybe `models`
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of the Bento
    aliases: Mapping[str, str] = field(default_factory=dict)  # alias -> tag of a model
    variables: Mapping[str, str] = field(default_factory=dict)  # environment
    seconds: float = 900  # limit for the import
    packages: Mapping[str, Collection[str] | None] = field(default_factory=dict)  # that aren't imported
    is_open: bool = False
    outside: Sequence[str] = ()  # modules of the project that aren't among its sources
    bentoml_users: Sequence[str] = ()  # modules of packages that require bentoml, which have no stand-ins
    remedy: str = ""  # what to do to import the package {}
    is_unprotected: bool = False  # whether the import can run if this system doesn't allow isolation
    permission: str = ""


@dataclass(frozen=True)
class ImportedMetadata:
    """The metadata of an imported service, and its API descriptions."""

    info: ServiceInfo
    schema: dict[str, Any]  # as bento.yaml has it
    openapi: str  # the text of apis/openapi.yaml
    version: str  # of BentoML
    notes: tuple[str, ...] = ()  # warnings
    variables: tuple[str, ...] = ()  # unset environment variables that the service's code read
    sought: tuple[str, ...] = ()  # files that it didn't find, and with `/` at the end, directories that it listed
    missing: tuple[tuple[str, ...], ...] = ()  # modules that the environment lacks: name, line, and reason

    def unseen(self, dropped: Sequence[str], exists: Callable[[str], bool], files: str, variable: str) -> list[str]:
        """Return notes on variables and files that the service's code looked for, and the import doesn't have.

        `dropped` are the project's files that the Bento excludes. `exists` returns whether to report a file. `files`
        and `variable` name the options to check and to add.
        """
        notes = []
        if self.variables:
            text = f"The imported code read environment variables that it doesn't get: {some(self.variables, 10)}."
            notes.append(f"{text} To pass a variable, add {variable}.")
        found = {name for name in self.sought if not name.endswith("/") and exists(name)}
        for name in self.sought:
            start = name.removeprefix("./")
            found.update([path for path in dropped if name.endswith("/") and path.startswith(start)][:1])
        if found:
            text = f"The imported code looked for files that aren't in the Bento: {some(sorted(found), 10)}."
            notes.append(f"{text} If a value depends on a file, add the file to the Bento (check {files}).")
        return notes


def import_service(subject: Subject, environment: PythonEnvironment, scratch: Path) -> ImportedMetadata:
    """Import a service twice, and return its metadata.

    `environment` has BentoML and the service's packages. `scratch` is an empty directory. Raises BentoError if this
    system doesn't allow isolation, if an import fails, or if the results differ.
    """
    runs: list[IsolatedProcess] = []
    try:
        runs.extend(IsolatedProcess(subject, environment, scratch / name) for name in (_HERE, _THERE))
        for run in runs:
            run.start_readers()
        # Before any code of the project runs, which could affect this.
        reason = next(filter(None, [run.isolation_problem() for run in runs]), "")
        if reason and not subject.is_unprotected:
            raise not_isolated("the import of the service", reason, subject.permission)
        for run in runs:
            run.start(is_isolated=not reason)
        here, there = (run.answer() for run in runs)
    finally:
        for run in runs:
            run.end()
    result = read_answer(here, subject.service)
    if changing := next(differences(here | _UNCOMPARED, there | _UNCOMPARED), None):
        raise BentoError(_difference(changing, here["metadata"], there["varied"]).replace(str(scratch.resolve()), ""))
    notes = (f"the import wasn't isolated ({reason}): {_UNPROTECTED}",) if reason else ()
    variables = [name for name in here.get("variables", ()) if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name)]
    lists = tuple(variables), tuple(here.get("sought", ())), tuple(map(tuple, here.get("missing", ())))
    return ImportedMetadata(*result, str(here.get("version")), notes, *lists)


def not_isolated(what: str, reason: str, permission: str) -> BentoError:
    """Return the error for a system that can't isolate code. `permission` is the advice for trusted code."""
    problem = f"this system can't isolate {what} ({reason}). Without isolation, {_UNPROTECTED}"
    remedy = f"{_NAMESPACES if sys.platform == 'linux' else ''}If you trust this code, {permission}."
    return BentoError(problem, remedy=remedy)


def isolation_problem() -> str:
    """Return why this system can't isolate an import, or an empty string. Isolates a process without files."""
    from rules_bento.base.own_files import own_directory
    from rules_bento.bentos.packages.interpreter_files import PythonEnvironment

    with own_directory("rules_bento-probe-") as scratch:
        subject, environment = Subject("", scratch), PythonEnvironment(Path(sys.executable), (), ())
        run = IsolatedProcess(subject, environment, scratch / _HERE)
        try:
            run.start_readers()
            return run.isolation_problem()
        finally:
            run.end()


class _Pipe:
    """A pipe from a process. Another thread reads it, and keeps a limited number of bytes: the first, or the last."""

    def __init__(self, limit: int, *, keeps_end: bool = False) -> None:
        self._kept, self._surplus = bytearray(), slice(0, -limit) if keeps_end else slice(limit, None)
        self._read, self.write = os.pipe()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        """Start to read. All processes must have been started."""
        os.close(self.write)
        self._thread.start()

    def _keep(self) -> None:
        with os.fdopen(self._read, "rb", buffering=0) as pipe:
            while piece := pipe.read(1 << 16):
                self._kept += piece
                del self._kept[self._surplus]

    def content(self) -> bytes:
        """Return the bytes from a process that has ended. A process that it started might still write."""
        self._thread.join(_LOG_SECONDS)
        return bytes(self._kept)


class IsolatedProcess:
    """An import that runs in its own process and directory.

    If `code` is set, Python runs it instead of the import, with the arguments of the import, and `limit` is the maximum
    number of bytes of its result.
    """

    def __init__(
        self,
        subject: Subject,
        environment: PythonEnvironment,
        directory: Path,
        code: str = "",
        limit: int = formats.MAX_BYTES,
    ) -> None:  # writes: own, constant names
        """Start a process that waits for `start`. `directory` is missing or empty."""
        self._what = "the build of the project" if code else "the import of the service"
        self._directory, self._seconds, self._service = directory.resolve(), subject.seconds, subject.service
        self._source, home, python = self._directory / "src", self._directory / "home", environment.python.absolute()
        home.mkdir(parents=True)
        (self._directory / "root").mkdir()
        is_second = directory.name == _THERE
        variables = {
            **dict.fromkeys(("BENTOML_HOME", "HOME", "TMPDIR"), str(home)),
            **dict.fromkeys(("LOGNAME", "USER"), directory.name),
            "BENTOML_DO_NOT_TRACK": "true",
            "CUDA_VISIBLE_DEVICES": "",
            "LC_ALL": "C.UTF-8",
            "PATH": str(python.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": str(int(is_second)),
            "TZ": "XXX-9" if is_second else "UTC0",
            **subject.variables,
        }
        package = Path(rules_bento.__file__).parent.absolute()  # in a directory with other packages, or in a zip
        program = package.parent if package.parent.is_file() else package
        self._order = asdict(subject) | {
            "original": subject.directory.absolute() / "src",
            "source": self._source,
            "home": home,
            "models": subject.directory.absolute() / "models",
            "python": python,
            "variables": variables,
            "helper": package.parent,
            "visible": [*environment.visible, *namespaces.targets([str(program)])],
            "elsewhere": is_second,
            "code": code,
        }
        self._log, self._answer = _Pipe(_LOG_BYTES, keeps_end=True), _Pipe(limit + 1)
        self._trace, (reports, report) = _Pipe(_TRACE_BYTES), os.pipe()
        self._reports = os.fdopen(reports, "rb")
        pipes = [report, self._answer.write, self._trace.write]
        arguments = [str(package.parent), str(os.getpid()), str(self._directory), *map(str, pipes)]
        with os.fdopen(report, "wb"):
            self._process = outside(
                lambda: subprocess.Popen(
                    [sys.executable, *_TRUSTED, "-c", _START, *arguments],
                    cwd=home,
                    env={},
                    stdin=subprocess.PIPE,
                    stdout=self._log.write,
                    stderr=self._log.write,
                    pass_fds=pipes,
                    start_new_session=True,
                )
            )  # Landlock forbids mounts

    def start_readers(self) -> None:
        """Read what the process writes, in other threads. All processes must have been started."""
        for pipe in (self._log, self._answer, self._trace):
            pipe.start()

    def isolation_problem(self) -> str:
        """Return why the system doesn't allow isolated processes, or an empty string if it allows them."""
        line = self._reports.readline()
        if not line:
            raise BentoError(self._problem(self._process.wait()))
        return str(json.loads(line))

    def start(self, *, is_isolated: bool) -> None:
        """Let the process start the import."""
        assert self._process.stdin
        order = self._order | {"is_isolated": is_isolated}
        with suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(json.dumps(order, default=os.fspath).encode())

    def result(self) -> tuple[int, bytes]:
        """Wait for the process, and return its exit status and result. Raises BentoError if it can't start."""
        # The pipe is closed before the interpreter of the environment starts, which therefore can't write to it.
        if line := self._reports.read():
            problem = str(json.loads(line)).replace(f"{self._directory}/root", "").replace(f"{self._directory}/", "")
            raise BentoError(f"{self._what} can't start: {problem}", remedy=_INTERPRETER)
        try:
            status = self._process.wait(self._seconds + _START_SECONDS)
        except subprocess.TimeoutExpired:  # not even the process itself could end it
            status = self.end()
        return status, self._answer.content()

    def log(self) -> str:
        """Return the end of what the process printed."""
        return self._log.content().decode("utf-8", "replace").strip()

    def answer(self) -> dict[str, Any]:
        """Wait for the import, and return its result as JSON. Raises BentoError if the import fails or times out."""
        status, text = self.result()
        if not text:
            raise BentoError(self._problem(status))
        # The service's code might have written anything to this pipe. Buckets of metrics often end with infinity.
        answer = read_object(text, "the answer of the import", constants=True)
        _check_answer(answer, self._service)
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
        if self._process.stdin:
            self._process.stdin.close()
        return self._process.wait()

    def _problem(self, status: int) -> str:
        """Return the error message for a process that wrote no result, with the stack trace of the service's code."""
        trace = self._trace.content().decode("utf-8", "replace")
        lines = re.findall(f'  File "{re.escape(str(self._source))}/(.*)", line ([0-9]+) in (.*)', trace)
        places = "".join(f"\n  {file}:{number}: in {function}" for file, number, function in reversed(lines))
        if trace.startswith("Timeout"):
            told = f"importing the service did not end within {self._seconds:.0f} seconds. The import was at:{places}\n"
            return told + "Move slow or blocking code to the startup of the service."
        number = -status if status < 0 else max(status - 128, 0)  # of the signal
        how = f"signal {number}" if number else f"status {status}"
        text = f"importing the service ended the process with {how}.{places}\n{self.log()}\n"
        return text + "Make the service importable in a build: without a network, a GPU, or undeclared files."


def _difference(changing: tuple[str, str, str], fields: dict[str, Any], varied: Sequence[Sequence[str]]) -> str:
    field, first, second = changing
    name = field.removeprefix("metadata.")
    found = f"{place_of(name, fields)}: {name} is {first}"
    if varied:
        places = "".join(f"\n  {place}" for place, _ in varied)
        cause = f"because these lines depend on a package that isn't imported:{places}\n{varied[0][1]}."
        return f"{found} or {second}, {cause}"
    cause = "on another machine or another day. Write a value that depends only on the sources."
    return f"{found}, but {second} {cause}"


def read_answer(answer: dict[str, Any], service: str) -> tuple[ServiceInfo, dict[str, Any], str]:
    """Return the metadata, the schema, and the OpenAPI document of an answer. Raises BentoError if it is invalid."""
    fields: dict[str, Any] = answer.get("metadata") or {}
    schema, openapi = answer.get("schema"), answer.get("openapi")
    if not (_is_valid(fields, ServiceInfo) and isinstance(schema, dict) and isinstance(openapi, str)):
        raise _invalid(service)
    for name, text in _strings(fields, ""):
        if _CONTROL.search(text) and not _TEXTS.fullmatch(name):
            problem = f"{name} contains a line break or another control character: {text[:80]!r}"
            raise BentoError(problem, place=place_of(name, fields), remedy="Remove the character.")
    return metadata.from_json(fields), schema, openapi


def _check_answer(answer: dict[str, Any], service: str) -> None:
    """Raise BentoError if the lines and modules in an answer, on which the result depends, are invalid."""
    rows = [(answer.get("varied"), 2), (answer.get("missing", []), 3)]
    are_lists = all(_is_valid(answer.get(key, []), tuple[str, ...]) for key in ("variables", "sought"))
    are_rows = all(_is_valid(row, tuple[tuple[str, ...], ...]) and {*map(len, row or ())} <= {n} for row, n in rows)
    if not (are_lists and are_rows):
        raise _invalid(service)


def _invalid(service: str) -> BentoError:
    problem = "the result of the import is invalid. The service's code might have written it"
    return BentoError(problem, place=service, remedy="Remove code that writes files during the import.")


def place_of(name: str, fields: dict[str, Any]) -> str:
    """Return the `file:line` of the service with the metadata field `name`. For a legacy service, returns the file."""
    index = re.match(r"services\.([0-9]+)", name)
    services = fields["services"][int(index[1]) if index else 0 :]
    return f"{services[0]['path']}:{services[0]['line']}" if services else str(fields["path"])


def _is_valid(value: Any, form: Any) -> bool:
    """Return whether a JSON value has the type `form`: a class of `metadata`, or an annotation."""
    origin, args = typing.get_origin(form), typing.get_args(form)
    if form is object:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_is_valid(value, each) for each in args)
    if origin is typing.Literal:
        return value in args
    if origin is tuple:
        return isinstance(value, list) and all(_is_valid(each, args[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(_is_valid(each, args[1]) for each in value.values())
    if form.__module__ != metadata.__name__:
        return type(value) is form
    hints = typing.get_type_hints(form, localns={"Json": object, "Literal": typing.Literal})
    return isinstance(value, dict) and {*value} == {*hints} and all(_is_valid(value[key], hints[key]) for key in hints)


def _strings(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield the name and value of each string, and of each key."""
    if isinstance(value, str):
        yield name, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(key, str):
            yield name, key
        yield from _strings(item, f"{name}.{key}".lstrip("."))
