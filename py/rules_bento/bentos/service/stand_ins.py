"""Replaces third-party modules that aren't installed with stand-ins while a service is imported.

A stand-in has every attribute. Code can call, subscript, enter, or subclass a stand-in, and use a stand-in as a
decorator or an annotation. The result is another stand-in. If the project's code or BentoML requires a concrete value,
such as a number, the import fails with a message that contains the line and the package. Python has no hook for
`x is None` and `type(x)`, so the project's modules are compiled with checks around these expressions. `import_twice`
imports a service twice. Operations such as `isinstance` have different results, but the metadata must be equal.
"""

from __future__ import annotations

import ast
import builtins
import dis
import functools
import inspect
import itertools
import linecache
import operator
import os
import pathlib
import re
import sys
from importlib import machinery
from types import CodeType, FrameType, FunctionType

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.python_source import LOADER_FUNCTION, parse
from rules_bento.base.typing_lite import Any, Callable, Collection, Iterable, Iterator, Mapping, NoReturn
from rules_bento.bentos.service.loaded_names import OPTIONAL, PROVIDED_ELSEWHERE, STAND_IN, WITH_EFFECTS
from rules_bento.bentos.service.module_table import ModuleTable

# Types of the annotations that BentoML describes by their names only. (NumPy is one of BentoML's own dependencies.)
_IO_TYPES = ("PIL.Image.Image", "pandas.DataFrame", "torch.Tensor")
# Code of libraries that handles values without regard to what they are.
_STRUCTURAL = re.compile(
    r"((_py_)?abc|annotated_types|copy|dataclasses|inspect|types|typing(_extensions)?|weakref|importlib\._bootstrap(_external)?"
    r"|bentoml\._internal\.service\.loader|_bentoml_sdk\.(_pydantic|typing_utils)|(pydantic|attr|typing_inspection)(\..*)?)"
)
_OPERATIONS = (
    "abs aiter anext await bool bytes ceil complex contains dir eq float floor format fspath ge gt hash index int "
    "invert ior iter le len length_hint lt ne neg next pos repr reversed round sizeof str trunc"
)
_ARITHMETIC = "add and divmod floordiv lshift matmul mod mul pow rshift sub truediv xor"
# Operations whose results are stand-ins, and what the names of the results end in.
_DERIVED = {"call": "()", "enter": ".__enter__()", "getitem": "[]", "or": "|", "ror": "|"}
# Operations that libraries apply to any value, and their results.
_TOLERATED: dict[str, Callable[..., Any]] = {
    "bool": lambda _self: True,
    "eq": operator.is_,
    "ne": operator.is_not,
    "hash": id,
    **dict.fromkeys(("str", "repr", "format"), lambda self, *_spec: self._stand_in_name),
}
_BENTOML = ("bentoml", "_bentoml_sdk", "_bentoml_impl")
# BentoML's modules for frameworks, such as `bentoml.sklearn`, which import the framework.
_FRAMEWORKS = ("_bentoml_impl.frameworks.", "bentoml._internal.frameworks.")
# Attributes that depend on the value: libraries get them for values that they use, and `import *` gets `__all__`.
_REFUSED = ("__all__", "__pydantic_serializer__", "__signature__", "__wrapped__")
# Attributes that libraries look for in modules and types.
_FOR_LIBRARIES: dict[str, Callable[[str], Any]] = {
    "__bases__": lambda _name: (),
    "__dict__": lambda _name: {},
    "__doc__": lambda _name: None,
    "__module__": lambda name: name.rpartition(".")[0],
    "__path__": lambda _name: [],
    "__spec__": lambda name: StandIn(f"{name}.__spec__"),
}
# Functions of Python that observe a value without one of its methods.
_OBSERVERS = ("callable", "getattr", "hasattr", "id", "type", "vars")
_ENVIRONMENT_MODULES = ("os", "collections.abc", "_collections_abc")
_MOVE = ", or move the line into `__init__` of the service"
_DAY = 24 * 3600  # seconds
_CHECK = "_rules_bento_check"  # the name of `_check` for the project's code
_DECORATE = "_rules_bento_decorate"  # the name of `_decorate` for the project's code
# Decorators whose results have the signature of the function.
_TRANSPARENT = re.compile(r"torch\.(no_grad|inference_mode|enable_grad)(\(\))+")
_WITHOUT_BENTOML = ("backoff", "numba", "tenacity", "torch")  # their decorators make no API
DECORATED = "_rules_bento_decorator"  # attribute of a method that a stand-in decorated: the name of the stand-in


class RejectedError(BaseException):
    """Raised for an operation that isn't supported during the import, such as using the value of a stand-in."""


@dataclass()
class State:
    """The settings of the import in this process, and the problems and lines that the import records."""

    prefix: str = "\0"  # of the project's files
    table: ModuleTable = ModuleTable({})
    is_open: bool = False  # whether other packages might also provide modules
    outside: Collection[str] = ()  # modules of the project that aren't among its sources
    remedy: str = ""  # advice in errors, with `{}` for the package
    place: str = ""  # where no line of the project is being run
    is_second: bool = False  # whether this is the second of the two imports
    refusals: list[dict[str, str]] = field(default_factory=list)  # problems and remedies
    varied: list[tuple[str, str]] = field(default_factory=list)  # lines whose results differ between the two imports
    bentoml_users: Collection[str] = ()  # modules of packages that require bentoml, which might make its objects
    missing: dict[str, tuple[str, str]] = field(default_factory=dict)  # modules: line, and STAND_IN or OPTIONAL
    provided: set[tuple[str, int]] = field(default_factory=set)  # files and lines with the comment of survey
    guarded: set[tuple[str, int]] = field(default_factory=set)  # files and lines where errors are handled
    variables: set[str] = field(default_factory=set)  # unset environment variables that the project reads
    sought: set[str] = field(default_factory=set)  # missing files, and with `/` at the end, listed directories
    deferred: set[tuple[str, int]] = field(default_factory=set)  # files and lines in `with bentoml.importing()`


STATE = State()


def _derive(value: StandIn, suffix: str, *arguments: Any) -> StandIn:
    """Return a stand-in for an attribute or result of `value`. Raises RejectedError in a `try` or `suppress` block."""
    if _from_project() and _is_guarded():
        refuse(value._stand_in_name, "presence")
    _vary_all(value._stand_in_name, *arguments)
    return StandIn(f"{value._stand_in_name}{suffix}")


class StandIn:
    """A placeholder for an object of a third-party package. Only the name of the object is known."""

    __slots__ = ("_stand_in_name",)
    _initializing = False  # which an import of a module gets from its `__spec__`
    _stand_in_name: str

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_stand_in_name", name)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        if self._stand_in_name in _IO_TYPES and not _from_project():
            return type
        return StandIn if _is_structural() else refuse(self._stand_in_name, "type")

    def __getattr__(self, name: str) -> Any:
        for_library = name.startswith("__") and name.endswith("__") and not _from_project()
        if name in _FOR_LIBRARIES and (for_library or name == "__spec__"):  # which `import` also gets
            return _FOR_LIBRARIES[name](self._stand_in_name)
        if for_library and name in ("__name__", "__qualname__") and self._stand_in_name in _IO_TYPES:
            return self._stand_in_name.rpartition(".")[2]
        if name in _REFUSED or (for_library and name in ("__name__", "__qualname__") and not _is_structural()):
            refuse(f"{self._stand_in_name}.{name}")
        if for_library:
            raise AttributeError(name)
        return _derive(self, f".{name}")

    def __setattr__(self, _name: Any, *values: Any) -> None:
        _vary_all(self._stand_in_name, *values)

    __setitem__ = __delattr__ = __delitem__ = __setattr__

    def __exit__(self, *_args: object) -> None: ...

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        if any(type(base) not in (type, StandIn) for base in bases):
            refuse(self._stand_in_name)
        return (type.__new__(Subclass, "Base", (), {"_stand_in_name": self._stand_in_name}),)

    def __instancecheck__(self, value: Any) -> bool:
        return _varied(self._stand_in_name) if _from_project() else name_of(value) == self._stand_in_name

    __subclasscheck__ = __instancecheck__

    def __deepcopy__(self, *_memo: Any) -> StandIn:
        return self

    __copy__ = __deepcopy__

    def __get_pydantic_core_schema__(self, *_args: Any) -> Any:
        """Return a pydantic schema that accepts any value. Generation of a JSON Schema raises RejectedError."""
        functions = [lambda *_args: refuse(self._stand_in_name, "schema")]
        return {"type": "any", "metadata": {"pydantic_js_functions": functions}}


class Subclass(type):
    """Metaclass of project classes that extend a stand-in. Replaces each project class with a stand-in."""

    def __new__(cls, name: str, bases: tuple[Any, ...], *_args: Any, **_keywords: Any) -> Any:
        """Return a stand-in for the class, with the name `BASE:CLASS`."""
        return StandIn(f"{next(vars(base)['_stand_in_name'] for base in bases if type(base) is Subclass)}:{name}")


def _operation(name: str) -> Callable[..., Any]:
    def operation(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if name in _DERIVED:
            return _derive(self, _DERIVED[name], *args, *kwargs.values())
        if name in _TOLERATED and (_is_structural() or (name in ("hash", "eq") and _builds_type())):
            return _TOLERATED[name](self, *args)
        return refuse(self._stand_in_name)

    return operation


setattr(StandIn, "__doc__", property(lambda self: self.__getattr__("__doc__")))  # noqa: B010
setattr(StandIn, "__module__", property(lambda self: self.__getattr__("__module__")))  # noqa: B010
_operators = [side + name for name in _ARITHMETIC.split() for side in ("", "r", "i")]
for _name in (*_DERIVED, *_OPERATIONS.split(), *_operators):
    setattr(StandIn, f"__{_name}__", _operation(_name))


def name_of(value: Any) -> str:
    """Return the name of a stand-in, or an empty string for any other value."""
    return value._stand_in_name if type(value) is StandIn else ""


def _frames() -> Iterator[FrameType]:
    """Yield the stack frames outside of this module, innermost first."""
    frame: FrameType | None = sys._getframe()
    own = sys._getframe().f_code.co_filename  # differs from __file__ in the packed helper
    while frame := frame and frame.f_back:
        if frame.f_code.co_filename != own:
            yield frame


def _from_project() -> bool:
    return bool(relative(next(_frames()).f_code.co_filename))


def _is_structural() -> bool:
    """Return whether a `_STRUCTURAL` module uses a stand-in. False if the project called `inspect`, `==`, or `hash`."""
    frames = _frames()
    frame = next(frames)
    if _from_project() or not _STRUCTURAL.fullmatch(frame.f_globals.get("__name__") or ""):
        return False
    while frame.f_globals.get("__name__") == "inspect" or frame.f_code.co_name in ("__eq__", "__hash__"):
        frame = next(frames)
    return not relative(frame.f_code.co_filename)


def _builds_type() -> bool:
    """Return whether the caller evaluates `X[...]` or `X | ...`. Python 3.14 compares types in these expressions."""
    frame = next(_frames())
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] in ("BINARY_OP", "BINARY_SUBSCR")


def is_in_project(until: str) -> bool:
    """Return whether the stack has a line of the project. Stops at the file `until`."""
    codes = itertools.takewhile(
        lambda code: code.co_filename != until and code.co_name != LOADER_FUNCTION,
        (frame.f_code for frame in _frames()),
    )
    return any(relative(code.co_filename) for code in codes)


def place(until: str = "") -> str:
    """Return the innermost project line on the stack (`file:line: text`), or "". Stops at the file `until`."""
    frames = itertools.takewhile(lambda frame: frame.f_code.co_filename != until, _frames())
    return next(project_lines((frame.f_code.co_filename, frame.f_lineno) for frame in frames), "")


def project_lines(lines: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Yield `file:line: text` for the `lines` (path and number) that are in project files."""
    for path, number in lines:
        if file := relative(path):
            yield f"{file}:{number}: {linecache.getline(path, number).strip()}"


def relative(path: str) -> str:
    """Return a project file's path relative to the sources, or an empty string for any other file."""
    return path.removeprefix(STATE.prefix) if path.startswith(STATE.prefix) else ""


def refuse(name: str, what: str = "value") -> NoReturn:
    """Raise RejectedError. The message names the unknown property `what`, such as "type", of the stand-in `name`."""
    problem = f"importing the service requires the {what} of {name}, but a stand-in replaces the package"
    reject(f"{problem}:\n  {place() or STATE.place}", _remedy(name))


def check_method(service: type, name: str) -> None:
    """Raise RejectedError if a stand-in decorates a method of a service, because it might be `bentoml.api`."""
    function = inspect.getattr_static(service, name, None)
    if (decorator := getattr(function, DECORATED, "")) and not decorator.startswith(_WITHOUT_BENTOML):
        refuse(decorator, f"effect on the method {name!r}")


def reject(problem: str, remedy: str) -> NoReturn:
    """Record a problem, and raise RejectedError. The import fails even if the service catches the error."""
    STATE.refusals.append({"problem": problem, "remedy": remedy})
    raise RejectedError(problem)


def _remedy(name: str) -> str:
    module = re.split(r"\W", name)[0]
    package = STATE.table.find(module) or f"the package that provides `{module}`"
    remedy = STATE.remedy.replace("{}", package.replace("-", "_") if "//" in STATE.remedy else package)
    return f"{remedy}{_MOVE if _is_on(STATE.deferred) else ''}"


def _is_guarded() -> bool:
    """Return whether project code handles errors of the running code with `try` or `with suppress(...)`."""
    return _is_on(STATE.guarded)


def _is_on(lines: set[tuple[str, int]]) -> bool:
    return any((frame.f_code.co_filename, frame.f_lineno) in lines for frame in _frames())


def _is_searched() -> bool:
    """Return whether the project calls `importlib.util.find_spec`, or a function that calls it."""
    return any(
        frame.f_code.co_name == "find_spec" and frame.f_globals.get("__name__") == "importlib.util"
        for frame in itertools.takewhile(lambda frame: not relative(frame.f_code.co_filename), _frames())
    )


def _varied(name: str, what: str = "isinstance of {}") -> bool:
    """Record that the current line depends on `what` of the stand-in `name`. Returns True only in the second import."""
    STATE.varied.append((f"{place() or STATE.place} ({what.format(name)})", _remedy(name)))
    return STATE.is_second


def _vary_all(name: str, *arguments: Any) -> None:
    """Raise RejectedError if an argument is a BentoML object. In the second import, clears mutable arguments."""
    for argument in arguments:
        module = str(type(argument).__module__)
        if module.partition(".")[0] in _BENTOML:
            refuse(name, "effect on a BentoML object")
        contents = argument if type(argument) in (dict, list, set) else None
        if relative(getattr(sys.modules.get(module), "__file__", None) or ""):  # an instance of a class of the project
            contents = getattr(argument, "__dict__", None)
        if contents is not None and _varied(name, "an argument of {}"):
            nested = [*(contents.values() if isinstance(contents, dict) else contents)]
            contents.clear()
            _vary_all(name, *nested)


class _Variables(type(os.environ)):  # type: ignore[misc]
    """Environment variables that record which unset variables the project reads."""

    def __getitem__(self, name: str) -> str:
        try:
            return str(super().__getitem__(name))
        except KeyError:
            frame = next(each for each in _frames() if each.f_globals.get("__name__") not in _ENVIRONMENT_MODULES)
            if relative(frame.f_code.co_filename) and frame.f_code.co_name != LOADER_FUNCTION:
                STATE.variables.add(name)
            raise


def seek(path: Any, until: str, end: str = "") -> None:
    """Record a path in the project, or in its parent directory, that the project's code looks for."""
    if isinstance(path, (str, bytes, os.PathLike)) and is_in_project(until):
        name = os.path.relpath(os.fsdecode(path), STATE.prefix)
        STATE.sought.update([] if name.startswith("../..") else [name + end])


def _later(status: os.stat_result) -> os.stat_result:
    """Return the status of a file that was written another day."""
    times = {name: getattr(status, name) + _DAY for name in ("st_atime", "st_mtime", "st_ctime")}
    times |= {f"{name}_ns": getattr(status, f"{name}_ns") + _DAY * 10**9 for name in times}
    return os.stat_result([*status[:7], *(time + _DAY for time in status[7:])], times)


def watch_files(until: str) -> None:
    """Patch the functions of `os` that have no audit events to record missing files. See `seek`."""

    def watched(real: Callable[..., Any], path: Any, *args: Any, **kwargs: Any) -> Any:
        found = False
        try:
            found = real(path, *args, **kwargs)
        finally:  # also after an error
            if found is False:
                seek(path, until)
        is_changed = STATE.is_second and isinstance(found, os.stat_result) and isinstance(path, (str, os.PathLike))
        return _later(found) if is_changed and relative(os.path.abspath(path)) else found  # noqa: PTH100 - keeps links

    for name in ("access", "lstat", "readlink", "stat"):
        real = getattr(os, name)
        setattr(os, name, functools.partial(watched, real))
        for functions in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            functions.update([getattr(os, name)] if real in functions else [])
    if accessor := getattr(pathlib, "_NormalAccessor", None):  # Python 3.10
        accessor.stat = os.stat


def install(packages: Mapping[str, Collection[str] | None], **settings: Any) -> None:
    """Store `settings` in `STATE`, and install the hooks that replace `packages` (see ModuleTable) with stand-ins."""
    vars(STATE).update(settings, table=ModuleTable(packages))
    os.environ.__class__ = _Variables
    if not (packages or STATE.is_open):
        return
    setattr(builtins, _CHECK, _check)
    setattr(builtins, _DECORATE, _decorate)
    operator.is_ = lambda one, other: bool(_check(one, other)) and one is other
    operator.is_not = lambda one, other: bool(_check(one, other)) and one is not other
    _accept_limits()
    machinery.SourceFileLoader.get_code = _get_code  # type: ignore[assignment, method-assign]
    sys.meta_path.append(_Finder())


def _may_stand_in(top: str) -> bool:
    """Return whether a stand-in can replace the top-level module `top`, which the project imports."""
    is_own = any(os.path.lexists(f"{STATE.prefix}{top}{suffix}") for suffix in ("", ".py"))
    if is_own or top in sys.modules or top in sys.stdlib_module_names or top in STATE.outside:
        return False
    is_known, is_tested = bool(STATE.table.find(top)), _is_guarded() or _is_searched()
    if not (is_known or STATE.is_open) and (STATE.table.lacks(top) or not is_tested):
        return False
    if top in WITH_EFFECTS and (is_known or STATE.is_open):
        refuse(top, "environment variables")
    if top in STATE.bentoml_users:
        refuse(top, "objects of BentoML")
    is_optional = is_tested and not is_known
    if is_optional and not STATE.is_open:
        return _varied(top, "whether {} can be imported")
    if not (_is_on(STATE.provided) or (is_optional and top in STATE.missing)):
        STATE.missing[top] = place() or STATE.place, OPTIONAL if is_optional else STAND_IN
    return not is_optional


class _Finder:
    """Provides stand-ins for modules that aren't installed. Must be the last finder in `sys.meta_path`."""

    def find_spec(self, name: str, path: Any = None, _target: Any = None) -> machinery.ModuleSpec | None:
        top = name.partition(".")[0]
        user = next(frame for frame in _frames() if "importlib" not in frame.f_code.co_filename)
        is_user = relative(user.f_code.co_filename) or user.f_globals.get("__name__", "").startswith(_FRAMEWORKS)
        is_new = path is None and is_user and _may_stand_in(top)
        return machinery.ModuleSpec(name, self) if is_new or name_of(sys.modules.get(top)) else None  # type: ignore[arg-type]

    def create_module(self, spec: machinery.ModuleSpec) -> StandIn:
        return StandIn(spec.name)

    def exec_module(self, module: StandIn) -> None: ...


def _check(*values: Any) -> tuple[Any, ...]:
    """Return `values`. Raises RejectedError if a value is a stand-in."""
    return next((refuse(name, "identity or attributes") for name in map(name_of, values) if name), values)


def _decorate(decorator: Any) -> Any:
    """Return a decorator of a method. If it is a stand-in, it returns a function that can't be called in the import."""
    if not name_of(decorator):
        return decorator

    def decorate(function: Any) -> Any:
        result = decorator(function)
        name = name_of(result)
        if not name or type(function) is not FunctionType or _TRANSPARENT.fullmatch(name):
            return function if name and type(function) is FunctionType else result
        decorated = functools.wraps(function)(lambda *_args, **_keywords: refuse(name))
        setattr(decorated, DECORATED, name)
        return decorated

    return decorate


def _get_code(self: machinery.SourceFileLoader, fullname: str) -> CodeType | None:
    """Compile a module. In modules of the project, adds checks around operations that a stand-in can't intercept."""
    path = self.get_filename(fullname)
    if not path.startswith(STATE.prefix):
        return super(machinery.SourceFileLoader, self).get_code(fullname)
    data = self.get_data(path)
    tree, texts = parse(data, path), data.splitlines()
    for node in list[Any](ast.walk(tree)):
        if isinstance(node, ast.Compare) and any(isinstance(operator, (ast.Is, ast.IsNot)) for operator in node.ops):
            node.left, *node.comparators = map(_checked, (node.left, *node.comparators))
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    decorators = method.decorator_list
                    method.decorator_list = [ast.Call(ast.Name(_DECORATE, ast.Load()), [one], []) for one in decorators]
        elif isinstance(node, ast.Match):
            node.subject = _checked(node.subject)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _OBSERVERS:
            node.args = [ast.Starred(_call_of_check(*node.args), ast.Load())]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            own = texts[node.lineno - 1 : node.end_lineno]
            STATE.provided.update([(path, node.lineno)] if any(map(PROVIDED_ELSEWHERE.search, own)) else [])
        managers = "".join(map(ast.unparse, getattr(node, "items", ())))
        is_guard = getattr(node, "handlers", ()) or "suppress" in managers
        for lines in ([STATE.guarded] if is_guard else []) + ([STATE.deferred] if "importing" in managers else []):
            lines.update((path, line) for line in range(node.body[0].lineno, node.body[-1].end_lineno + 1))
    return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


def _call_of_check(*values: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(_CHECK, ast.Load()), [*values], [])


def _checked(value: ast.expr) -> ast.expr:
    return ast.Subscript(_call_of_check(value), ast.Constant(0), ast.Load())


def _accept_limits() -> None:
    """Patch pydantic to accept stand-ins as field constraints, but to reject JSON Schemas for such fields."""
    from pydantic._internal import _known_annotated_metadata as known

    def apply_checked(annotation: Any, schema: Any, apply: Any = known.apply_known_metadata) -> Any:
        names = (*getattr(annotation, "__dict__", ()), *getattr(annotation, "__slots__", ()))
        limits: list[Any] = [value for name in names if name_of(value := getattr(annotation, name, None))]
        return limits[0].__get_pydantic_core_schema__() if limits else apply(annotation, schema)

    known.apply_known_metadata = apply_checked
