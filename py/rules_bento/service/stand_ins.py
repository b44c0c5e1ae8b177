"""Replaces third-party modules that aren't installed with stand-ins during the import of a service.

A stand-in has every attribute, and can be called, subscripted, entered, subclassed, and used as a decorator or an
annotation: the result is again a stand-in. Its value isn't known. If the project's code or BentoML uses the value, the
import fails with the line and the package. Python has no hook for `x is None` and `type(x)`, so the project's modules
are compiled with a check around them. In the second of the two imports, the answers that a stand-in can't reject
differ: metadata that depends on them also differs, and is rejected.
"""

from __future__ import annotations

import ast
import builtins
import dis
import linecache
import operator
import os
import re
import sys
from importlib import machinery

from rules_bento.dataclasses_lite import NamedTuple, dataclass, field
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, NoReturn, Sequence

if TYPE_CHECKING:
    from types import CodeType, FrameType

# Types of the annotations that BentoML describes by their names only. (NumPy is one of BentoML's own dependencies.)
_IO_TYPES = ("PIL.Image.Image", "pandas.DataFrame", "torch.Tensor")
# Modules whose names differ from the names of their packages; a package that ends in `-` is a family.
_DISTRIBUTIONS = dict(
    pair.split("=")
    for pair in (  # noqa: SIM905 - shorter
        "attr=attrs bs4=beautifulsoup4 Crypto=pycryptodome cv2=opencv- dateutil=python-dateutil docx=python-docx "
        "faiss=faiss- fitz=pymupdf jwt=pyjwt OpenSSL=pyopenssl PIL=pillow pkg_resources=setuptools serial=pyserial "
        "dotenv=python-dotenv skimage=scikit-image sklearn=scikit-learn whisper=openai-whisper yaml=pyyaml zmq=pyzmq"
    ).split()
)
# They change the environment of the process, which the code after them might read.
_WITH_EFFECTS = ("dotenv", "environs", "truststore")
# Code of libraries that handles values without regard to what they are.
_STRUCTURAL = re.compile(
    r"(_py_abc|abc|copy|dataclasses|inspect|types|typing|weakref|typing_extensions|importlib\._bootstrap(_external)?"
    r"|bentoml\._internal\.service\.loader|(pydantic|attr|typing_inspection)(\..*)?)"
)
_OPERATIONS = (
    "abs aiter anext await bool bytes ceil complex contains dir eq float floor format fspath ge gt hash index int "
    "invert ior iter le len length_hint lt ne neg next pos repr reversed round sizeof str trunc"
)
_ARITHMETIC = "add and divmod floordiv lshift matmul mod mul pow rshift sub truediv xor"
_BENTOML = ("bentoml", "_bentoml_sdk", "_bentoml_impl")
# Attributes that libraries get for values that they use.
_REFUSED = {
    "__all__": "names",
    "__pydantic_serializer__": "value",
    "__signature__": "signature",
    "__wrapped__": "signature",
}
# What libraries find in the module of a type, and what an import of a submodule looks at.
_MODULE_ATTRIBUTES: dict[str, type] = {"__dict__": dict, "__path__": list}


class Refusal(NamedTuple):
    """Describes an operation of the service, its place, and how to avoid the operation."""

    what: str
    remedy: str


class ValueNeededError(BaseException):
    """Raised when code uses the value of a stand-in."""


@dataclass()
class State:
    """State of this process."""

    prefix: str = "\0"  # of the project's files
    packages: Sequence[str] | None = ()  # that can have stand-ins; None: all that the project lacks
    outside: Sequence[str] = ()  # modules of the project that aren't among its sources
    remedy: str = ""
    place: str = ""  # where no line of the project is being run
    is_second: bool = False
    refusals: list[Refusal] = field(default_factory=list)  # what the import needed of stand-ins
    varied: list[Refusal] = field(default_factory=list)  # lines whose results differ between the two imports
    guarded: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # lines of `try` of each file
    modules: set[str] = field(default_factory=set)  # top-level ones with stand-ins
    types: dict[str, type] = field(default_factory=dict)


STATE = State()


def _result(suffix: str) -> Callable[..., StandIn]:
    """Return a method whose result is again a stand-in."""

    def result(self: StandIn, *args: Any, **kwargs: Any) -> StandIn:
        _check_unguarded(self)
        _vary_all(self, (*args, *kwargs.values()))
        return StandIn(f"{self._stand_in_name}{suffix}")

    return result


class StandIn:
    """An object of a third-party package, of which only the name is known."""

    __slots__ = ("_stand_in_name",)
    _initializing = False  # which an import of a module gets from its `__spec__`
    _stand_in_name: str

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_stand_in_name", name)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        if not _is_structural():
            refuse(self, "type")
        return StandIn

    def __getattr__(self, name: str) -> Any:
        return refuse(self, _REFUSED[name]) if name in _REFUSED else _attribute(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _vary_all(self, (value,))

    __setitem__ = __setattr__

    def __delattr__(self, *_args: object) -> None: ...

    __delitem__ = __exit__ = __delattr__
    __call__ = _result("()")
    __getitem__ = _result("[]")
    __or__ = __ror__ = _result("")
    __enter__ = _result(".__enter__()")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        if any(type(base) not in (type, StandIn, StandInType) for base in bases):
            refuse(self, "metaclass")
        return (StandInType("Base", (), {"_stand_in_name": self._stand_in_name}),)

    def __instancecheck__(self, value: Any) -> bool:
        return _varied(self) if _from_project() else self is value

    __subclasscheck__ = __instancecheck__

    def __deepcopy__(self, *_memo: Any) -> StandIn:
        return self

    __copy__ = __deepcopy__

    def __get_pydantic_core_schema__(self, *_args: Any) -> Any:
        """Return a schema of pydantic that accepts anything, and has no description."""
        return {"type": "any", "metadata": {"pydantic_js_functions": [lambda *_args: refuse(self, "schema")]}}


# Operations that libraries apply to any value, and their results.
_TOLERATED: dict[str, Callable[..., Any]] = {
    "bool": lambda _self: True,
    "eq": operator.is_,
    "ne": operator.is_not,
    "hash": id,
    **dict.fromkeys(("str", "repr", "format"), lambda self, *_spec: self._stand_in_name),
}


def _operation(name: str) -> Callable[..., Any]:
    def operation(self: Any, *args: Any) -> Any:
        if name in _TOLERATED and (_is_structural() or (name in ("hash", "eq") and _builds_type(_caller()))):
            return _TOLERATED[name](self, *args)
        return refuse(self, "value")

    return operation


setattr(StandIn, "__spec__", property(lambda self: StandIn(f"{self._stand_in_name}.__spec__")))  # noqa: B010
setattr(StandIn, "__doc__", property(lambda self: refuse(self, "docstring") if _from_project() else None))  # noqa: B010
setattr(StandIn, "__module__", property(lambda self: refuse(self, "module") if _from_project() else ""))  # noqa: B010
for _name in (*_OPERATIONS.split(), *(side + name for name in _ARITHMETIC.split() for side in ("", "r", "i"))):
    setattr(StandIn, f"__{_name}__", _operation(_name))


class StandInType(type):
    """The type of a stand-in that must be a type, because BentoML recognizes it in annotations."""

    _stand_in_name: str

    def __new__(cls, name: str, bases: tuple[Any, ...], namespace: dict[str, Any], **_keywords: Any) -> Any:
        """Return a type; for a class of the project, whose base decides about all of it, a stand-in."""
        if "_stand_in_name" in namespace:
            return super().__new__(cls, name, bases, namespace)
        return StandIn(f"{next(base._stand_in_name for base in bases if is_stand_in(base))}:{name}")

    def __getattr__(cls, name: str) -> Any:
        return _attribute(cls, name)

    def __call__(cls, *args: Any, **kwargs: Any) -> StandIn:
        """Return a stand-in for the result of the call."""
        return StandIn(cls._stand_in_name)(*args, **kwargs)

    def __setattr__(cls, name: str, value: Any) -> None: ...

    __instancecheck__ = __subclasscheck__ = StandIn.__instancecheck__


def is_stand_in(value: Any) -> bool:
    """Return whether a value is a stand-in."""
    return type(value) in (StandIn, StandInType)


def _attribute(parent: Any, name: str) -> Any:
    if name.startswith("__") and name.endswith("__"):
        if name in ("__name__", "__qualname__") and not _is_structural():
            refuse(parent, "name")
        if not _from_project():
            if name not in _MODULE_ATTRIBUTES:
                raise AttributeError(name)
            return _MODULE_ATTRIBUTES[name]()
    _check_unguarded(parent)
    path = f"{parent._stand_in_name}.{name}"
    if path not in _IO_TYPES:
        return StandIn(path)
    module = path.rpartition(".")[0]
    namespace = {"__module__": module, "__qualname__": name, "_stand_in_name": path}
    return STATE.types.setdefault(path, StandInType(name, (), namespace))


def _caller(library: str = "\0") -> FrameType:
    """Return the frame that uses a stand-in, directly or through a library."""
    frame = sys._getframe()
    own = frame.f_code.co_filename  # differs from __file__ in the packed helper
    while frame.f_back and (frame.f_code.co_filename == own or library in frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def _is_structural() -> bool:
    """Return whether a library handles a stand-in, and not to answer a question of the project."""
    frame = _caller()
    if _from_project() or not _STRUCTURAL.fullmatch(frame.f_globals.get("__name__") or ""):
        return False
    while frame.f_back and (frame.f_globals.get("__name__") == "inspect" or frame.f_code.co_name == "__eq__"):
        frame = frame.f_back
    return not relative(frame.f_code.co_filename)


def _builds_type(frame: FrameType) -> bool:
    """Return whether the instruction is `X[...]` or `X | ...`: Python 3.14 compares the types of a union in C."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] in ("BINARY_OP", "BINARY_SUBSCR")


def _from_project() -> bool:
    return bool(relative(_caller().f_code.co_filename))


def _project_frames(until: str = "") -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame and frame.f_code.co_filename != until:
        if relative(frame.f_code.co_filename):
            yield frame
        frame = frame.f_back


def place(until: str = "") -> str:
    """Return the line of the project that is being run, within frames of the file `until`; empty for none."""
    for frame in _project_frames(until):
        name = frame.f_code.co_filename
        return f"{relative(name)}:{frame.f_lineno}: {linecache.getline(name, frame.f_lineno).strip()}"
    return ""


def relative(path: str) -> str:
    """Return the path of a file of the project within its sources; empty for any other file."""
    return path.removeprefix(STATE.prefix) if path.startswith(STATE.prefix) else ""


def refuse(value: Any, what: str) -> NoReturn:
    """Record that the import needs something of a stand-in that isn't known, and end it."""
    name = value._stand_in_name
    _refuse(f"importing the service needs the {what} of {name}, but that package isn't imported", name)


def _refuse(problem: str, name: str) -> NoReturn:
    """Record a problem that importing the package of a name solves."""
    STATE.refusals.append(Refusal(f"{problem}:\n  {place() or STATE.place}", _remedy(name)))
    raise ValueNeededError(problem)


def _remedy(name: str) -> str:
    module = re.split(r"\W", name)[0]
    package = _package(module) or module
    return STATE.remedy.replace("{}", package.replace("-", "_") if "//" in STATE.remedy else package)


def _is_guarded() -> bool:
    """Return whether a line of the project handles errors of what runs now."""
    return any(
        first <= frame.f_lineno <= last
        for frame in _project_frames()
        for first, last in STATE.guarded.get(frame.f_code.co_filename, ())
    )


def _check_unguarded(value: Any) -> None:
    """Refuse what might fail in a `try` statement: which branch runs isn't known."""
    if STATE.guarded and _from_project() and _is_guarded():
        refuse(value, "presence")


def _varied(value: Any, what: str = "isinstance of {}") -> bool:
    """Return an answer that differs between the two imports."""
    name = value if type(value) is str else value._stand_in_name
    STATE.varied.append(Refusal(f"{place() or STATE.place} ({what.format(name)})", _remedy(name)))
    return STATE.is_second


def _vary_all(value: Any, arguments: Sequence[Any]) -> None:
    """Change, in the second import, the containers that the project gives to a stand-in: the package might do so."""
    for argument in arguments:
        if str(type(argument).__module__).partition(".")[0] in _BENTOML:
            refuse(value, "effect on a BentoML object")
        contents = _contents(argument)
        if contents is not None and _varied(value, "an argument of {}"):
            _clear(contents)


def _contents(value: Any) -> Any:
    """Return a container, or the attributes of an instance of a class of the project; None for other values."""
    path = getattr(sys.modules.get(str(type(value).__module__)), "__file__", None) or ""
    return getattr(value, "__dict__", None) if relative(path) else value if type(value) in (dict, list, set) else None


def _clear(contents: Any) -> None:
    """Remove the contents of a container and of nested containers."""
    items = [*(contents.values() if isinstance(contents, dict) else contents)]
    contents.clear()
    for nested in filter(None, map(_contents, items)):
        _clear(nested)


def install(**settings: Any) -> None:
    """Let imports of the project find stand-ins, and compile its modules with checks, if there are packages.

    `settings` are attributes of the `State`.
    """
    vars(STATE).update(settings)
    if STATE.packages is not None and not STATE.packages:
        return
    setattr(builtins, _CHECK, _check)
    operator.is_ = lambda one, other: bool(_check(one, other)) and one is other
    operator.is_not = lambda one, other: bool(_check(one, other)) and one is not other
    _accept_limits()
    machinery.SourceFileLoader.get_code = _get_code  # type: ignore[assignment, method-assign]
    sys.meta_path.append(Finder())


def _package(module: str) -> str:
    """Return the package that provides a top-level module; empty if none is known."""
    name = re.sub(r"[-_.]+", "-", _DISTRIBUTIONS.get(module, module)).lower()
    if STATE.packages is None:
        return name.rstrip("-")
    names = (name, f"python-{name}", f"{name}-python", f"py{name}")
    exact = [package for package in STATE.packages if package in names]
    prefixed = [package for package in STATE.packages if package.startswith(f"{name.rstrip('-')}-")]
    return (exact or sorted(prefixed) or [""])[0]


def _may_stand_in(top: str) -> bool:
    """Return whether a top-level module that the project imports can have a stand-in."""
    is_own = any(os.path.lexists(f"{STATE.prefix}{top}{suffix}") for suffix in ("", ".py"))
    if is_own or top in sys.modules or top in sys.stdlib_module_names or top in STATE.outside:
        return False
    package = _package(top)
    if top in _WITH_EFFECTS and package:
        _refuse(f"importing {top} can change environment variables", top)
    if _is_guarded() and not (STATE.packages and package):
        return _varied(top, "whether {} can be imported")
    return bool(package)


class Finder:
    """Finds stand-ins for the modules of packages that aren't imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> machinery.ModuleSpec | None:
        """Find a stand-in for a module that no other finder has."""
        top = name.partition(".")[0]
        if top not in STATE.modules:
            if path is not None or not relative(_caller("importlib").f_code.co_filename) or not _may_stand_in(top):
                return None
            STATE.modules.add(top)
        return machinery.ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: machinery.ModuleSpec) -> StandIn:
        """Create the stand-in for a module."""
        return StandIn(spec.name)

    def exec_module(self, module: StandIn) -> None:
        """Run nothing."""


_CHECK = "_rules_bento_check"  # the name of `_check` for the project's code
_OBSERVERS = ("callable", "getattr", "hasattr", "id", "type", "vars")


def _check(*values: Any) -> tuple[Any, ...]:
    """Return the values, if none of them is a stand-in."""
    return next((refuse(value, "identity or attributes") for value in values if is_stand_in(value)), values)


_get_library_code = machinery.SourceFileLoader.get_code


def _get_code(self: machinery.SourceFileLoader, fullname: str) -> CodeType | None:
    """Compile a module of the project with checks of operations that Python has no hook for."""
    path = self.get_filename(fullname)
    if not path.startswith(STATE.prefix):
        return _get_library_code(self, fullname)
    tree = ast.parse(self.get_data(path), path)
    guards: list[Any] = [node for node in ast.walk(tree) if _handles_errors(node)]
    STATE.guarded[path] = [(node.body[0].lineno, node.body[-1].end_lineno) for node in guards]
    return compile(ast.fix_missing_locations(_Checks().visit(tree)), path, "exec", dont_inherit=True)


def _handles_errors(node: ast.AST) -> bool:
    """Return whether a statement handles errors of its body: `try` with handlers, or `with suppress(...)`."""
    return bool(getattr(node, "handlers", ())) or "suppress" in "".join(map(ast.unparse, getattr(node, "items", ())))


class _Checks(ast.NodeTransformer):
    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if any(isinstance(operator, (ast.Is, ast.IsNot)) for operator in node.ops):
            node.left = _checked(node.left)
            node.comparators = [_checked(value) for value in node.comparators]
        return node

    def visit_Match(self, node: ast.Match) -> ast.AST:
        self.generic_visit(node)
        node.subject = _checked(node.subject)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in _OBSERVERS:
            node.args = [ast.copy_location(ast.Starred(_call_of_check(*node.args), ast.Load()), node)]
        return node


def _call_of_check(*values: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(_CHECK, ast.Load()), [*values], [])


def _checked(value: ast.expr) -> ast.expr:
    return ast.copy_location(ast.Subscript(_call_of_check(value), ast.Constant(0), ast.Load()), value)


def _accept_limits() -> None:
    """Let pydantic take a stand-in as a limit of a field, and describe no field that has one."""
    from pydantic._internal import _known_annotated_metadata as known

    apply = known.apply_known_metadata

    def apply_checked(annotation: Any, schema: Any) -> Any:
        names = (*getattr(annotation, "__dict__", ()), *getattr(annotation, "__slots__", ()))
        limits: list[Any] = [value for name in names if is_stand_in(value := getattr(annotation, name, None))]
        return limits[0].__get_pydantic_core_schema__() if limits else apply(annotation, schema)

    known.apply_known_metadata = apply_checked
