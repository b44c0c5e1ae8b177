"""Imports a service with BentoML in an environment with the service's wheels, and collects the service metadata.

`import_sandbox` starts this program, which reads the order of `import_twice`, and writes the result as JSON. The
result contains `metadata` (the fields of `ServiceInfo`), `schema`, and `openapi`. After an error, the result contains
`problem` and `remedy` instead.
"""

from __future__ import annotations

import copy
import ctypes
import datetime as dt
import faulthandler
import functools
import gc
import inspect
import json
import os
import re
import socket
import sys
import time
import traceback
from importlib.util import find_spec
from pathlib import Path

from rules_bento.base.typing_lite import Any, NoReturn, Sequence, TextIO
from rules_bento.bentos.service import metadata, stand_ins
from rules_bento.bentos.service.configuration import env_problem
from rules_bento.bentos.service.import_sandbox import GIGABYTES
from rules_bento.bentos.service.loaded_names import LOADED
from rules_bento.bentos.service.sdk_names import IMAGE_METHODS, OLD_SERVICE

_MISSING_MODULE = (
    "Add the package of the module to requirements (and to import_requirements if the package has another name), or "
    "add the file or library of the module to the Bento (check include). Move imports that only the service needs into "
    "`with bentoml.importing():`"
)
_MISSING_FILE = "Add the file to the Bento, check include and exclude, and specify a path relative to the module"
# What the second import sees: another day, and another host.
_LATER = 400 * 24 * 3600 + 3723  # seconds
_HOST = "another-host"
_CHAT = "/chat/completions"  # BentoML adds a label for an endpoint whose path ends so
# Half of the processors that BentoML sees: its `workers` for a service with a command that doesn't set them.
_WORKERS = -(1 << 40)

_FILE, _CHANGE, _NETWORK, _PROCESS = "reads a file", "changes a file", "opens the network", "starts a process"
# Audit events, and what to do instead.
_REJECTED = {
    _FILE: ("open os.listdir os.scandir", _MISSING_FILE),
    _CHANGE: (
        "os.chmod os.chown os.link os.mkdir os.remove os.removexattr os.rename os.rmdir os.setxattr os.symlink "
        "os.truncate os.utime sqlite3.connect",
        "BentoML reads and copies files after the import. Write the file before the build, or when the service starts",
    ),
    _NETWORK: (
        "socket.connect socket.getaddrinfo socket.gethostbyaddr socket.gethostbyname socket.sendmsg socket.sendto",
        "Put the data into a file of the Bento, or fetch the data when the service starts",
    ),
    _PROCESS: (
        "os.exec os.fork os.forkpty os.posix_spawn os.spawn os.system pty.spawn subprocess.Popen",
        "Put the output into a file of the Bento, or start the process when the service starts",
    ),
}
_KINDS = {event: kind for kind, (events, _) in _REJECTED.items() for event in events.split()}
_WITH_SOCKET = ("socket.connect", "socket.sendmsg", "socket.sendto")
_WITH_TWO_PATHS = ("os.link", "os.rename", "os.symlink")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# The same on every machine, or without influence: mimetypes always reads its tables.
_DEVICES = "/dev/"
_HARMLESS = ("/dev/null", "/dev/random", "/dev/urandom", "/etc/apache/", "/etc/httpd/", "/etc/mime.types")
# They change no file that a Bento includes.
_DIRECTORY_CHANGES = ("os.mkdir", "os.rmdir", "os.utime")
_IMPORTING = "<frozen importlib._bootstrap>"


def main(argv: list[str]) -> NoReturn:
    """Import the service that the JSON file `argv[0]` specifies, and exit.

    Writes the result and the stack trace after a crash to the pipes with the numbers `argv[1]` and `argv[2]`.
    """
    order = json.loads(Path(argv[0]).read_text("utf-8"))
    with os.fdopen(int(argv[1]), "w", encoding="utf-8") as answer, os.fdopen(int(argv[2]), "w") as trace:
        readable = [*order["visible"], order["models"]]
        run(order, readable, answer, trace, is_isolated=order["is_isolated"])


def run(order: dict[str, Any], readable: list[str], file: TextIO, trace: TextIO, *, is_isolated: bool) -> NoReturn:
    """Import the service in this process, write the result to `file`, and exit. `readable` are the service's inputs."""
    end = os._exit  # before the service's code can replace it
    if order["elsewhere"]:
        _shift_environment()
    names = ("packages", "remedy", "outside", "is_open", "bentoml_users")
    settings = {name: order[name] for name in names if name in order}
    stand_ins.install(prefix=f"{order['source']}/", is_second=order["elsewhere"], **settings)
    stand_ins.watch_files(_IMPORTING)
    _install_guard(readable, [order["source"], order["home"]], is_isolated=is_isolated)
    faulthandler.enable(trace)
    answer = _answer(order, trace)
    faulthandler.cancel_dump_traceback_later()
    json.dump(answer, file, ensure_ascii=False)
    file.flush()
    end(0)


def _answer(order: dict[str, Any], trace: TextIO) -> dict[str, Any]:
    from bentoml import __version__
    from bentoml._internal import resource as resources
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.service.loader import import_service

    state, recorder = stand_ins.STATE, None
    if find_spec("_bentoml_sdk.images"):  # since 1.3.10
        from _bentoml_sdk.images import Image

        recorder = Recorder(Image)
    resources.system_resources = lambda: {"cpu": 2 * _WORKERS}
    if order["arguments"]:  # since 1.4.8
        BentoMLContainer.bento_arguments.set(order["arguments"])
    BentoMLContainer.model_aliases.set(order["aliases"])
    faulthandler.dump_traceback_later(order["seconds"], exit=True, file=trace)
    try:
        service = import_service(order["service"], working_dir=order["source"])  # as `bentoml build` does
        _check_names()
        os.chdir(order["source"])  # images name files there
        state.place = "{}:{}".format(*_place(service))
        answer = _described(service, recorder)
    except BaseException as error:  # whatever the user's code raises, an exit too
        answer = _explain(error)
    missing = [[module, line.split(": ")[0], why] for module, (line, why) in state.missing.items()]
    found = {"varied": list(dict.fromkeys(state.varied)), "missing": missing, "version": __version__}
    sought = [name for name in state.sought if name.endswith("/") or not os.path.lexists(f"{state.prefix}{name}")]
    found |= {"variables": sorted(state.variables), "sought": sorted(sought)}
    return (state.refusals or [answer])[0] | found


def _check_names() -> None:
    """Reject modules of the project that `bentoml build` doesn't import, because it has loaded others of this name."""
    for name in sorted(LOADED & sys.modules.keys()):
        if path := stand_ins.relative(str(getattr(sys.modules[name], "__file__", None) or "")):
            problem = f"{path}: BentoML loads another module `{name}` before the service, so this file isn't imported"
            stand_ins.reject(problem, f"Rename {path}")


def _described(service: Any, recorder: Recorder | None) -> dict[str, Any]:
    import yaml
    from bentoml._internal.tag import Tag, to_snake_case

    if hasattr(service, "all_services"):
        name, schema = service.import_string, service.schema()
        fields = _fields(service, schema, recorder)
    else:
        name, schema = service.get_service_import_origin()[0], {}
        fields = _legacy_fields(service)
    file = str(getattr(sys.modules[name.partition(":")[0]], "__file__", None) or "")
    path = stand_ins.relative(file)
    if not path:
        _reject(f"the module of {name!r} is {file or 'built in'}, which isn't among the sources")
    bento_name = Tag(to_snake_case(service.name), None).name
    info = metadata.ServiceInfo(service=name, path=path, bento_name=bento_name, entry_service=service.name, **fields)
    fields = _plain(metadata.to_json(info), "")
    return {"metadata": fields, "schema": _plain(schema, "schema"), "openapi": yaml.dump(service.openapi_spec)}


def _fields(service: Any, schema: dict[str, Any], recorder: Recorder | None) -> dict[str, Any]:
    """Return the fields of `ServiceInfo` for a service that is decorated with `@bentoml.service`."""
    for one in service.all_services().values():
        if one.config.get("workers") == _WORKERS:
            del one.config["workers"]
        for index, env in enumerate(getattr(one, "envs", ())):
            name, value = (_plain(getattr(env, key), f"envs.{index}.{key}") for key in ("name", "value"))
            if problem := env_problem(name, value):
                stand_ins.reject("{}:{}: envs of `{}`: {}".format(*_place(one), one.name, problem), "Write a string")
    service.inject_config()  # which checks it
    envs, labels = getattr(service, "envs", ()), getattr(service, "labels", {})  # BentoML 1.3 has neither
    labels = {str(key): str(value) for key, value in labels.items()}
    chats = [path.removesuffix(_CHAT) for path in schema.get("paths", {}) if path.endswith(_CHAT)]
    return {
        "kind": "new",
        "services": tuple(_service(one) for one in service.all_services().values()),
        "labels": labels | ({"openai_endpoint": chats[0]} if chats else {}),
        "envs": tuple(metadata.Env(env.name, env.value, getattr(env, "stage", "all")) for env in envs),
        "description": getattr(service, "description", None),
        "image": recorder and service.image and recorder.image(service.image),
    }


def _service(service: Any) -> metadata.Service:
    from _bentoml_sdk.models import Model as Reference
    from bentoml._internal.models import Model as Stored
    from bentoml._internal.utils.cattr import bentoml_cattr

    path, line = _place(service)
    for name in dir(service.inner):
        stand_ins.check_method(service.inner, name)
    for api in service.apis.values():
        if decorator := getattr(api.func, stand_ins.DECORATED, ""):
            stand_ins.refuse(decorator, "signature")
    schema, keys = service.schema(), ("name", "route", "is_task", "batchable")
    names = (name for name in dir(service.inner) if isinstance(getattr(service.inner, name, None), (Reference, Stored)))
    return metadata.Service(
        name=service.name,
        class_name=service.inner.__name__,
        path=path,
        line=line,
        models=tuple(_model(model, next(names, "")) for model in service.models),
        dependencies=tuple(
            metadata.Dependency(name, one.on.name if one.on else None, one.deployment, one.cluster, one.url)
            for name, one in service.dependencies.items()
        ),
        config=bentoml_cattr.unstructure(service.config),
        apis=tuple(
            metadata.Api(**{key: row[key] for key in keys}, is_stream=row["output"].get("is_stream", False))
            for row in schema["routes"]
        ),
        mounts=tuple(path for _, path, _ in service.mount_apps),
        doc=schema.get("description"),
    )


def _place(service: Any) -> tuple[str, int]:
    """Return the file and line of a service's class. If the line is unknown, returns line 1 of the module's file."""
    inner = getattr(service, "inner", type(service))
    try:
        path, line = inspect.getsourcefile(inner) or "", inspect.getsourcelines(inner)[1]
    except (OSError, TypeError):
        path, line = str(getattr(sys.modules.get(inner.__module__), "__file__", "") or ""), 1
    return stand_ins.relative(path) or inner.__module__, line


def _model(model: Any, attribute: str) -> metadata.Model:
    from bentoml.models import BentoModel, HuggingFaceModel

    if isinstance(model, BentoModel):
        return metadata.Model(attribute, str((model.stored or model).tag))
    if isinstance(model, HuggingFaceModel):
        lists = [(names := getattr(model, key, None)) and tuple(names) for key in ("include", "exclude")]
        source = metadata.HuggingFace(model.model_id, model.revision, model.endpoint, *lists)
        return metadata.Model(attribute, "", huggingface=source)
    return _reject(f"{attribute}: bento.yaml doesn't support models of class {type(model).__name__}")


def _legacy_fields(service: Any) -> dict[str, Any]:
    """Return the fields of `ServiceInfo` for a `bentoml.legacy.Service`."""
    runners = []
    for each in service.runners:
        if each.resource_config is not None:
            _reject(f"the resources of runner {each.name!r} come from the BentoML configuration of this machine")
        own = tuple(str(model.tag) for model in each.models)
        runners.append(metadata.Runner(each.name, each.runnable_class.__name__, each.embedded, own))
    tags = [str(model.tag) for model in service.models] + [tag for runner in runners for tag in runner.models]
    types = [(api, type(api.input).__name__, type(api.output).__name__) for api in service.apis.values()]
    return {
        "kind": "legacy",
        "models": tuple(metadata.Model("", tag) for tag in dict.fromkeys(tags)),
        "runners": tuple(runners),
        "apis": tuple(metadata.Api(api.name, api.route, input_type=of, output_type=to) for api, of, to in types),
    }


def _plain(value: Any, field: str) -> Any:
    """Convert the value of a field to JSON types. Raises RejectedError for an unsupported type."""
    if name := stand_ins.name_of(value):
        stand_ins.refuse(name)
    if type(value) is str and value.encode(errors="ignore").decode() != value:
        _reject(f"{field} contains an unpaired surrogate: {value[:80]!r}")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{field}.{index}") for index, item in enumerate(value)]
    if isinstance(value, dict) and all(type(key) is str for key in value):
        return {key: _plain(item, f"{field}.{key}".lstrip(".")) for key, item in value.items()}
    what = "a dict whose keys aren't strings" if isinstance(value, dict) else f"{value!r} ({type(value).__name__})"
    return _reject(f"{field} is {what}, but must be a string, a number, a list, or a dict")


def _reject(problem: str) -> NoReturn:
    stand_ins.reject(
        f"{stand_ins.STATE.place}: {problem}",
        "Use a value that bento.yaml supports and that is the same on every machine",
    )


def _explain(error: BaseException) -> dict[str, str]:
    """Return the problem and the remedy for an error. The problem includes the lines that raised the error."""
    reasons, remedies = [], []
    reason: BaseException | None = error
    while reason:
        frames = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(reason.__traceback__)]
        if isinstance(reason, SyntaxError):
            frames.append((reason.filename or "", reason.lineno or 0))
        if lines := [*stand_ins.project_lines(frames)]:
            reasons.append((reason, lines))
        if isinstance(reason, TypeError) and str(reason).startswith("Service.__init__()"):
            remedies.append(OLD_SERVICE)
        elif isinstance(reason, MemoryError):
            remedies.append(f"The import can use {GIGABYTES} GiB of memory. Load models when the service starts")
        elif isinstance(reason, ModuleNotFoundError):
            remedies.append(_MISSING_MODULE)
        elif isinstance(reason, FileNotFoundError) and lines:
            remedies.append(_MISSING_FILE)
        elif "StandIn" in str(reason):  # of a function in C
            remedies.append("A stand-in replaces the package of this value. Add the package to import_requirements")
        elif isinstance(reason, KeyError) and "os.environ" in "".join(lines):
            remedies.append("Set the variable in import_env (--import-env)")
        elif "'Rlocation'" in str(reason):
            remedies.append("A Bento has no runfiles. Use a path relative to __file__")
        elif type(reason).__name__ == "NotFound" and "Model" in str(reason):
            remedies.append("Add the bento_model of the model to models")
        elif found := re.match("(Multiple|No) .*service", str(reason), re.IGNORECASE):
            several = "several services" if found[1] == "Multiple" else "no service"
            remedies.append(f"The module has {several}. Specify the service as MODULE:CLASS, such as `service:Svc`")
        elif (
            isinstance(reason, (OSError, RuntimeError, SystemExit))
            and type(reason).__module__ == "builtins"
            and not isinstance(reason, RecursionError)
        ):
            remedies.append("Make the service importable in a build: without a network, a GPU, or undeclared files")
        reason = reason.__cause__ or (None if reason.__suppress_context__ else reason.__context__)
    remedies.append("Correct this part of the service, which BentoML doesn't accept")
    source, lines = [*reasons, (error, [stand_ins.STATE.place])][0]
    message = source.msg if isinstance(source, SyntaxError) else str(source)
    text = "\n".join([*filter(None, lines), f"{type(source).__name__}: {message}".rstrip(": ")])
    what = "BentoML cannot describe the service" if stand_ins.STATE.place else "the service cannot be imported"
    problem = "\n".join([f"{what}:", *(f"  {line}" for line in text.splitlines())])
    return {"problem": problem, "remedy": remedies[0]}


def _shift_environment() -> None:
    """Patch functions so that this process gets a different host name, number of processors, and time."""
    processors = (os.cpu_count() or 1) * 2 + 1
    uname = os.uname()
    os.cpu_count = lambda: processors
    if hasattr(os, "sched_getaffinity"):
        os.sched_getaffinity = lambda _pid, /: set(range(processors))
    os.uname = lambda: os.uname_result((uname.sysname, _HOST, *uname[2:]))
    socket.gethostname = lambda: _HOST
    now, now_ns, asctime, strftime = time.time, time.time_ns, time.asctime, time.strftime
    time.time = lambda: now() + _LATER
    time.time_ns = lambda: now_ns() + _LATER * 10**9
    for name in ("ctime", "gmtime", "localtime"):
        real = getattr(time, name)
        setattr(time, name, lambda moment=None, real=real: real(time.time() if moment is None else moment))
    time.asctime = lambda *moment: asctime(*(moment or (time.localtime(),)))
    time.strftime = lambda text, *moment: strftime(text, *(moment or (time.localtime(),)))
    later = dt.timedelta(seconds=_LATER)
    # In place: pydantic compares the classes by identity.
    for of, name in ((dt.date, "today"), (dt.datetime, "now"), (dt.datetime, "utcnow")):
        real = vars(of)[name]
        shifted = classmethod(lambda cls, *args, real=real, **kwargs: real.__get__(None, cls)(*args, **kwargs) + later)
        gc.get_referents(of.__dict__)[0][name] = shifted
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(of))


class Recorder:
    """Records the method calls on `Image` objects. BentoML stores only the results of calls, such as commands."""

    def __init__(self, image_class: Any) -> None:
        self._class = image_class
        self._calls: dict[int, tuple[Any, list[Any]]] = {}  # the image, to keep its identity, and its calls
        self._codes: list[Any] = []
        for name in ("__init__", *IMAGE_METHODS):
            if method := getattr(image_class, name, None):  # BentoML 1.4.30 lacks some
                self._codes.append(method.__code__)
                setattr(image_class, name, self._recorded(name, method))

    def image(self, image: Any) -> metadata.Image:
        """Return the metadata of an image. Raises RejectedError if the recorded calls don't reproduce the image."""
        calls = self._calls.get(id(image), (image, []))[1]
        repeated = self._class()
        for name, args, kwargs in copy.deepcopy(calls):
            getattr(repeated, name)(*args, **kwargs)
        if [name for name, _, _ in calls].count("__init__") != 1 or repeated != image:
            _reject("the image was copied, or modified without the methods of Image, or after os.chdir")
        arguments = inspect.signature(self._class).bind(*calls[0][1], **calls[0][2]).arguments
        for key, value in arguments.items():
            if isinstance(value, (list, tuple)):
                arguments[key] = [str(item) for item in value]
            elif value is not None and not isinstance(value, bool):
                arguments[key] = str(value)
        rows = [(name, tuple(map(str, [*args, *kwargs.values()]))) for name, args, kwargs in calls[1:]]
        return metadata.Image(arguments, tuple(metadata.ImageCall(*row) for row in rows))

    def _recorded(self, name: str, method: Any) -> Any:
        """Wrap a method to record its calls. Ignores calls by other recorded methods, such as `pyproject_toml`."""

        @functools.wraps(method)
        def recorded(image: Any, *args: Any, **kwargs: Any) -> Any:
            if sys._getframe(1).f_code not in self._codes:
                self._calls.setdefault(id(image), (image, []))[1].append((name, *copy.deepcopy((args, kwargs))))
            return method(image, *args, **kwargs)

        return recorded


def _install_guard(readable: Sequence[str], writable: Sequence[str], *, is_isolated: bool) -> None:
    """Install an audit hook that rejects network access, new processes, and files outside of `readable`.

    Libraries can read other files and start processes, such as ldconfig, while the service imports the libraries. If
    this process isn't isolated, the hook also rejects their changes of files outside of `writable`. After a rejected
    operation, the import of the service fails, even if the service catches the error.
    """
    inside_writable = tuple(f"{form}/" for path in writable for form in (path, os.path.realpath(path)))
    inside_home = inside_writable[2:]
    inside = (
        *inside_writable,
        *(f"{form}/" for path in readable for form in (path, os.path.realpath(path))),
        *_HARMLESS,
    )

    def audit(event: str, args: tuple[Any, ...]) -> None:
        kind = _KINDS.get(event)
        if kind is None:
            return
        names = [args[event in _WITH_SOCKET]] if kind == _NETWORK else []
        if names == [None]:  # a message to a connected socket, such as another thread's
            return
        is_project = stand_ins.is_in_project(_IMPORTING)
        if kind in (_FILE, _CHANGE):
            if event == "open" and isinstance(args[2], int) and args[2] & _WRITING:
                kind = _CHANGE
            if not is_project and (is_isolated or kind == _FILE):
                return
            allowed = (*inside_writable, _DEVICES) if kind == _CHANGE else inside
            if is_project and kind == _CHANGE and event not in _DIRECTORY_CHANGES:
                allowed = (*inside_home, _DEVICES)
            for path in _paths(event, args) if is_project and kind == _FILE else ():
                stand_ins.seek(path, _IMPORTING, "" if event == "open" else "/")
            names = [path for path in _paths(event, args) if not f"{path}/".startswith(allowed)]
            if not names:
                return
        if is_project:
            what = f"importing the service {kind}" + (f" ({names[0]})" if names else "")
            stand_ins.reject(f"{what}:\n  {stand_ins.place(_IMPORTING)}", _REJECTED[kind][1])
        if kind != _PROCESS:
            raise PermissionError(f"{event}: the import has no access to the network, and changes no other files")

    sys.addaudithook(audit)


def _paths(event: str, args: tuple[Any, ...]) -> list[str]:
    """Return the paths that a file event names, with resolved links, except for open files.

    Events that change a name, and not what a link leads to, have the path of the link. A link must not lead out of the
    same directories.
    """
    names = args[: 2 if event in _WITH_TWO_PATHS else 1]
    paths = [os.fsdecode(name) for name in names if isinstance(name, (str, bytes, os.PathLike))]
    if event == "os.symlink" and len(paths) == 2:
        paths[0] = os.path.join(os.path.dirname(paths[1]), paths[0])  # noqa: PTH118, PTH120 - can have any form
    if event in ("open", "os.listdir", "os.scandir", "os.symlink"):
        return [os.path.realpath(path) for path in paths]
    split = [os.path.split(os.path.abspath(path)) for path in paths]  # noqa: PTH100 - the last link isn't resolved
    return [os.path.join(os.path.realpath(above), name) for above, name in split]  # noqa: PTH118
