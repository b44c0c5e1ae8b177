"""Every call that creates, replaces, or removes a file is of one of the three kinds of `base.own_files`.

A call outside of the modules of these kinds needs one of:

- a path that is own by its expression: in a directory of `own_directory`, `atomic_dir`, …, or in a parameter or field
  of the type `OwnDirectory`, and with names that are constants
- a path that `digest_path` made
- an output of an action or program: a flag, `request.NAME`
- a comment `# writes: KIND, reason`, on the call, or on the first line of a function or class around it. KIND is `own`,
  `digest`, `output`, `output that follows links`, or `exempt`

Bazel made the directories of its outputs, but somebody else can have made a directory that the user specified. So an
`output` is a path that is replaced, or whose names below the user's directory are opened without following links.
"""

import ast
import itertools
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PY = Path("py")
MODULES = ("rules_bento/base/own_files.py", "rules_bento/base/archives/atomic.py")
OUTPUT, FOLLOWING = "# writes: output", "# writes: output that follows links,"
COMMENT = re.compile(r"# writes: (own|digest|output( that follows links)?|exempt), .{9,}")
# By module: the functions that create, replace, or remove files. The path is the first argument, or is in PATHS.
FUNCTIONS = {
    "os": "chmod chown fchmod fchown fdopen ftruncate lchmod lchown link makedirs mkdir mkfifo mknod open remove "
    "removedirs removexattr rename renames replace rmdir setxattr symlink truncate unlink utime",
    "shutil": "chown copy copy2 copyfile copymode copystat copytree make_archive move rmtree unpack_archive",
    "tempfile": "NamedTemporaryFile SpooledTemporaryFile TemporaryDirectory TemporaryFile mkdtemp mkstemp mktemp",
    "zipfile": "PyZipFile ZipFile",
    "tarfile": "TarFile open",
    "io": "FileIO open",
    "bz2": "BZ2File open",
    "gzip": "GzipFile open",
    "lzma": "LZMAFile open",
    "builtins": "open",
    "logging": "FileHandler",
    "sqlite3": "connect",
    "dbm": "open",
    "shelve": "open",
    "rules_bento.base.own_files": "OwnDirectory TreeWriter remove",
    "rules_bento.base.archives.atomic": "atomic_dir atomic_file locked_directory replace_file write_private",
    "rules_bento.base.net.download": "open_partial",
    "bento_cli.store.durable": "write",
}
NAMES = {f"{module}.{name}" for module, names in FUNCTIONS.items() for name in names.split()}
METHODS = {"chmod", "extract", "extractall", "hardlink_to", "lchmod", "link_to", "mkdir", "rename", "replace", "rmdir"}
METHODS |= {"open", "symlink_to", "touch", "unlink", "write_bytes", "write_text"}
SECOND = {f"shutil.{name}" for name in ("copy", "copy2", "copyfile", "copytree")}
SECOND |= {"os.link", "os.symlink", "bento_cli.store.durable.write"}
BOTH = ("os.rename", "os.renames", "os.replace", "shutil.move")  # both paths change
# These replace or remove a link at the path, or refuse it.
NO_LINKS = {"atomic_dir", "atomic_file", "locked_directory", "remove", "replace_file", "rmdir"}
NO_LINKS |= {"mkdir", "rmtree", "unlink", "write_private"}
# These write to no path: a file without a name, or an open file.
HARMLESS = {"tempfile.TemporaryFile", "os.fdopen", "os.fchmod", "os.ftruncate"}
WRITING = {"O_APPEND", "O_CREAT", "O_RDWR", "O_TMPFILE", "O_TRUNC", "O_WRONLY"}
OPENING = ("BZ2File", "FileIO", "GzipFile", "LZMAFile", "TarFile", "ZipFile", "open")
OWN = "OwnDirectory"
YIELDS_OWN = ("own_directory", "TemporaryDirectory", "atomic_dir", "staged_directory")
RETURNS_OWN = ("new_directory", "mkdtemp", OWN)
# By name of a function or class: the module, and the numbers and names of parameters whose paths must be of a kind.
Functions = dict[str, list[tuple["Module", list[tuple[int, str]]]]]
CALLER = "the caller"  # in a comment: the calls of the function are checked instead
Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Module:
    """A module's tree, with parents, and with full names of what it imports."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.lines = path, text.splitlines()
        self.tree = ast.parse(text)
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self.names = {"open": "builtins.open"}
        self.constants: dict[str, ast.expr] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                self.names |= {
                    each.asname or each.name.partition(".")[0]: each.asname and each.name for each in node.names
                }
            elif isinstance(node, ast.ImportFrom):
                self.names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
        self.names = {name: full or name for name, full in self.names.items()}
        for node in self.tree.body:
            for target, value in assigned(node):
                self.constants[target] = value

    def full_name(self, node: ast.AST) -> str:
        """The name of a module's function, such as `os.open`, or ""."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, "")
        above = self.full_name(node.value) if isinstance(node, ast.Attribute) else ""
        return f"{above}.{node.attr}" if above else ""

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self.parents:
            node = self.parents[node]
            yield node


def assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The names that a statement binds, each with its value. Reads tuples name by name."""
    pairs: list[tuple[ast.expr, ast.expr]] = []
    if isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value:
        pairs = [(node.target, node.value)]
    elif isinstance(node, ast.AugAssign):
        pairs = [(node.target, node)]  # type: ignore[list-item]
    elif isinstance(node, ast.For | ast.comprehension):
        values = node.iter.elts if isinstance(node.iter, ast.Tuple) else [Each(node.iter)]
        pairs = [(node.target, value) for value in values]
    elif isinstance(node, ast.With):
        pairs = [(item.optional_vars, Entered(item.context_expr)) for item in node.items if item.optional_vars]
    for target, value in pairs:
        if isinstance(target, ast.Name):
            yield target.id, value
        elif isinstance(target, ast.Tuple):
            for number, each in enumerate(target.elts):
                if isinstance(each, ast.Name):
                    same = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
                    yield each.id, value.elts[number] if same else Item(value, number)  # type: ignore[attr-defined]


class Derived(ast.expr):
    """A value that is part of another: an item of each turn of a loop, of a `with` block, or of a tuple."""

    def __init__(self, value: ast.expr, number: int = 0) -> None:
        super().__init__()
        self.value, self.number = value, number


class Each(Derived): ...


class Entered(Derived): ...


class Item(Derived): ...


@cache
def modules() -> dict[str, Module]:
    files = [path for path in PY.rglob("*.py") if path.relative_to(PY).parts[0] in ("rules_bento", "bento_cli")]
    return {str(path.relative_to(PY)): Module(str(path.relative_to(PY)), path.read_text("utf-8")) for path in files}


@cache
def own_names() -> tuple[set[str], set[str]]:
    """The names of fields and of functions whose annotation is OwnDirectory. Another annotation excludes a field."""
    fields: set[str] = set()
    others: set[str] = set()
    functions: set[str] = set()
    for module in modules().values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.AnnAssign) and isinstance(module.parents[node], ast.ClassDef):
                if not module.parents[node].name.endswith("Request"):  # flags, which are outputs
                    (fields if is_own(node.annotation) else others).add(ast.unparse(node.target))
            elif isinstance(node, ast.FunctionDef) and node.returns and is_own(node.returns):
                functions.add(node.name)
    return fields - others, functions


def is_own(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation) == OWN


class Paths:
    """Decides of which kind the path in an expression is."""

    def __init__(self, module: Module, busy: frozenset[str] = frozenset()) -> None:
        self.module, self.busy = module, busy

    def kind(self, node: ast.AST | None, at: ast.AST) -> str:
        """`own`, `digest`, `output`, or "" if the expression doesn't show the kind. `at` is where the name is read."""
        if isinstance(node, ast.Name):
            return self._binding(node.id, at, self.kind)
        if isinstance(node, Entered) and isinstance(node.value, ast.Call):
            return "own" if last(node.value.func) in YIELDS_OWN else ""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            above = self.kind(node.left, at)
            return above if above in ("own", "digest") and self.is_segment(node.right, at) else ""
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "request":
                return "output"
            if node.attr == "parent" and isinstance(node.value, ast.BinOp | ast.Name):
                return self.kind(node.value, at)  # `mkdir` of the parent of a path in the directory
            return "own" if node.attr in own_names()[0] else ""
        if isinstance(node, ast.Call):
            name = last(node.func)
            if name == "Path" and node.args:
                above = self.kind(node.args[0], at)
                return above if all(self.is_segment(each, at) for each in node.args[1:]) else ""
            if name in ("with_name", "with_suffix") and isinstance(node.func, ast.Attribute):
                return self.kind(node.func.value, at) if self.is_segment(node.args[0], at) else ""
            if name in ("digest_path", "blob_path"):
                return "digest"
            return "own" if name in (*YIELDS_OWN, *RETURNS_OWN) or name in own_names()[1] else ""
        return ""

    def is_segment(self, node: ast.AST | None, at: ast.AST) -> bool:
        """Whether an expression is a constant relative path, or a number."""
        if isinstance(node, ast.Constant):
            text = str(node.value)
            return not text.startswith("/") and ".." not in text.split("/") and isinstance(node.value, str | int)
        if isinstance(node, ast.JoinedStr):
            values = [each.value if isinstance(each, ast.FormattedValue) else each for each in node.values]
            return all(isinstance(each, ast.Constant) or self.is_segment(each, at) for each in values)
        if isinstance(node, ast.Call):
            return last(node.func) == "blob_path" or (last(node.func) == "str" and self.is_segment(node.args[0], at))
        if isinstance(node, ast.Name):
            return bool(self._binding(node.id, at, lambda value, there: "x" * self.is_segment(value, there)))
        if isinstance(node, Item) and isinstance(node.value, Each) and isinstance(node.value.value, ast.Call):
            call = node.value.value
            if last(call.func) == "enumerate":
                return node.number == 0 or self.is_segment(Each(call.args[0]), at)
            return last(call.func) == "zip" and self.is_segment(Each(call.args[node.number]), at)
        if isinstance(node, ast.Tuple):
            return all(self.is_segment(each, at) for each in node.elts)
        return isinstance(node, Each | ast.Starred) and self.is_segment(node.value, at)

    def _binding(self, name, at, decide) -> str:
        """What `decide` returns for all values of a name, in the nearest function that binds it, or in the module."""
        if name in self.busy:
            return ""
        paths = Paths(self.module, self.busy | {name})
        decide = getattr(paths, decide.__name__, decide) if decide.__name__ == "kind" else decide
        for scope in self.module.above(at):
            if isinstance(scope, Scope):
                arguments = [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]
                parameters = ["own" if is_own(each.annotation) else "" for each in arguments if each.arg == name]
                inside = [node for node in ast.walk(scope) if node is not scope]
                values = [(value, node) for node in inside for target, value in assigned(node) if target == name]
                if parameters or values:
                    kinds = {*parameters, *(decide(value, node) for value, node in values)}
                    return kinds.pop() if len(kinds) == 1 else ""
        constant = self.module.constants.get(name)
        if constant is None and (full := self.module.names.get(name, "")).startswith(("rules_bento.", "bento_cli.")):
            path, _, name = full.rpartition(".")
            other = modules().get(f"{path.replace('.', '/')}.py") or modules().get(
                f"{path.replace('.', '/')}/__init__.py"
            )
            constant = other.constants.get(name) if other else None
        return decide(constant, at) if constant is not None else ""


def last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def is_reading(mode: ast.expr | None) -> bool:
    return mode is None or (isinstance(mode, ast.Constant) and not set(str(mode.value)) & set("wxa+"))


def argument(call: ast.Call, number: int, name: str) -> ast.expr | None:
    named = [keyword.value for keyword in call.keywords if keyword.arg == name]
    return named[0] if named else call.args[number] if len(call.args) > number else None


def calls(module: Module, ours: Functions | None = None) -> Iterator[tuple[ast.expr, list[ast.AST | None]]]:
    """Each use of a name that creates, replaces, or removes, with the paths that it changes ([None] if unknown)."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute | ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        above, full = module.parents[node], module.full_name(node)
        call = above if isinstance(above, ast.Call) and above.func is node else None
        if full in NAMES - HARMLESS:
            if isinstance(above, ast.Attribute) or is_annotation(module, node):
                continue
            if call is None:
                yield node, [None]
            elif full == "os.open":
                if is_writing(module, call.args[1]) and ast.unparse(call.args[0]) != "os.devnull":
                    yield node, call.args[:1]
            elif full.rpartition(".")[2] in OPENING:
                if not is_reading(argument(call, 1, "mode")):
                    yield node, call.args[:1]
            elif full.startswith("tempfile."):  # a directory of this process, or a file with a name
                yield node, [call if last(call.func) in (*YIELDS_OWN, *RETURNS_OWN) else None]
            else:
                paths = call.args[1:2] if full in SECOND else call.args[:1] or [None]
                yield node, [*paths, *(call.args[1:2] if full in BOTH else ())]
        elif isinstance(node, ast.Attribute) and node.attr in METHODS and not full:
            if node.attr == "open" and (
                call is None or is_reading(argument(call, 0, "mode")) or not is_path_open(call)
            ):
                continue
            if node.attr == "replace" and (call is None or len(call.args) != 1 or call.keywords):
                continue  # of a string, or of a dataclass
            yield node, [node.value, *(call.args[:1] if call and node.attr in ("rename", "replace") else ())]
        elif call and (own := own_parameters(module, node, functions() if ours is None else ours)):
            yield from ((node, [argument(call, number, name)]) for number, name in own if argument(call, number, name))


@cache
def functions() -> Functions:
    """The functions with a parameter of the type OwnDirectory, or with a comment that refers to the caller."""
    found: Functions = {}
    for module in modules().values():
        for node in ast.walk(module.tree):
            own: list[tuple[int, str]] = []
            if isinstance(node, ast.FunctionDef):
                is_method = isinstance(module.parents[node], ast.ClassDef)
                arguments = [*node.args.args[is_method:], *node.args.kwonlyargs]
                own = [(number, each.arg) for number, each in enumerate(arguments) if is_own(each.annotation)]
            elif isinstance(node, ast.ClassDef) and not node.name.endswith("Request"):
                fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
                own = [(number, last(each.target)) for number, each in enumerate(fields) if is_own(each.annotation)]
            for name in [node.name, *(child.name for child in subclasses(node.name))] if own else ():
                found.setdefault(name, []).append((module, own))
    size = -1
    while size != (size := sum(len(own) for listed in found.values() for _, own in listed)):
        for module in modules().values():
            for node, paths in calls(module, found):
                line = comment_line(module, node)
                if line and CALLER in module.lines[line - 1]:
                    add_caller(module, node, paths, found)
    return found


def add_caller(module: Module, node: ast.AST, paths: list[ast.AST | None], found: Functions) -> None:
    """Add the parameters with the path of a call whose comment refers to the caller."""
    function = next(each for each in module.above(node) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    is_method = isinstance(module.parents[function], ast.ClassDef)
    for number, parameter in enumerate(function.args.args[is_method:]):
        used = {last(each) for path in paths if path for each in ast.walk(path)}
        entry = (module, [(number, parameter.arg)])
        if parameter.arg in used and entry not in found.get(function.name, ()):
            found.setdefault(function.name, []).append(entry)


@cache
def classes() -> list[ast.ClassDef]:
    return [node for each in modules().values() for node in ast.walk(each.tree) if isinstance(node, ast.ClassDef)]


def subclasses(name: str) -> list[ast.ClassDef]:
    return [each for each in classes() if name in map(last, each.bases)]


def own_parameters(module: Module, node: ast.Attribute | ast.Name, ours: Functions) -> list[tuple[int, str]]:
    """The parameters of a function of ours whose paths must be of a kind."""
    name, full = last(node), module.full_name(node)
    found = []
    for other, own in ours.get(name, ()):
        place = f"{other.path.removesuffix('.py').replace('/', '.')}.{name}".replace(".__init__.", ".")
        if full == place or (other is module and (isinstance(node, ast.Name) or name.startswith("_"))):
            found += own
    return found


def is_writing(module: Module, flags: ast.expr) -> bool:
    names = {last(node) for node in ast.walk(flags)}
    constants = [module.constants[name] for name in names if name in module.constants]
    return bool(WRITING & names) or any(is_writing(module, each) for each in constants)


def is_path_open(call: ast.Call) -> bool:
    """Whether `x.open(mode)` opens a path, and not a layout, a member of a zip, or an address."""
    mode = argument(call, 0, "mode")
    return isinstance(mode, ast.Constant) or not (
        last(call.func.value) in ("Layout", "self", "archive") or isinstance(call.func.value, ast.Call)
    )  # type: ignore[attr-defined]


def is_annotation(module: Module, node: ast.AST) -> bool:
    return any(
        node is getattr(above, "annotation", None) or node is getattr(above, "returns", None)
        for above in itertools.islice(module.above(node), 3)
    )


def comment_line(module: Module, node: ast.AST) -> int:
    """The line of the comment that explains a call, or 0."""
    statement = next(each for each in (node, *module.above(node)) if isinstance(each, ast.stmt))
    first = statement.lineno
    end = statement.body[0].lineno - 1 if getattr(statement, "body", None) else statement.end_lineno
    lines = [*range(first, (end or first) + 1)]
    for above in module.above(node):
        if isinstance(above, ast.FunctionDef | ast.ClassDef):
            lines += range(above.lineno, above.body[0].lineno)
    return next((line for line in lines if "# writes:" in module.lines[line - 1]), 0)


def follows_links(module: Module, node: ast.AST, paths: list[ast.AST | None]) -> bool:
    """Whether a call can write to where a link leads that isn't the path of the user's directory or above it.

    The calls in functions of ours are checked themselves.
    """
    name, call = last(node), module.parents[node]
    if name == "TreeWriter" or name not in {*METHODS, *(full.rpartition(".")[2] for full in NAMES)}:
        return False
    is_opened = isinstance(call, ast.Call) and any(each.arg == "directory" for each in call.keywords)
    below = [each.right for each in paths if isinstance(each, ast.BinOp)]
    below += [
        part for each in paths if isinstance(each, ast.Call) and last(each.func) == "Path" for part in each.args[1:]
    ]
    names = [isinstance(each, ast.Constant) and "/" not in str(each.value) for each in below]
    return name not in NO_LINKS or not (is_opened or all(names))


def wrong(module: Module) -> tuple[list[str], dict[int, bool]]:
    """The calls without a kind, and the lines of comments that explain calls: whether one of the calls follows links."""
    found: list[str] = []
    used: dict[int, bool] = {}
    for node, paths in calls(module):
        if all(path is not None and Paths(module).kind(path, node) for path in paths):
            continue
        line = comment_line(module, node)
        if line:
            used[line] = used.get(line, False) or follows_links(module, node, paths)
        else:
            found.append(f"{module.path}:{node.lineno}: {module.lines[node.lineno - 1].strip()}")
    return found, used


def test_each_call_that_writes_is_of_one_of_three_kinds():
    found = [line for path, module in modules().items() if path not in MODULES for line in wrong(module)[0]]
    assert not found, "\n".join(["", *found])


def test_each_comment_states_a_kind_and_a_reason_and_is_used():
    for path, module in modules().items():
        for number, line in enumerate(module.lines, 1):
            if "# writes:" in line:
                assert COMMENT.search(line), f"{path}:{number}"
                assert number in wrong(module)[1], f"{path}:{number}: no call needs this comment"


def test_the_comment_of_an_output_states_whether_links_are_followed():
    found = {
        f"{path}:{number}": (module.lines[number - 1].strip(), follows)
        for path, module in modules().items()
        for number, follows in wrong(module)[1].items()
        if OUTPUT in module.lines[number - 1] and (FOLLOWING in module.lines[number - 1]) != follows
    }
    assert not found, "\n".join(["", *(f"{place}: {follows}: {line}" for place, (line, follows) in found.items())])


START = """
import os, shutil, tarfile, tempfile, zipfile
from pathlib import Path

import pytest
from rules_bento.base.own_files import OwnDirectory, TreeWriter, digest_path, own_directory, remove
from rules_bento.base.archives.atomic import atomic_dir, atomic_file
from other import in_own
NAME, NAMES = "name", ("a", "b")
"""
REFUSED = """
(scratch / name).mkdir()
(cache / "x").write_text(name)
Path(scratch, name).write_bytes(b"")
(scratch / f"{name}.part").open("wb")
(scratch / ".." / "x").touch()
(scratch / "/etc/x").touch()
(scratch / "a/../../x").unlink()
scratch.with_name(name).unlink()
(scratch / name).parent.mkdir()
(scratch / "a").rename(cache / name)
(cache / name).replace(scratch / "a")
(scratch / NAME / name).symlink_to("x")
(cache / name).hardlink_to(scratch / "a")
os.open(cache / name, os.O_CREAT)
os.open(cache / name, FLAGS)
open(cache / name, "w")
open(cache / name, mode=mode)
(cache / name).open(mode)
os.replace(scratch / "a", cache / name)
os.link(scratch / "a", cache / name)
os.makedirs(name)
shutil.rmtree(cache / name)
shutil.copyfile(scratch / "a", cache / name)
shutil.move(cache / name, scratch / "a")
remove(cache / name)
list(map(os.unlink, names))
stack.callback(shutil.rmtree, name)
zipfile.ZipFile(cache / name, "w")
tarfile.open(name).extractall(name)
tempfile.NamedTemporaryFile()
TreeWriter(cache / name)
atomic_dir(cache / name)
atomic_file(cache / name)
OwnDirectory(cache / name)
in_own(cache / name)
in_own(scratch / name)
for each in names: (scratch / each).touch()
scratch = cache / name; (scratch / "a").touch()
"""
ACCEPTED = """
(scratch / "a").mkdir()
(scratch / "a" / NAME).write_text(name)
Path(scratch, "a/b").open("wb")
for each in NAMES: (scratch / each).touch()
for number, each in enumerate(names): (scratch / f"{number}.part").touch()
(scratch / "a").rename(scratch / "b")
(scratch / "a").with_suffix(".lock").unlink()
(digest_path(cache, name) / "a").touch()
in_own(scratch / "a")
os.open(cache / name, os.O_RDONLY)
open(cache / name)
name.replace("a", "b")
with own_directory() as made: (made / "a").touch()
with atomic_dir(scratch / "a") as made: (made / "a").touch()
request.output.write_text("")
(cache / name).mkdir()  # writes: own, `check` has checked the name
"""


def snippet(line: str) -> Module:
    body = line.replace("; ", "\n    ")
    flags = "FLAGS = os.O_CREAT\n"
    return Module(
        "x.py", f"{START}{flags}def f(scratch: OwnDirectory, cache, name, names, mode, request):\n    {body}\n"
    )


@pytest.fixture
def _in_own(monkeypatch):
    """A function whose first parameter must be an own directory."""
    other = Module("other.py", "def in_own(directory: OwnDirectory): ...")
    monkeypatch.setitem(functions(), "in_own", [(other, [(0, "directory")])])


@pytest.mark.usefixtures("_in_own")
@pytest.mark.parametrize("line", REFUSED.strip().splitlines())
def test_a_call_without_a_kind_is_found(line):
    assert wrong(snippet(line))[0]


@pytest.mark.usefixtures("_in_own")
@pytest.mark.parametrize("line", ACCEPTED.strip().splitlines())
def test_a_call_of_a_kind_is_accepted(line):
    assert not wrong(snippet(line))[0]


@pytest.mark.parametrize(
    ("line", "follows"),
    [
        ("(cache / name).write_bytes(b'')", True),
        ("open(name, 'w')", True),
        ("shutil.copyfile(name, cache)", True),
        ("atomic_file(cache)", False),
        ("atomic_file(cache / 'index.json')", False),
        ("atomic_file(cache / 'blobs/x')", True),
        ("atomic_file(cache / name)", True),
        ("atomic_file(Path(cache, name))", True),
        ("atomic_file(cache / name, directory=1)", False),
        ("(cache / name).mkdir()", True),
        ("TreeWriter(cache / name)", False),
    ],
)
def test_a_call_that_follows_links_below_a_directory_of_the_user_is_found(line, follows):
    module = snippet(f"{line}  # writes: output, of the user")
    assert [*wrong(module)[1].values()] == [follows]
