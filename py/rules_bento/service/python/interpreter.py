"""Reads statements: what each one binds, without running it.

Module by module, class body by class body, in Python's order. Where the way through the code is not
plain (`if` on the environment, `try`), every way is read and `joins` keeps what they agree on; what a
loop touches is given up. Modules are read only when one of their names is needed, or all of them in
Python's order where one may change what others have (`between`).

The invariant: what has a plain value here has that value on every machine on which the code gets there. All else is
`Opaque`, or has an `Opaque` in it, which says why. A step that is not understood may bind names and change objects:
`effects` tells which, and those become `Opaque`, too. So what is not known is never taken for known, and a fact that
rests on it is asked for. This is abstract interpretation (P. Cousot and R. Cousot, POPL 1977) over constants.
"""

from __future__ import annotations

import ast
import builtins
from collections import Counter

from rules_bento.errors import BentoError
from rules_bento.service.python import calls, expressions
from rules_bento.service.python.budget import SpentError, TooLargeError, spend
from rules_bento.service.python.changes import bound_names, same_scope
from rules_bento.service.python.classes import class_of, lookup
from rules_bento.service.python.effects import (
    annotated,
    changed_globals,
    give_up,
    is_generator,
    may_alter_class,
    not_followed,
)
from rules_bento.service.python.joins import Join
from rules_bento.service.sdk_names import public_name
from rules_bento.service.python.reach import held, is_inert, items_held, may_make, opens
from rules_bento.service.python.scopes import Module, Scope
from rules_bento.service.python.sources import Sources, in_standard_library
from rules_bento.service.python.values import (
    Class,
    Const,
    Function,
    Lazy,
    ModuleRef,
    Mutable,
    Opaque,
    Place,
    Sequence,
    ServiceObject,
    Symbol,
    Value,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence as SequenceOf

BUILTINS = frozenset(dir(builtins))
_IMPORTERS = frozenset(["__import__", "import_module", "run_module", "run_path"])
# Enough for any service that people write; a bound for the ones that machines write against us.
MAX_STEPS = 200_000
MAX_CALL_DEPTH = 12
MAX_CALLS = 3_000


class Interpreter:
    """Reads the modules of one src/ and remembers them."""

    def __init__(
        self, sources: Sources, arguments: Mapping[str, object] | None = None, changing: SequenceOf[str] = ()
    ) -> None:
        self.sources = sources
        # Modules that change what others have. Where there are some, all modules are read when they are imported.
        self.changing = changing
        # What `bentoml.use_arguments()` gives.
        self.arguments = arguments or {}
        self.modules: dict[str, Module] = {}
        # An object may be changed for certain only in the region that it was made in, or one around it.
        self.region = 0
        self._regions = 0
        # Objects that were made by a module which is imported on some ways through the code only.
        self._made: list[Mutable] | None = None
        self._steps = 0
        self.call_depth = 0
        self._calls = 0
        # Names of libraries that the sources assign.
        self.patched: dict[str, Opaque] = {}

    # Modules

    def module(self, name: str) -> Module:
        """Read a module of the sources, once.

        Raises:
            BentoError: its file is no Python.

        """
        if name in self.modules:
            return self.modules[name]
        path = self.sources.find(name)
        assert path is not None
        tree = self.sources.parse(path)
        module = Module(name, path, self.sources.is_package(path))
        module.scope = Scope("module", module)
        module.scope.names["__name__"] = Const(name)
        module.scope.names["__doc__"] = Const(ast.get_docstring(tree, clean=False))
        module.scope.names["__package__"] = Const(name if module.package else name.rpartition(".")[0])
        module.volatile = changed_globals(tree) if self.sources.mentions(path, b"global") else frozenset()
        self.modules[name] = module
        self._import_body(tree.body, module.scope)
        module.running = False
        return module

    def _import_body(self, body: SequenceOf[ast.stmt], scope: Scope) -> None:
        """Read a module's statements. Where it may not be imported here, what it changes of others is not certain."""
        region, made = self.region, self._made
        on_some_way = region and self.changing
        # A module that is read only now, because a name of it is needed, was imported earlier: outside of any region.
        self.region, self._made = (self.new_region(), []) if on_some_way else (0, None)
        self.run(body, scope)
        for value in self._made or ():
            value.born = 0  # whoever imports it later finds it as it was made
        self.region, self._made = region, made

    def import_module(self, name: str) -> None:
        """Read a module and the packages that it is in, as importing does, where that may change something."""
        if not self.changing or self._shadowed(name):
            return
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            package = ".".join(parts[:end])
            if self.sources.find(package) is not None:
                self.module(package)

    def may_import(self, nodes: SequenceOf[ast.AST], scope: Scope) -> None:
        """Read the modules that unevaluated code may import."""
        if not self.changing:
            return
        region, self.region = self.region, self.new_region()
        for node in same_scope(nodes):
            match node:
                case ast.Import():
                    for alias in node.names:
                        self.import_module(alias.name)
                case ast.ImportFrom():
                    base = self._base(node, scope)
                    for alias in node.names if base else ():
                        self.import_module(f"{base}.{alias.name}")
                case ast.Name(id=name) | ast.Attribute(attr=name) if name in _IMPORTERS:
                    self.import_any()
        self.region = region

    def import_any(self) -> None:
        """Read all modules with effects, because one is imported by a name that is not plain."""
        region, self.region = self.region, self.new_region()
        for name in self.changing:
            self.import_module(name)
        self.region = region

    def module_attribute(self, name: str, attribute: str, place: Place) -> Value | None:
        """Return a module's attribute; None where nothing can have bound it."""
        module = self.module(name)
        if attribute in module.scope.names:
            return self.force(module.scope.names[attribute])
        if self.sources.find(f"{name}.{attribute}") is not None:
            return ModuleRef(f"{name}.{attribute}")
        if module.running:
            return Opaque(f"`{name}` and `{module.name}` import each other before `{attribute}` is bound", place)
        if module.star is not None:
            return module.star
        if "__getattr__" in module.scope.names:
            return Opaque(f"`{module.path}` computes its attributes in `__getattr__`", place)
        return None

    def force(self, value: Value) -> Value:
        """Read the module behind a name that was imported."""
        while isinstance(value, Lazy):
            inner = self.module_attribute(value.module, value.name, value.place)
            if inner is None:
                why = f"`{value.name}` is not bound in `{value.module}`"
                return Opaque(why, value.place)
            value = inner
        return value

    # Regions

    def new_region(self) -> int:
        """Begin a region of code that may not run."""
        self._regions += 1
        return self._regions

    def fresh(self, value: Value) -> Value:
        """Record the region of code in which a new value was made."""
        if isinstance(value, Mutable):
            value.born = self.region
            if self._made is not None:
                self._made.append(value)
        return value

    def may_change(self, value: Mutable, why: str, place: Place) -> bool:
        """Return whether a change to a value happens for certain; if not, spoil the value."""
        if value.spoiled is None and value.born >= self.region:
            return True
        self.spoil(value, why, place)
        return False

    def spoil(self, value: Mutable, why: str, place: Place) -> None:
        """Treat a value as unknown from here on."""
        if value.spoiled is None:
            value.spoiled = Opaque(why, place, not isinstance(value, ServiceObject), opens=True)

    def join(self, left: Value, right: Value, why: Opaque, fresh: int) -> Value:
        """Return what two ways agree on; objects from before region `fresh` are compared by identity."""
        value = Join(why, fresh, self.force).values(left, right)
        return value if value is left else self.fresh(value)

    # Statements

    def run(self, body: SequenceOf[ast.stmt], scope: Scope) -> bool:
        """Read statements in order; False where no way leads past them."""
        for statement in body:
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise self._stopped(scope.place(statement))
            try:
                if not self._statement(statement, scope):
                    return False
            except RecursionError:
                give_up(self, [statement], scope, "this statement is nested too deeply to be read")
            except TooLargeError:
                give_up(self, [statement], scope, "this statement makes more than is read")
            except SpentError:
                raise self._stopped(scope.place(statement)) from None
        return True

    def _stopped(self, where: Place) -> BentoError:
        return BentoError(
            f"{where.path}:{where.line}: reading the service stopped here, after {self._steps} statements: its "
            "modules build their names in a way that only running them tells. Move what the service does not need at "
            "import into functions, or state it plainly."
        )

    def _statement(self, node: ast.stmt, scope: Scope) -> bool:
        match node:
            case ast.Import() | ast.ImportFrom():
                self._import(node, scope)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.Delete():
                self._assignment(node, scope)
            case ast.Expr():
                expressions.evaluate(self, node.value, scope)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, scope)
            case ast.ClassDef():
                self._class(node, scope)
            case ast.If():
                return self._if(node, scope)
            case ast.Try():
                return self._try(node, scope)
            case ast.With() | ast.AsyncWith():
                return self._with(node, scope)
            case ast.Return():
                value = expressions.evaluate(self, node.value, scope) if node.value else Const(None)
                scope.returns.append(value)
                return False
            case ast.Raise():
                scope.module.may_fail = True
                return False
            case ast.Global() | ast.Nonlocal():
                scope.outer.update(node.names)
            case ast.Assert():
                expressions.evaluate(self, node.test, scope)
            case ast.Pass() | ast.Break() | ast.Continue():
                pass
            case _:  # loops, `match`, and whatever a newer Python adds
                why = f"it is made or changed by a `{type(node).__name__.lower().replace('async', 'async ')}` statement"
                give_up(self, [node], scope, why)
        return True

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        place = scope.place(node)
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                self.import_module(alias.name)
                self.bind(alias.asname or name, self._module_value(name), scope)
            return
        base = self._base(node, scope)
        if base:
            self.import_module(base)
        for alias in node.names:
            if base is None:
                why = "a relative import goes above the top of the sources"
                self.bind(alias.asname or alias.name, Opaque(why, place), scope)
            elif alias.name == "*":
                self._star(base, scope, place)
            else:
                self.bind(alias.asname or alias.name, self._member(base, alias.name, place), scope)

    def _base(self, node: ast.ImportFrom, scope: Scope) -> str | None:
        if not node.level:
            return node.module or ""
        module = scope.module
        parts = module.name.split(".") if module.package else module.name.split(".")[:-1]
        keep = len(parts) - (node.level - 1)
        if keep < 1:
            return None
        return ".".join([*parts[:keep], *([node.module] if node.module else [])])

    def _elsewhere(self, name: str) -> Value | None:
        """Return what a module is that may come from another folder than the sources' own; else None."""
        moved = self.sources.found_elsewhere(name)
        if moved is None:
            return None
        why = f"`sys.path` is changed here, and a folder of the sources has a module `{name.partition('.')[0]}`"
        return Opaque(why, Place(moved.path, moved.line))

    def _module_value(self, name: str) -> Value:
        if moved := self._elsewhere(name):
            return moved
        if self.sources.find(name) is None:
            return Symbol(public_name(name))
        return self._shadowed(name) or ModuleRef(name)

    def _member(self, module: str, name: str, place: Place) -> Value:
        """Return what `from module import name` binds."""
        if moved := self._elsewhere(module):
            return moved
        if self.sources.find(module) is None:
            return Symbol(public_name(f"{module}.{name}"))
        value = self._shadowed(module) or Lazy(module, name, place)
        if self.changing and isinstance(value, Lazy):
            # What it is bound to now, for it may be bound to something else later.
            self.import_module(f"{module}.{name}")
            return self.force(value)
        return value

    def _shadowed(self, name: str) -> Value | None:
        if in_standard_library(name):
            # Which one Python takes depends on whether something loaded its own before.
            path = self.sources.find(name) or name
            return Opaque(f"both the sources and Python have a module `{name}`", Place(path, 1))
        return None

    def _star(self, module: str, scope: Scope, place: Place) -> None:
        if self.sources.find(module) is None or self._elsewhere(module) is not None:
            why = Opaque(f"`from {module} import *` may bind it, and `{module}` is outside the sources", place)
            scope.module.star = why
            for name, value in scope.names.items():
                if isinstance(value, Const) and not name.startswith("__"):
                    scope.names[name] = why
            return
        source = self.module(module)
        if source.star is not None:
            scope.module.star = source.star
        names = self.force(source.scope.names.get("__all__", Const(None)))
        listed = isinstance(names, Sequence) and not names.spoiled
        for name in list(source.scope.names):
            public = name in _strings(names) if listed else not name.startswith("_")
            if public:
                self.bind(name, source.scope.names[name], scope)

    def _assignment(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Delete, scope: Scope) -> None:
        match node:
            case ast.Assign():
                value = expressions.evaluate(self, node.value, scope)
                for target in node.targets:
                    self.assign(target, value, scope)
            case ast.AnnAssign():
                if isinstance(node.target, ast.Name):
                    scope.annotations[node.target.id] = node.annotation
                annotated(self, [node.annotation], scope)
                if node.value is not None:
                    self.assign(node.target, expressions.evaluate(self, node.value, scope), scope)
            case ast.AugAssign():
                self.assign(node.target, expressions.augmented(self, node, scope), scope)
            case ast.Delete():
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        scope.names.pop(target.id, None)
                    elif isinstance(target, (ast.Attribute, ast.Subscript)):
                        owner = expressions.evaluate(self, target.value, scope)
                        if isinstance(owner, Mutable):
                            self.spoil(owner, "a part of it is deleted", scope.place(node))

    def bind(self, name: str, value: Value, scope: Scope) -> None:
        """Bind a name in a scope."""
        if name in scope.outer:
            # `global` names are given up where the module binds them; a `nonlocal` one is from here on.
            around = scope.parent
            while around is not None and not (around.kind == "function" and name in around.names):
                around = around.parent
            if around is not None:
                around.names[name] = Opaque(f"a function changes it (`nonlocal {name}`)", Place(scope.module.path, 1))
            return
        if scope.kind == "module" and name in scope.module.volatile:
            place = Place(scope.module.path, 1)
            value = Opaque(f"functions of {scope.module.path} change `{name}` (`global {name}`)", place)
        if isinstance(value, ServiceObject) and not value.variable:
            value.variable = name
        scope.names[name] = value
        scope.maybe.discard(name)

    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """Assign a value to a target: a name, an attribute, an item, or several in a tuple or list."""
        place = scope.place(target)
        match target:
            case ast.Name():
                self.bind(target.id, value, scope)
            case ast.Tuple() | ast.List():
                self._unpack(target.elts, self.force(value), scope, place)
            case ast.Starred():
                self.assign(target.value, Opaque("it is unpacked with `*`", place), scope)
            case ast.Attribute():
                owner = expressions.evaluate(self, target.value, scope)
                expressions.set_attribute(self, owner, target.attr, value, place)
            case ast.Subscript():
                owner = expressions.evaluate(self, target.value, scope)
                expressions.set_item(self, owner, target.slice, value, scope)

    def _unpack(self, targets: list[ast.expr], value: Value, scope: Scope, place: Place) -> None:
        starred = any(isinstance(target, ast.Starred) for target in targets)
        fits = isinstance(value, Sequence) and not value.spoiled and len(value.items) == len(targets)
        if isinstance(value, Sequence) and fits and not starred and value.kind != "set":
            for target, item in zip(targets, value.items, strict=True):
                self.assign(target, item, scope)
            return
        inert = isinstance(value, Opaque) and not opens(value)
        why, parts = "it is unpacked from a value that is not plain", items_held(value)
        for target in targets:
            unpacked = target.value if isinstance(target, ast.Starred) else target
            self.assign(unpacked, Opaque(why, place, inert, parts=parts), scope)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
        decorators = [expressions.evaluate(self, each, scope) for each in node.decorator_list]
        defaults = [expressions.evaluate(self, default, scope) for default in node.args.defaults]
        keywords = [
            expressions.evaluate(self, default, scope) if default else None for default in node.args.kw_defaults
        ]
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg)
        annotated(self, [node.returns, *(each.annotation for each in arguments if each is not None)], scope)
        value: Value = Function(node, scope, scope.place(node), node.name, defaults, keywords)
        self.bind(node.name, self._decorated(value, node, decorators, scope.place(node)), scope)

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        # Python's order: what decorates it comes before what is in it.
        decorators = [expressions.evaluate(self, each, scope) for each in node.decorator_list]
        bases = [expressions.evaluate(self, base, scope) for base in node.bases]
        keywords = {keyword.arg or "**": expressions.evaluate(self, keyword.value, scope) for keyword in node.keywords}
        self._follow_hooks(bases, keywords, scope.place(node))
        inner = Scope("class", scope.module, scope)
        inner.names["__module__"] = Const(scope.module.name)
        inner.names["__doc__"] = Const(ast.get_docstring(node, clean=False))
        self.run(node.body, inner)
        value = class_of(node.name, bases, inner.names, keywords, scope.place(node))
        value.annotations = inner.annotations
        if value.extended is None and may_alter_class(self, value):
            value.extended = Opaque(f"what runs as `{node.name}` is made may add attributes", scope.place(node))
        self.fresh(value)
        self.bind(node.name, self._decorated(value, node, decorators, scope.place(node)), scope)

    def _follow_hooks(self, bases: list[Value], keywords: dict[str, Value], place: Place) -> None:
        """Give up what hooks of base classes and of a metaclass may change when a class is made."""
        for of in bases:
            hook = lookup(of, "__init_subclass__", self.force) if isinstance(of, Class) else None
            if hook is not None:
                not_followed(self, hook, [], "`__init_subclass__` may change it", place)
        metaclass = keywords.get("metaclass")
        if isinstance(metaclass, Class):
            for hook in metaclass.attributes.values():
                not_followed(self, hook, [], f"the metaclass `{metaclass.name}` may change it", place)

    def _decorated(
        self,
        value: Value,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
        decorators: list[Value],
        place: Place,
    ) -> Value:
        for written, decorator in reversed(list(zip(node.decorator_list, decorators, strict=True))):
            function = value
            value = calls.call(self, decorator, [value], {}, place)
            if not isinstance(value, Opaque) or value.why:
                continue
            value.why = f"the decorator `{expressions.source_of(written)}` gives it"
            if isinstance(function, Function) and is_inert(decorator):
                # A decorator of a library makes a function of a function; calling it is another matter.
                value.inert, value.opens = True, may_make(self.sources, function)
        if isinstance(value, ServiceObject) and not value.variable:
            value.variable = node.name
        return value

    # Ways through the code

    def _if(self, node: ast.If, scope: Scope) -> bool:
        test = expressions.truth(expressions.evaluate(self, node.test, scope))
        if test is not None:
            return self.run(node.body if test else node.orelse, scope)
        why = Opaque("it depends on an `if` that only running the code decides", scope.place(node))
        return self.branch([node.body, node.orelse], scope, why)

    def branch(self, bodies: list[list[ast.stmt]], scope: Scope, why: Opaque, *, tried: bool = False) -> bool:
        """Read bodies of which one runs, each from the same names, and join what they bind.

        With `tried`, the first one may stop half-way, and another one runs then.
        """
        before = scope.names
        ways: list[dict[str, Value]] = []
        stopped: dict[str, Value] = {}
        outer, fresh = self.region, self._regions + 1
        for index, body in enumerate(bodies):
            spend(len(before))
            scope.names = {**before, **stopped}
            self.region = self.new_region()
            if self.run(body, scope):
                ways.append(scope.names)
            if tried and not index:
                stopped = self._half_way(body, before, scope, why)
        self.region = outer
        scope.names = before
        if ways:
            scope.names = ways[0]
            for way in ways[1:]:
                scope.names = self._merge(scope.names, way, scope, why, fresh)
        scope.maybe.update(stopped)
        scope.left = scope.left or len(ways) < len(bodies)
        if scope.left and scope.kind == "function":
            # The rest of the function runs only on some ways: no change in it is certain.
            self.region = self.new_region()
        return bool(ways)

    def _half_way(self, body: list[ast.stmt], before: dict[str, Value], scope: Scope, why: Opaque) -> dict[str, Value]:
        """Return the values of a body's names for code that runs after it stopped somewhere.

        One that is bound once is bound so or not at all; in a class, where it may be missing, that is open.
        """
        bound = Counter(name for node in same_scope(body) for name in bound_names(node))
        spend(sum(bound.values()))
        names: dict[str, Value] = {}
        for name in bound:
            value = scope.names.get(name, why)
            open_ = name in before or bound[name] > 1 or scope.kind == "class"
            inert = is_inert(value) and is_inert(before.get(name, value))
            names[name] = Opaque(why.why, why.place, inert, opens=True) if open_ else value
        return names

    def _merge(
        self, left: dict[str, Value], right: dict[str, Value], scope: Scope, why: Opaque, fresh: int
    ) -> dict[str, Value]:
        merged: dict[str, Value] = {}
        join = Join(why, fresh, self.force)
        for name in [*left, *(name for name in right if name not in left)]:
            if name in left and name in right:
                value = join.values(left[name], right[name])
                merged[name] = value if value is left[name] else self.fresh(value)
                continue
            present = left[name] if name in left else right[name]
            if scope.kind == "class":
                # A class is complete with or without the attribute; which one, only running tells.
                inert = is_inert(present)
                merged[name] = Opaque(why.why, why.place, inert, opens=opens(present))
            else:
                # Without it the name is an error wherever it is used, so the use implies this value.
                merged[name] = present
                scope.maybe.add(name)
        return merged

    def _try(self, node: ast.Try, scope: Scope) -> bool:
        if all(self._cannot_fail(statement, scope) for statement in node.body):
            passed = self.run([*node.body, *node.orelse], scope)
        else:
            why = Opaque("it depends on whether a `try` succeeds", scope.place(node))
            ways = [[*node.body, *node.orelse], *(handler.body for handler in node.handlers)]
            for handler in node.handlers:
                if handler.name:
                    self.bind(handler.name, Opaque("it is an exception", scope.place(handler), inert=True), scope)
            passed = self.branch(ways, scope, why, tried=True)
        return self.run(node.finalbody, scope) and passed

    def _cannot_fail(self, node: ast.stmt, scope: Scope) -> bool:
        """Return whether a statement of a `try` is certain to succeed where the service runs at all."""
        match node:
            case ast.Import():
                return all(self._imports(alias.name, "") for alias in node.names)
            case ast.ImportFrom():
                return all(self._imports(self._base(node, scope) or "", alias.name) for alias in node.names)
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                return True
            case ast.Assign(value=ast.Constant()):
                return True
            case _:
                return False

    def _imports(self, module: str, name: str) -> bool:
        """Return whether an import of BentoML or of the sources is certain to succeed."""
        if module.partition(".")[0] == "bentoml":
            return True
        if self.sources.find(module) is None:
            return False
        source = self.module(module)
        exists = not name or self.module_attribute(module, name, Place(source.path, 1)) is not None
        return exists and name not in source.scope.maybe and not source.may_fail

    def _with(self, node: ast.With | ast.AsyncWith, scope: Scope) -> bool:
        may_be_cut = False
        for item in node.items:
            context = expressions.evaluate(self, item.context_expr, scope)
            origin = context.origin if isinstance(context, Opaque) else ""
            may_be_cut = may_be_cut or origin == "contextlib.suppress"
            if item.optional_vars:
                inert = not opens(context) and is_inert(context)
                value = Opaque("it comes from a `with` statement", scope.place(node), inert, parts=held([context]))
                self.assign(item.optional_vars, value, scope)
        if not may_be_cut:
            return self.run(node.body, scope)
        why = Opaque("it depends on whether an exception is suppressed", scope.place(node))
        return self.branch([node.body, []], scope, why, tried=True)

    # Functions of the sources

    def call_function(self, function: Function, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
        """Read a function's body with its arguments bound; `Opaque` where that says nothing plain."""
        node, outer = function.node, function.scope
        assert isinstance(outer, Scope)
        if isinstance(node, ast.AsyncFunctionDef) or is_generator(node):
            not_followed(self, function, [*args, *kwargs.values()], f"`{function.name}` may change it", place)
            return Opaque(f"`{function.name}` gives it while the service runs", place, inert=True, opens=True)
        scope = Scope("function", outer.module, outer)
        self._calls += 1
        spent = self.call_depth >= MAX_CALL_DEPTH or self._calls > MAX_CALLS
        if spent or not calls.bind_arguments(function, args, kwargs, scope.names):
            not_followed(self, function, [*args, *kwargs.values()], f"`{function.name}` may change it", place)
            return Opaque(f"only running `{function.name}` tells it", place)
        self.call_depth += 1
        region, fresh = self.region, self._regions + 1
        try:
            if isinstance(node, ast.Lambda):
                return expressions.evaluate(self, node.body, scope)
            if self.run(node.body, scope):
                scope.returns.append(Const(None))
        finally:
            self.call_depth -= 1
            self.region = region
        if not scope.returns:
            return Opaque(f"`{function.name}` only raises", place)
        result = scope.returns[0]
        why = Opaque(f"`{function.name}` returns it on one way and something else on another", place)
        for other in scope.returns[1:]:
            result = self.join(result, other, why, fresh)
        return result


def _strings(names: Value) -> set[object]:
    items = names.items if isinstance(names, Sequence) else []
    return {item.value for item in items if isinstance(item, Const)}
