"""Defines the values that an expression can have when it is evaluated without running it.

Values that Python can change after they are made (lists, dicts, classes, images, services) are objects
with an identity here too, so that a change is seen through every name. A change that may or may not
happen *spoils* the object: from then on it is `Opaque`.
"""

from __future__ import annotations

from rules_bento.records import dataclass, field
from rules_bento.service.python.budget import check_growth, check_items, check_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Callable


@dataclass(frozen=True)
class Place:
    """Names a line of a file in src/."""

    path: str
    line: int


class Value:
    """Stands for anything that an expression can evaluate to."""


@dataclass(eq=False)
class Const(Value):
    """Holds a literal, or the result of plain operations on literals."""

    value: object

    def __post_init__(self) -> None:
        """Check the size of the value."""
        check_text(self.value)


@dataclass(eq=False)
class Opaque(Value):
    """Stands for a value that is known only when the code runs.

    Attributes:
        why: a clause that says so: "`os.environ.get` is known only when the code runs".
        place: where.
        inert: it is no BentoML object for certain.
        opens: its items, attributes or calls may give one all the same.
        parts: what it may be, to tell what a change of it changes.
        origin: the outside name it was made from, to tell what may change its arguments.

    """

    why: str
    place: Place
    inert: bool = False
    origin: str = ""
    opens: bool = False
    parts: tuple[Value, ...] = ()


@dataclass(eq=False)
class Lazy(Value):
    """Stands for a name of a module of the sources, which is read when it is needed."""

    module: str
    name: str
    place: Place


@dataclass(eq=False)
class ModuleRef(Value):
    """Stands for a module of the sources."""

    name: str


@dataclass(eq=False)
class Symbol(Value):
    """Stands for a name from outside the sources; BentoML's names have their public spelling."""

    dotted: str


@dataclass(eq=False)
class Mutable(Value):
    """Stands for a value that can change; `spoiled` says since when it cannot be followed."""

    spoiled: Opaque | None = field(default=None, init=False)
    born: int = field(default=0, init=False)


@dataclass(eq=False)
class Sequence(Mutable):
    """Holds the items of a list, tuple or set; `kind` says of which."""

    items: list[Value]
    kind: str = "list"

    def __post_init__(self) -> None:
        """Check the number of items."""
        check_items(self.items)

    def grow(self, items: list[Value]) -> None:
        """Add items at the end. Raises TooLargeError where there would be too many."""
        check_growth(self.items, len(items))
        self.items += items


@dataclass(eq=False)
class Dict(Mutable):
    """Holds the items of a dict whose keys are plain."""

    items: dict[object, Value]

    def __post_init__(self) -> None:
        """Check the number of items."""
        check_items(self.items)

    def grow(self, items: dict[object, Value]) -> None:
        """Set items. Raises TooLargeError where there would be too many."""
        check_growth(self.items, len(items))
        self.items.update(items)


@dataclass(eq=False)
class Function(Value):
    """Holds a function of the sources; `scope` is where it was defined, `defaults` and `keywords` its defaults."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: object
    place: Place
    name: str
    defaults: list[Value]
    keywords: list[Value | None]


@dataclass(eq=False)
class Wrapped(Value):
    """Holds a function in `staticmethod` or `classmethod`."""

    kind: str
    inner: Value


@dataclass(eq=False)
class Class(Mutable):
    """Holds a class of the sources, with the attributes of its own body."""

    name: str
    bases: list[Value]
    attributes: dict[str, Value]
    place: Place
    # What else may add attributes: a metaclass, an unread keyword.
    extended: Opaque | None = None
    metaclass: Value | None = None
    # Attributes that were set when it was made already.
    assigned: set[str] = field(default_factory=set)
    annotations: dict[str, ast.expr] = field(default_factory=dict)


@dataclass(eq=False)
class Instance(Value):
    """Stands for an instance of a class of the sources, or a member of an enumeration (its name and value).

    `given` is what it was made with and what was assigned to it: it may call that and change it.
    """

    of: Class
    plain: bool
    member: tuple[str, Value] | None = None
    given: list[Value] = field(default_factory=list)


@dataclass(eq=False)
class Arguments(Mutable):
    """Holds what `bentoml.use_arguments` gives: the arguments of the Bento by name, or the fields of their model."""

    fields: dict[str, Value]
    place: Place
    model: Class | None = None


@dataclass(eq=False)
class ModelField(Opaque):
    """Stands for the result of `pydantic.Field`, whose first argument a field has that is not given another value.

    `checked` says that a value which is given has to hold conditions.
    """

    default: Value | None = None
    checked: bool = False


@dataclass(eq=False)
class Bound(Value):
    """Stands for a method bound to a value, about to be called."""

    owner: Value
    name: str


@dataclass(eq=False)
class Names(Value):
    """Stands for what `globals()`, `locals()` or `vars()` gives: the names of a `Scope` as a dict."""

    scope: object


@dataclass(eq=False)
class Partial(Value):
    """Stands for a call that waits for more arguments: a decorator's, or that of a `functools.partial` of `parts`."""

    apply: Callable[[list[Value], dict[str, Value]], Value]
    parts: tuple[Value, ...] = ()


@dataclass(eq=False)
class ModelRef(Value):
    """Stands for a `BentoModel`, a stored model, or a `HuggingFaceModel` (then `fields` has its arguments).

    `stored` is set for what `bentoml.models.get` gives; `framework` for what a framework's `get` gives.
    """

    tag: Value | None
    place: Place
    fields: dict[str, Value] | None = None
    stored: bool = False
    framework: str = ""


@dataclass(eq=False)
class DependsOn(Value):
    """Stands for the value of `bentoml.depends(…)`."""

    fields: dict[str, Value]
    place: Place


@dataclass(eq=False)
class Endpoint(Value):
    """Stands for a `@bentoml.api` or `@bentoml.task` method."""

    fields: dict[str, Value]
    is_task: bool
    is_stream: Value
    place: Place


@dataclass(eq=False)
class ImageSpec(Mutable):
    """Holds a `bentoml.images.Image`, with the calls on it so far."""

    arguments: dict[str, Value]
    place: Place
    calls: list[tuple[str, list[Value]]] = field(default_factory=list)


@dataclass(eq=False)
class AsgiApp(Mutable):
    """Holds a Starlette or FastAPI application, with the routes added so far."""

    routes: list[Value]
    place: Place


@dataclass(eq=False)
class AsgiRoute(Value):
    """Holds a route of such an application; `app` is the application that it mounts."""

    path: Value
    app: Value | None


@dataclass(eq=False)
class Mounted(Value):
    """Holds an application that is mounted at a path of a service."""

    app: Value
    path: Value
    name: Value
    kind: str
    place: Place


@dataclass(eq=False)
class ServiceObject(Mutable):
    """Holds a new-style service: the decorator's arguments, and the class's attributes at that moment.

    Attributes:
        fields: `name`, `description`, `path_prefix`, `envs`, `labels`, `image`, `cmd`.
        config: the remaining keyword arguments.
        members: attribute -> value, in the order of `dir()`.
        open_ended: why there may be more members than these.
        uncertain: why it may be no service at all.

    """

    variable: str
    inner: Value
    fields: dict[str, Value]
    config: Dict
    members: dict[str, Value]
    open_ended: list[Opaque]
    mounts: list[Value]
    place: Place
    uncertain: Opaque | None = None


@dataclass(eq=False)
class Refused(Value):
    """Stands for something at which BentoML's import fails: what it is, and what to write instead."""

    what: str
    remedy: str
    place: Place


@dataclass(eq=False)
class RunnerObject(Value):
    """Stands for the value of a legacy runner."""

    fields: dict[str, Value]
    place: Place


@dataclass(eq=False)
class LegacyService(Mutable):
    """Holds a `bentoml.legacy.Service` with the APIs defined on it so far."""

    name: Value
    runners: Value
    models: Value
    place: Place
    apis: list[dict[str, Value]] = field(default_factory=list)
    mounts: list[Value] = field(default_factory=list)
