"""Decides whether the names of a service's modules certainly have the values that their definitions show.

The idea: a program can change a value only in these ways, and each is visible in a syntax tree, whether it runs or not.

1. Another binding of the name: an assignment, `del`, import, `def`, `class`, loop, `with`, `except`, `match`, `:=`, or
   `global` ([naming and binding](https://docs.python.org/3/reference/executionmodel.html#binding-of-names)). A constant
   has one, and no submodule has its name (https://docs.python.org/3/reference/import.html#submodules).
2. `module.NAME = x`, or any other access to a namespace. An expression of the sources is never a module itself, so only
   `module.NAME` can refer to a name from another module (https://docs.python.org/3/reference/datamodel.html#modules).
3. A change in place of a list, dict, or object. Only an expression that has the object can change it
   (https://docs.python.org/3/reference/datamodel.html#objects-values-and-types): so each use of its name is listed
   (`Program.uses`), and its reader accepts the uses that certainly change nothing.
4. Reflection: namespaces, frames, references, code in strings, imports by name, and other places of modules. These need
   one of the words below (https://docs.python.org/3/library/functions.html, `inspect`, `gc`, `sys`, `importlib`).

Nothing else can: Python has no other access to a variable, and code of libraries is assumed to use no reflection on
modules and functions that it wasn't given.
"""

from __future__ import annotations

import ast
import re

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Callable, Iterator
from rules_bento.bentos.service.loaded_names import WITH_EFFECTS
from rules_bento.bentos.service.modules import Binding, Module, Names, NotConstantError
from rules_bento.bentos.service.sdk_names import public_name, words

# Functions of Python that reach names without naming them.
_BUILTINS = words("__builtins__ __import__ breakpoint compile delattr eval exec globals locals setattr vars")
# Attributes and functions that lead to modules, frames, or all objects, or that change where files or modules are.
_ATTRIBUTES = words(
    "EntryPoint ImportString MonkeyPatch Unpickler UnsafeLoader YAMLObject _current_frames _getframe _sys "
    "add_constructor add_multi_constructor addaudithook addsitedir ag_frame annotation attrgetter builtins chdir "
    "cr_frame currentframe dictConfig entry_points extend_path f_back f_builtins f_globals f_locals fchdir "
    "fileConfig get_annotations get_objects get_referents get_referrers get_type_hints getattr_static "
    "getclosurevars getmembers getmodule gi_frame import_module inspect meta_path methodcaller model_fields "
    "monkeypatch path_hooks path_importer_cache resolve_name run_module run_path setprofile settrace sys tb_frame "
    "unsafe_load unsafe_load_all"
)
_SAFE_DUNDERS = words(
    "__aenter__ __aexit__ __aiter__ __anext__ __args__ __call__ __class__ __contains__ __dict__ __doc__ __enter__ "
    "__eq__ __exit__ __file__ __format__ __getitem__ __hash__ __init__ __iter__ __len__ __main__ __members__ "
    "__module__ __name__ __new__ __next__ __origin__ __post_init__ __qualname__ __repr__ __setitem__ __str__ "
    "__version__"
)
_OF_MODULES = words("__annotations__ __builtins__ __loader__ __name__ __package__ __path__ __spec__")
_MODULES = words(
    "_pickle builtins code codeop ctypes doctest imp importlib._bootstrap importlib.abc importlib.machinery "
    "importlib.util marshal mock pickle.load pickle.loads pkgutil pydoc runpy site sys.meta_path sys.modules "
    "sys.path sys.path_hooks timeit unittest.mock"
)
# Code in strings, which a library might evaluate.
_CODE = re.compile(
    r"__(?:builtins|code|globals|import|loader|path|self|setattr|spec|subclasses)__|(?<!:):="
    r"|\b(?:f_back|f_globals|f_locals|get_objects|import_module|python/module|python/name|python/object|tb_frame|unsafe_load)\b"
    r"|\b(?:compile|delattr|eval|exec|getattr|globals|locals|setattr|vars)\("
)
_CALLED = re.compile(r"\b(\w+)[.\[(]")
_PATH = re.compile(r"[\w.:]+")
# Libraries whose objects decide service metadata: nothing may be set on them.
_LIBRARIES = ("bentoml", "_bentoml_sdk", "_bentoml_impl")
_PATCHED = (*_LIBRARIES, "fastapi", "functools", "pydantic", "starlette", "typing", "typing_extensions")
_PASSED = words("bentoml.Context bentoml.get_current_service")
# `bentoml build` reads and copies the project's files after the import.
_FILE_CHANGES = words(
    "FileHandler RotatingFileHandler TimedRotatingFileHandler copy2 copyfile copytree extractall hardlink_to rmtree "
    "symlink_to touch unlink urlretrieve write_bytes write_text"
)
_FILE_FUNCTIONS = words(
    "os.link os.remove os.rename os.renames os.replace os.symlink os.truncate shutil.copy shutil.move sqlite3.connect "
    "shutil.unpack_archive"
)
_WRITING = re.compile(r"[rbt]*[awx+][awxbt+]*(:\w*)?")

Key = tuple[str, str]
DEPENDS = ("bentoml.depends", "bentoml.Dependency")


class Program:
    """The modules that a service might load, and the uses of their names. Raises NotConstantError for banned code."""

    def __init__(self, names: Names, main: Module) -> None:
        self.names = names
        self.modules: dict[str, Module] = {}
        self.uses: dict[Key, list[tuple[Module, ast.expr]]] = {}
        self.stored: set[str] = set()  # attributes that code sets, except for those of `self`
        self._called: set[str] = set()  # names that code in strings might use
        self._depth = max((path.count("/") for path in names.files.paths), default=0) + 1
        self._load(main)
        for module in self.modules.values():
            self._check(module)
        for module in self.modules.values():
            for node, bindings in module.uses():
                self._add_use(module, node, bindings)
        for module in self.modules.values():
            for service in module.services:
                self.require_uses(module, service.name, self.is_service_use)

    def require_uses(self, module: Module, name: str, is_plain: Callable[[Module, ast.expr], bool]) -> None:
        """Raise NotConstantError unless `is_plain` returns true for every use of a name of a module."""
        for by, node in self.uses.get((module.name, name), ()):
            if not is_plain(by, node) and not by.in_annotation(node):
                why = f"`{name}` is used again on this line, which might modify it"
                raise NotConstantError(why, by.path, node)
        if name in self._called:
            raise NotConstantError(f"a string might contain code that uses `{name}`", module.path, 1)

    def is_service_use(self, module: Module, node: ast.expr) -> bool:
        """Return whether a use of a service only makes it a dependency, or gives it another name."""
        if self.receiver(module, node) in DEPENDS:
            call = module.parents[node]
            assignment = module.parents[module.parents[call] if isinstance(call, ast.keyword) else call]
            return isinstance(assignment, (ast.Assign, ast.AnnAssign)) and module.parents[assignment] in module.services
        statement = module.parents.get(node)
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        bindings = module.bindings.get(getattr(targets[0], "id", ""), [])
        if len(bindings) == 1 and bindings[0].node is node and bindings[0].is_plain:
            self.require_uses(module, getattr(targets[0], "id", ""), self.is_service_use)
            return True
        return False

    def receiver(self, module: Module, node: ast.expr) -> str:
        """Return the dotted name of the library function that has `node` as an argument, or "" if there is none."""
        around = module.parents.get(node)
        around = module.parents.get(around) if isinstance(around, ast.keyword) else around
        return (isinstance(around, ast.Call) and self.names.outside(module, around.func)) or ""

    def first_environment_change(self, variable: bytes) -> tuple[str, int] | None:
        """Return the path and line of code that might set an environment variable, or None if there is none."""
        for module in self.modules.values():
            for binding in (each for bindings in module.imports.values() for each in bindings):
                if binding.module.partition(".")[0] in WITH_EFFECTS:
                    return module.path, binding.line
            for node in (*module.nodes.get(ast.Attribute, ()), *module.nodes.get(ast.Name, ())):
                around = module.parents.get(node)
                key = getattr(around, "slice", None) if isinstance(around, ast.Subscript) else None
                is_read = isinstance(getattr(around, "ctx", None), ast.Load) and getattr(around, "attr", "") != "update"
                is_read |= isinstance(around, (ast.Compare, ast.Dict))
                is_named = isinstance(key, ast.Constant)  # `first_mention` finds the name
                if self.names.outside(module, node) == "os.environ" and not (is_read or is_named):
                    return module.path, node.lineno
        return self.names.files.first_mention(variable)

    # Modules

    def _load(self, main: Module) -> None:
        waiting = [main.name]
        while waiting:
            name = waiting.pop()
            path = None if name in self.modules else self.names.files.find(name)
            if not path:
                self._reject_compiled(name, main)
                continue
            try:
                module = self.names.parsed(name, path)
            except BentoError as error:
                raise NotConstantError(f"the module can't be analyzed ({error})", path, 1) from None
            self.modules[name] = module
            waiting += [name.rpartition(".")[0], *module.loaded] if "." in name else module.loaded
            for bindings in module.imports.values():
                waiting += [each for one in bindings for each in (one.module, one.path)]
            waiting += self._named(module)

    def _named(self, module: Module) -> Iterator[str]:
        """Yield the modules of the sources in strings such as `lib.hooks:make`, which a library might load."""
        for node in module.nodes.get(ast.Constant, ()):
            for text in _PATH.findall(node.value) if isinstance(node.value, str) else ():
                parts = re.split("[.:]", text, maxsplit=self._depth)
                if len(parts) > 1 and self.names.files.owns(parts[0]):
                    yield from (".".join(parts[:end]) for end in range(1, len(parts)))

    def _reject_compiled(self, name: str, main: Module) -> None:
        if name not in self.modules and (path := self.names.files.compiled(name)):
            raise NotConstantError(f"the service might load the compiled module {path}", main.path, 1)

    # Words

    def _check(self, module: Module) -> None:
        if module.problem:
            raise NotConstantError(module.problem[0], module.path, module.problem[1])
        for name in _OF_MODULES.intersection(module.bindings):
            raise NotConstantError(f"`{name}` is assigned", module.path, module.bindings[name][0].node)
        for node in module.nodes.get(ast.Attribute, ()):
            if is_banned(node.attr) or (node.attr[:2] == "__" and not isinstance(node.ctx, ast.Load)):
                raise NotConstantError(f"`.{node.attr}` isn't supported", module.path, node)
            if not isinstance(node.ctx, ast.Load) and getattr(node.value, "id", "") != "self":
                self.stored.add(node.attr)
        for node in module.nodes.get(ast.MatchClass, ()):
            if any(map(is_banned, node.kwd_attrs)):
                raise NotConstantError("a pattern has an attribute that isn't supported", module.path, node)
        for node in module.nodes.get(ast.Name, ()):
            if node.id[:2] == "__" != node.id[-2:]:
                raise NotConstantError(f"`{node.id}` might have another name in a class", module.path, node)
        for bindings in module.imports.values():
            for binding in bindings:
                if path := self.names.files.hidden(binding.path):
                    why = f"{path} isn't imported here: BentoML loads another module with this name before the service"
                    raise NotConstantError(why, module.path, binding.node)
                if is_banned(binding.name) or _is_below(binding.path, _MODULES):
                    raise NotConstantError(f"`{binding.path}` is imported", module.path, binding.node)
        for node in module.nodes.get(ast.Constant, ()):
            self._check_string(module, node)
        for node in module.nodes.get(ast.Call, ()):
            self._check_call(module, node)

    def _check_string(self, module: Module, node: ast.Constant) -> None:
        if isinstance(node.value, bytes) and any(name.encode() in node.value for name in self.modules):
            raise NotConstantError("these bytes contain the name of a module, which might be loaded", module.path, node)
        if not isinstance(node.value, str) or isinstance(module.parents[node], ast.Expr):
            return
        if found := _CODE.search(node.value):
            raise NotConstantError(f"a string contains `{found[0]}`, which might be code", module.path, node)
        if "(" in node.value:
            self._called.update(_CALLED.findall(node.value))

    def _check_call(self, module: Module, node: ast.Call) -> None:
        function = node.func
        last = getattr(function, "attr", getattr(function, "id", ""))
        if last in ("open", "fdopen", "ZipFile"):
            named = {each.arg: each.value for each in node.keywords}
            receiver = isinstance(function, ast.Attribute) and last == "open"
            mode = named.get("mode", [*([function] if receiver else []), *node.args, None, None][1])
            is_change = isinstance(mode, ast.Constant) and bool(_WRITING.fullmatch(str(mode.value)))
        else:
            is_change = last in _FILE_CHANGES or (self.names.outside(module, function) or "") in _FILE_FUNCTIONS
        if is_change:
            why = f"`{ast.unparse(function)[:80]}` might change a file, which BentoML reads after the import"
            raise NotConstantError(why, module.path, node)

    # Uses

    def _add_use(self, module: Module, node: ast.Name, bindings: list[Binding] | None) -> None:
        if bindings is None:
            bindings = module.bindings.get(node.id, [])
            self.uses.setdefault((module.name, node.id), []).append((module, node))
            if node.id in _OF_MODULES - {"__name__"} or (node.id in _BUILTINS and not bindings):
                raise NotConstantError(f"`{node.id}` isn't supported", module.path, node)
            if node.id == "getattr" and not bindings and not _is_plain_getattr(module, node):
                raise NotConstantError("`getattr` without a literal name isn't supported", module.path, node)
        seen: set[Key] = set()
        for binding in bindings:
            if binding.module:
                self._follow(module, node, binding, seen)

    def _follow(self, module: Module, node: ast.expr, binding: Binding, seen: set[Key]) -> None:
        """Add the uses of the names to which an imported name leads, with the attributes around it."""
        path = binding.path
        while self.names.files.owns(path):
            owner, _, name = path.rpartition(".")
            if owner in self.modules and (owner, name) not in seen:
                seen.add((owner, name))
                self.uses.setdefault((owner, name), []).append((module, node))
                for one in self.modules[owner].bindings.get(name, ()):
                    if one.module:
                        self._follow(module, node, one, seen)
            if self.names.files.find(path) is None:
                return
            around = module.parents.get(node)
            is_read = isinstance(around, ast.Attribute) and isinstance(around.ctx, ast.Load)
            if not isinstance(around, ast.Attribute) or not is_read or around.attr[:2] == "__":
                why = f"module `{path}` is used as a value (write `from {path} import ...`)"
                raise NotConstantError(why, module.path, node)
            node, path = around, f"{path}.{around.attr}"
        self._check_outside(module, node, path)

    def _check_outside(self, module: Module, node: ast.expr, path: str) -> None:
        """Raise NotConstantError if code uses an external name in an unsupported way."""
        chain, around = node, module.parents.get(node)
        while isinstance(around, ast.Attribute):
            chain, path = around, f"{path}.{around.attr}"
            around = module.parents.get(chain)
        name, outer = public_name(path), chain
        is_changed = not isinstance(getattr(chain, "ctx", None), ast.Load)
        while isinstance(around, (ast.Attribute, ast.Subscript)) and around.value is outer:
            is_changed |= not isinstance(around.ctx, ast.Load)
            outer, around = around, module.parents.get(around)
        if ".__dict__" in path:
            raise NotConstantError(f"`{path}` isn't supported", module.path, node)
        if is_changed and _is_below(name, _PATCHED):
            raise NotConstantError(f"`{name}` is modified on this line", module.path, node)
        if _is_below(name, _MODULES):
            raise NotConstantError(f"`{name}` isn't supported", module.path, node)
        if name == "sys" or (_is_below(name, _LIBRARIES) and not _is_plain_use(module, chain, name)):
            raise NotConstantError(f"`{name}` is passed on as a value", module.path, node)


def is_banned(name: str) -> bool:
    """Return whether an attribute or function with this name leads to modules, frames, or all objects."""
    return name in _ATTRIBUTES or (name[:2] == "__" and name[-2:] == "__" and name not in _SAFE_DUNDERS)


def _is_plain_use(module: Module, node: ast.expr, name: str) -> bool:
    """Return whether a use of a BentoML object is a call, decorator, base class, annotation, or exception."""
    if name in ("bentoml", "bentoml.models", "bentoml.images") or name.startswith(("_", "bentoml._")):
        return False
    match module.parents.get(node):
        case ast.Call(func=function) if function is node:
            return True
        case ast.FunctionDef(decorator_list=decorators) | ast.AsyncFunctionDef(decorator_list=decorators):
            if node in decorators:
                return True
        case ast.ClassDef() | ast.Expr():
            return True
    return name in _PASSED or name.startswith("bentoml.exceptions.") or module.annotated(node) is not None


def _is_plain_getattr(module: Module, node: ast.Name) -> bool:
    call = module.parents[node]
    name = call.args[1] if isinstance(call, ast.Call) and call.func is node and len(call.args) > 1 else None
    return isinstance(name, ast.Constant) and isinstance(name.value, str) and not is_banned(name.value)


def _is_below(name: str, roots: frozenset[str] | tuple[str, ...]) -> bool:
    """Return whether `name` is in `roots`, or begins with a root and a dot."""
    while name and name not in roots:
        name = name.rpartition(".")[0]
    return bool(name)
