"""Decides which functions, methods, and lambdas an import runs: those that running code uses by any name.

The body of a class runs like the code of a module, so a function in the body runs if the body mentions it. A method
runs only if its class is used: if the class is called, passed on, or gets another name. An annotation, a base class,
or an import alone doesn't use a class, but might run methods in `_HOOKS`. If creating a class runs code of a base class
or metaclass, the class is used, because this code can do anything with the class.
"""

from __future__ import annotations

import ast
import re
from functools import partial

from rules_bento.service.modules import FUNCTIONS, Module
from rules_bento.service.scopes import Scopes, chain
from rules_bento.service.sdk_names import words
from rules_bento.typing_lite import Callable, Mapping

# The methods in these tables run although no code mentions them. Sources: "Data model" and the modules `abc`, `enum`,
# `functools`, and `typing` in the documentation of Python; "Models", "Custom types", and "Configuration" in the
# documentation of pydantic; `attrs.define` in the documentation of attrs.

# Names in the body of a class, by the event that runs the methods. Subclasses inherit the events.
_HOOKS = {
    # A subclass is created. `__pydantic_on_complete__` also runs for the class itself.
    "subclass": words("__attrs_init_subclass__ __init_subclass__ __pydantic_init_subclass__ __pydantic_on_complete__"),
    # A class of this metaclass is created, assigned in the body of another class, or deleted.
    "metaclass": words("__del__ __init__ __new__ __prepare__ __set_name__ mro"),
    # A class is created, and this is the metaclass of its metaclass.
    "call": words("__call__"),
    # A class of this metaclass is in an annotation, or a library creates or decorates the class.
    "lookup": words(
        "__bool__ __delattr__ __eq__ __ge__ __getattr__ __getattribute__ __gt__ __hash__ __le__ __len__ __lt__ __ne__ "
        "__repr__ __setattr__ __str__"
    ),
    # A class of this metaclass is an operand in an annotation, or in the expression of a base class.
    "operator": words(
        "__add__ __and__ __divmod__ __floordiv__ __getitem__ __lshift__ __matmul__ __missing__ __mod__ __mul__ __or__ "
        "__pow__ __radd__ __rand__ __rdivmod__ __rfloordiv__ __rlshift__ __rmatmul__ __rmod__ __rmul__ __ror__ "
        "__rpow__ __rrshift__ __rshift__ __rsub__ __rtruediv__ __rxor__ __sub__ __truediv__ __xor__"
    ),
    # `isinstance` or `issubclass` checks a base class, which asks the subclasses.
    "check": words("__instancecheck__ __subclasscheck__ __subclasshook__"),
    # The class is in an annotation, or pydantic completes it.
    "schema": words(
        "__annotate__ __class_getitem__ __get_pydantic_core_schema__ __get_pydantic_json_schema__ __get_validators__ "
        "__modify_schema__ model_parametrized_name"
    ),
}
# Ways to mention a class without using it, and the methods of the metaclass that run.
_MENTIONS = {"annotated": "lookup", "operand": "operator", "checked": "check"}
# The events of a metaclass that are events of its classes.
_OF_METACLASS = {"call": "metaclass", "enum": "enum", "foreign": "foreign"}
_OF_METACLASS |= {name: f"typed {name}" for name in _MENTIONS.values()}
_INHERITED = (*_HOOKS, *_OF_METACLASS.values(), "escaped", "managed", "modeled")

# Class decorators of libraries that make objects from data, if a field has the class as its type.
_RECORDS = words(
    "attr.attrs attr.dataclass attr.define attr.frozen attr.mutable attr.s attrs.define attrs.frozen attrs.mutable "
    "dataclasses.dataclass pydantic.dataclasses.dataclass"
)
# Packages whose classes aren't made from data.
_NOT_MODELS = words(
    "abc asyncio collections contextlib enum fastapi keras lightning logging pytorch_lightning sklearn starlette "
    "tensorflow threading torch transformers typing typing_extensions"
)
# Decorators of methods that a library calls for an object, and of functions that make objects from data.
_VALIDATORS = words("computed_field field_validator model_validator root_validator validator")
# Decorators of methods that a library calls if it serializes an object, and attributes that do so.
_SERIALIZERS = words("field_serializer model_serializer")
_DUMPS = words("dict json model_dump model_dump_json")
_VALIDATED = words("pydantic.validate_arguments pydantic.validate_call")
# Names that lead from a class or function to the classes in its annotations.
_REFLECTION = words("__annotations__ get_annotations get_type_hints")
_FIELDS_OF = words("attr.fields attr.fields_dict attrs.fields attrs.fields_dict dataclasses.fields")
# Packages that make objects of the classes in annotations.
_CONTAINERS = words("dependency_injector dishka fast_depends injector kink lagom punq svcs wireup")
_NOT_SPECIAL = words("__doc__ __module__ __slots__")
# Class decorators that don't make objects.
_PASSIVE = _RECORDS | words(
    "enum.unique functools.total_ordering typing.final typing.runtime_checkable typing_extensions.final "
    "typing_extensions.runtime_checkable"
)
# Functions that keep a function or class, without calling it. Factories are called if an object of the class is made.
_KEEPERS = words("bentoml.depends bentoml.Dependency fastapi.Depends fastapi.Security fastapi.param_functions.Depends")
_FIELDS = words("attr.field attr.ib attrs.field dataclasses.field pydantic.Field pydantic.fields.Field")
_FACTORIES = ("default_factory", "factory")
_APPLICATIONS = words("fastapi.FastAPI fastapi.applications.FastAPI starlette.applications.Starlette")
_SCHEMAS = "pydantic_core.core_schema."
# Functions that make a method of a function.
_WRAPPERS = words("classmethod functools.cached_property functools.partialmethod property staticmethod")
_COLLECTIONS = (ast.Dict, ast.List, ast.Set, ast.Tuple)
_KNOWN = _HOOKS["check"] | _HOOKS["schema"]  # that a library doesn't call to create a class
_ENUMERATION = re.compile(r"enum\..*|.*(Choices|Enum|Flag)")


class DeferredCode:
    """Registers code that waits for an event, and runs the code as soon as the event occurs.

    An event is the name of a function or class that is used, or one of the following:

    - `body K f`: the body of class K mentions `f`. `.f`: code mentions the attribute `f`.
    - A key of `_HOOKS` and K: K has such a method. `typed`: the metaclass of K has such a method.
    - A key of `_MENTIONS` and K: code or a library mentions K in this way.
    - `enum K`: K is an enumeration. `foreign K`: a library creates K. `managed K`: it might call items of dicts in K.
    - `modeled K`: libraries make objects of K.
    - `field K`: K is the type of a field of an object that exists. `live K`: a library might have made an object of K.
    - `given K`: K is the model of the Bento's arguments. `dumped K`: a library might serialize objects of K.
    - `escaped K`: a special method of K runs, and might call its other methods.
    - `validated f`, `registered f`: decorators use the annotations of the function `f`.
    - `assigned f`: an attribute of an object is assigned.
    - `each annotation`, `each field`: code reads the annotations of functions and classes, or of the bodies of classes.

    `suspects` contains the names that only words of files in `others` use, if code runs because of these words.
    """

    def __init__(self, scopes: Scopes, others: frozenset[bytes], run: Callable[[Module, ast.AST], None]) -> None:
        self.suspects: set[bytes] = set()
        self._scopes = scopes
        self._others = others
        self._run = run
        self._used: dict[str, bytes] = {}  # with the suspect that caused the event, or b""
        self._todo: list[tuple[str, bytes]] = []
        self._suspect = b""
        self._is_running = False
        self._started: set[ast.AST] = set()
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._links: dict[str, set[str]] = {}
        for name in _REFLECTION:
            self.link(f".{name}", name)
            self.link(name, "each annotation")
            self._check_others(name)
        for name in _DUMPS:
            self.link(f".{name}", "dump")
        self.link("each annotation", "each field")
        self.link(".model_fields", "each field")
        self._check_others("model_fields", ".model_fields")
        self._when("fields of", partial(self._wait_for_attribute, "type", partial(self.use, "each field")))
        self._check_others("fields", "fields of")

    def use(self, *events: str) -> None:
        """Mark events, and the events that they cause, as occurred. Runs the code that waits for these events."""
        self._todo += [(event, self._suspect) for event in events]
        if self._is_running:
            return
        self._is_running, before = True, self._suspect
        while self._todo:
            event, self._suspect = self._todo.pop()
            if event not in self._used:
                self._used[event] = self._suspect
                self._todo += [(each, self._suspect) for each in sorted(self._links.pop(event, ()))]
                for action in self._waiting.pop(event, ()):
                    action()
        self._is_running, self._suspect = False, before

    def link(self, event: str, *others: str) -> None:
        """Mark `others` as occurred if `event` occurs, now or later."""
        if event in self._used:
            self._act(self._used[event], partial(self.use, *others))
        else:
            self._links.setdefault(event, set()).update(others)

    def rename(self, name: str, alias: str) -> None:
        """Register another name of a function or class of the sources."""
        self.link(alias, name)
        self._check_others(name, f"assigned {alias}")
        for kind in (*_MENTIONS, "bare", "field", "given"):
            self.link(f"{kind} {alias}", f"{kind} {name}")
        for kind in _INHERITED:
            self.link(f"{kind} {name}", f"{kind} {alias}")

    def _when(self, event: str, action: Callable[[], None]) -> None:
        """Run `action` if `event` occurs, now or later."""
        if event in self._used:
            self._act(self._used[event], action)
        else:
            self._waiting.setdefault(event, []).append(action)

    def _act(self, suspect: bytes, action: Callable[[], None]) -> None:
        before, self._suspect = self._suspect, suspect or self._suspect
        action()
        self._suspect = before

    def _start(self, module: Module, node: ast.AST) -> None:
        if node not in self._started:
            self._started.add(node)
            self.suspects |= {self._suspect} - {b""}
            self._run(module, node)

    def _check_others(self, name: str, event: str = "") -> None:
        if name.encode() in self._others:
            self._act(name.encode(), partial(self.use, event or name))

    # Classes

    def add_class(self, module: Module, node: ast.ClassDef) -> None:
        """Register a class. The class is used if a decorator, a base class, or a metaclass might use it."""
        name, owner = node.name, self._scopes.owner(node)
        self._check_others(name)
        if owner:
            self.link(f"given {owner.name}", name)
            self.use(f"annotated {name}")  # a library might look up the attributes of the other class
        self._add_events(name, self._scopes.bindings(node))
        for base in node.bases:
            self._add_base(module, node, base)
        for keyword in node.keywords:
            if keyword.arg == "metaclass":
                self._add_metaclass(module, node, keyword.value)
            elif keyword.arg is None:
                self.use(name)
        kinds = self._scopes.decorators(module, node)
        if "bentoml.service" not in kinds and not _PASSIVE.issuperset(kinds):
            self.use(name)
        if kinds:
            self.use(f"foreign {name}")
        if not _RECORDS.isdisjoint(kinds):
            self.use(f"modeled {name}")
        if "pydantic.dataclasses.dataclass" in kinds:
            self.use(f"managed {name}")

    def _add_events(self, name: str, bound: Mapping[str, object]) -> None:
        """Register the events of a class whose body binds the names `bound`."""
        for kind, names in _HOOKS.items():
            if not names.isdisjoint(bound):
                self.use(f"{kind} {name}")
        self.link(name, f"given {name}", f"dumped {name}")
        self.link(f"given {name}", f"live {name}")
        self._when(f"given {name}", partial(self.link, "dump", f"dumped {name}"))
        self.link(f"enum {name}", f"live {name}")
        self.link(f"schema {name}", f"escaped {name}", f"modeled {name}")
        self.link(f"foreign {name}", f"annotated {name}")
        if any(map(_is_special, bound)):
            self.link(f"live {name}", f"escaped {name}")
        self._when(f"modeled {name}", partial(self.link, f"field {name}", f"live {name}"))
        for mention, kind in _MENTIONS.items():
            self._when(f"typed {kind} {name}", partial(self.link, f"{mention} {name}", name))
        self._when(f"subclass {name}", partial(self.link, f"operand {name}", name))  # `K[int]` can create a subclass
        self._when(f"check {name}", partial(self.link, f"checked {name}", name))

    def _add_base(self, module: Module, node: ast.ClassDef, base: ast.expr) -> None:
        name, known = node.name, self._add_creator(module, node, base)
        self.link(name, known)
        self.link(f"subclass {known}", known, name)
        for kind in _INHERITED:
            self.link(f"{kind} {known}", f"{kind} {name}")
        for kind in ("dumped", "escaped", "given", "live"):
            self.link(f"{kind} {name}", f"{kind} {known}")
        for event in (known, f"checked {known}"):
            self.link(event, f"checked {name}")
        for path in self._scopes.sources_of(module, base):
            package, _, last = path.partition(".")
            is_model = package not in _NOT_MODELS or last in ("NamedTuple", "TypedDict")
            self.use(f"foreign {name}", *[f"managed {name}", f"modeled {name}"] if is_model else [])
            self.use(*[] if package in ("abc", "typing", "typing_extensions") else [f"checked {name}"])
        for owner in self._settings_of(node):
            self._when(f"managed {owner}", partial(self.use, known))

    def _add_metaclass(self, module: Module, node: ast.ClassDef, metaclass: ast.expr) -> None:
        name, known = node.name, self._add_creator(module, node, metaclass)
        self.link(f"given {name}", known)
        self.link(f"metaclass {known}", known, name, f"subclass {name}")
        for kind, own in _OF_METACLASS.items():
            self.link(f"{kind} {known}", f"{own} {name}")
        if self._scopes.sources_of(module, metaclass):
            self.use(f"foreign {name}")

    def _add_creator(self, module: Module, node: ast.ClassDef, creator: ast.expr) -> str:
        """Register a base class or metaclass, and return the last part of its name, or "" for other expressions."""
        sources = self._scopes.sources_of(module, creator)
        if any(map(_ENUMERATION.fullmatch, sources)):
            self.use(f"enum {node.name}")
        while isinstance(creator, ast.Subscript):
            creator = creator.value
        if isinstance(creator, ast.Call) and sources and self._scopes.is_foreign(module, creator, node):
            return "object"  # such as `namedtuple("K", "a b")`
        attributes, root = chain(creator)
        names = [*([root.id] if isinstance(root, ast.Name) else []), *attributes]
        if not self._scopes.is_class(module, creator, node):
            self.use(node.name, *names)
            for name in names if names and self._scopes.is_owned(module, names[0]) else ():
                self._check_others(name, f"assigned {name}")
        for name in attributes:
            self.link(f"assigned {name}", node.name, *names)
        return names[-1] if names else ""

    def _settings_of(self, node: ast.ClassDef) -> list[str]:
        """Return the class that has the class `Config` in its body, whose functions pydantic calls, or []."""
        owner = self._scopes.owner(node)
        return [owner.name] if owner and node.name == "Config" else []

    # Functions

    def add_decorators(self, module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Register the effects of decorators on the classes in the annotations of a function."""
        if not _VALIDATED.isdisjoint(self._scopes.decorators(module, node)):
            self.link(node.name, f"validated {node.name}")
        if any(getattr(each, "attr", "") == "register" for each in node.decorator_list):  # of `singledispatch`
            self.use(f"registered {node.name}")

    def add_function(self, module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef, kinds: list[str]) -> None:
        """Register a function whose decorators `kinds` don't call it."""
        is_kept = any(each.rpartition(".")[2] in _VALIDATORS for each in kinds)
        is_serializer = any(each.rpartition(".")[2] in _SERIALIZERS for each in kinds)
        owner = self._scopes.owner(node)
        if owner and is_kept:
            self.link(f"live {owner.name}", f"escaped {owner.name}")
        if owner and "property" in kinds:
            self.use(f"operator {owner.name}")  # an annotation can read an attribute of a class
        if "property" in kinds and "classmethod" in kinds:
            self._start(module, node)
        if owner and "classmethod" in kinds and node.name.startswith("__") and node.name not in _KNOWN:
            self._when(f"modeled {owner.name}", partial(self.use, owner.name))  # as `__pydantic_on_complete__`
        if owner and is_serializer:
            return self._when(f"dumped {owner.name}", partial(self._start, module, node))
        return self._add(module, node, node.name, is_special=is_kept or _is_special(node.name))

    def add_lambda(self, module: Module, node: ast.Lambda) -> None:
        """Register a lambda. Runs it unless it is the value of a name, or of a field that has a factory."""
        names, is_item = self._assigned(module, node)
        maker, owner = self._maker(module, node), self._scopes.owner(node)
        if len(names) == 1 or (names and owner):
            for name in names:
                self._add(module, node, name, is_special=_is_special(name), is_item=is_item)
        elif maker:
            self._when(f"live {maker.name}", partial(self._start, module, node))
        else:
            self._start(module, node)

    def _add(self, module: Module, node: ast.AST, name: str, *, is_special: bool, is_item: bool = False) -> None:
        """Register a function or lambda that has a name in a module, class, or function."""
        owner, start = self._scopes.owner(node), partial(self._start, module, node)
        if (
            owner is None
            or "bentoml.service" in self._scopes.decorators(module, owner)
            or name not in self._scopes.bindings(owner)
        ):
            self._check_others(name)
            self._when(name, start)
        else:
            self._when(f"given {owner.name}", start)
            self._bind(owner, name, start, is_special=is_special, is_item=is_item)

    def _bind(
        self, owner: ast.ClassDef, name: str, start: Callable[[], None], *, is_special: bool, is_item: bool
    ) -> None:
        """Call `start` if code calls the attribute `name` of a class that isn't used, or items of the attribute."""
        if name in _HOOKS["schema"]:
            start()
        for each in [owner.name] if is_item else self._settings_of(owner):
            self._when(f"managed {each}", start)
        self._when(f"body {owner.name} {name}", start)
        later = start if is_special else partial(self._wait_for_attribute, name, start)
        self._when(f"{'live' if is_special else 'escaped'} {owner.name}", later)

    def _assigned(self, module: Module, node: ast.AST) -> tuple[list[str], bool]:
        """Return the names whose value is a function, or contains it, and whether it is an item of a dict."""
        around, is_item = self._scopes.parent(node), False
        while around and (isinstance(around, (*_COLLECTIONS, ast.keyword)) or self._is_wrapper(module, around, node)):
            is_item |= isinstance(around, ast.Dict)
            node, around = around, self._scopes.parent(around)
        targets = around.targets if isinstance(around, ast.Assign) else [getattr(around, "target", None)]
        is_value = isinstance(around, (ast.Assign, ast.AnnAssign)) and around.value is node
        roots = [
            each.value if isinstance(each, ast.Subscript) and self._scopes.owner(around) else each
            for each in targets
            if around
        ]
        names = [each.id for each in roots if isinstance(each, ast.Name)]
        return (names if is_value and len(names) == len(targets) else []), is_item

    def _is_wrapper(self, module: Module, call: ast.AST | None, node: ast.AST) -> bool:
        """Return whether a call makes a method of `node` without calling `node`."""
        if not isinstance(call, ast.Call) or call.func is node:
            return False
        return self._scopes.known(module, call.func, call) in _WRAPPERS

    def _wait_for_attribute(self, name: str, start: Callable[[], None]) -> None:
        self._check_others(name, f".{name}")
        self.link("hasattr", f".{name}")
        self._when(f".{name}", start)

    # Uses

    def mention(self, module: Module, node: ast.expr, root: str, attributes: list[str]) -> None:
        """Register a name `root`, attributes of it such as `lib.values.LABELS`, or of an object if `root` is empty."""
        names, owner = [*([root] if root else []), *attributes], self._scopes.owner(node)
        library = self._scopes.outside(module, node, node)
        is_load = isinstance(getattr(node, "ctx", None), ast.Load)
        body = [f"body {owner.name} {root}"] if owner and root and (is_load or attributes) else []
        body = [] if owner and body and self._is_alias(module, owner, node) else body
        for path in self._scopes.sources_of(module, node):
            if path in _FIELDS_OF:
                self.use("fields of")
            if path.partition(".")[0] in _CONTAINERS:
                self.use("each annotation")
        if not is_load:
            self._assign(module, node, names.pop())  # this doesn't call the function that has the name
        if is_load and self._is_base(node):
            self.mention_class(names, is_operand=isinstance(self._scopes.parent(node), ast.Subscript))
            return self.use(*body)
        events = [*names, *body, *(f".{each}" for each in attributes if not library)]
        events += [f"bare {root}"] if is_load and root and not attributes else []
        call = self._argument_of(node)[1]
        if call and self._scopes.outside(module, call.func, call) == "bentoml.use_arguments":
            around = self._scopes.parent(call)
            is_global = isinstance(around, (ast.Assign, ast.AnnAssign)) and not [*self._scopes.around(node)]
            return self.use(*(f"given {each}" for each in names), *[] if is_global else ["dump"])
        maker = self._maker(module, node)
        if maker:
            return self.link(f"live {maker.name}", *events)
        if self._is_kept(module, node):
            return self.mention_class(names, is_operand=False)
        return self.use(*events)

    def _is_alias(self, module: Module, owner: ast.ClassDef, node: ast.expr) -> bool:
        """Return whether the body of a class only gives a function another name, as in `__radd__ = __add__`."""
        around = self._scopes.parent(node)
        if not isinstance(node, ast.Name):
            return False
        if isinstance(around, ast.Subscript) and around.value is node and isinstance(around.ctx, ast.Store):
            return node.id in self._scopes.bindings(owner)
        names, is_item = self._assigned(module, node)
        if not names or not self._scopes.bindings(owner).keys() >= {*names}:
            return False
        for name in names:
            start = partial(self.use, f"body {owner.name} {node.id}")
            self._bind(owner, name, start, is_special=_is_special(name), is_item=is_item)
        return True

    def annotate(self, module: Module, node: ast.expr, names: list[str]) -> None:
        """Register a name or a chain of attributes, or the words of a string, in an annotation."""
        around = self._scopes.parent(node)
        is_operand = isinstance(around, ast.BinOp) or (isinstance(around, ast.Subscript) and around.value is node)
        self.mention_class(names, is_operand=is_operand or isinstance(node, ast.Constant))
        self.link("each annotation", *names)
        while around and not isinstance(around, ast.stmt):
            around = self._scopes.parent(around)
        owner = self._scopes.owner(around) if around else None
        fields = [f"field {each}" for each in names]
        if isinstance(around, FUNCTIONS):
            self.link(f"validated {around.name}", *fields)
            self.link(f"registered {around.name}", *(f"checked {each}" for each in names))
        elif owner:
            self.link("each field", *names)
            if owner.bases or owner.decorator_list:
                self.link(f"live {owner.name}", *fields, *(f"checked {each}" for each in names))
                self.link(f"dumped {owner.name}", *(f"dumped {each}" for each in names))

    def mention_class(self, names: list[str], *, is_operand: bool) -> None:
        """Register names of classes that code mentions without using the classes."""
        self.use(*(f"annotated {each}" for each in names))
        self.use(*(f"operand {each}" for each in (names if is_operand else names[:-1])))

    def _assign(self, module: Module, node: ast.expr, name: str) -> None:
        value = getattr(self._scopes.parent(node), "value", None)
        if isinstance(node, ast.Attribute):
            self.use(f"assigned {name}")
        if isinstance(value, ast.Call) and self._scopes.outside(module, value.func, node) == "bentoml.use_arguments":
            self.link(f"bare {name}", "dump")  # code might serialize the arguments

    def _is_base(self, node: ast.AST) -> bool:
        around = self._scopes.parent(node)
        while isinstance(around, ast.Subscript) and around.value is node:
            node, around = around, self._scopes.parent(around)
        if isinstance(around, ast.keyword):
            return around.arg == "metaclass" and isinstance(self._scopes.parent(around), ast.ClassDef)
        return isinstance(around, ast.ClassDef) and getattr(node, "lineno", 0) >= around.lineno  # after decorators

    def _is_kept(self, module: Module, node: ast.AST) -> bool:
        keyword, call = self._argument_of(node)
        maker = self._scopes.outside(module, call.func, call) if call else ""
        return maker in _KEEPERS or (maker in _APPLICATIONS and keyword == "lifespan")

    def _maker(self, module: Module, node: ast.AST) -> ast.ClassDef | None:
        """Return the class whose objects call a function, which a field or a validator of pydantic keeps."""
        keyword, call = self._argument_of(node)
        keeper = self._scopes.outside(module, call.func, call) if call else ""
        if keyword in _FACTORIES and keeper in _FIELDS:
            return self._scopes.owner(node)
        scopes = [*self._scopes.around(node)]
        classes = [each for each in scopes if isinstance(each, ast.ClassDef)]
        is_yielded = isinstance(self._scopes.parent(node), ast.Yield)
        is_schema = is_yielded and getattr([*scopes, None][0], "name", "") == "__get_validators__"
        return classes[0] if classes and (is_schema or keeper.startswith(_SCHEMAS)) else None

    def _argument_of(self, node: ast.AST) -> tuple[str, ast.Call | None]:
        """Return the call that has `node` as an argument, or None, and the name of the keyword."""
        around, keyword = self._scopes.parent(node), ""
        if isinstance(around, ast.keyword):
            keyword, around = around.arg or "", self._scopes.parent(around)
        return keyword, around if isinstance(around, ast.Call) and around.func is not node else None


def _is_special(name: str) -> bool:
    """Return whether Python or a library calls a method by its name, as it calls `__init__` or `_missing_`."""
    return name == "model_post_init" or (name.startswith("_") and name.endswith("_") and name not in _NOT_SPECIAL)
