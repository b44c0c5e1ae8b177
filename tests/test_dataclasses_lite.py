"""Records do what the standard library's dataclasses do, of which they are a part that starts faster."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bento_cli
import pytest
import rules_bento
from rules_bento import dataclasses_lite, subcommands, typing_lite

DIRECTORY = Path(rules_bento.__file__).parent


def record_classes() -> list[type]:
    """All classes of records that are in the package."""
    found = set()
    packages = [*pkgutil.walk_packages(rules_bento.__path__, "rules_bento.")]
    packages += pkgutil.walk_packages(bento_cli.__path__, "bento_cli.")
    for module in packages:
        if "from rules_bento.dataclasses_lite import" in _source(module.name):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, type) and value.__module__ == module.name and "__match_args__" in vars(value):
                    found.add(value)
    return sorted((cls for cls in found if hasattr(cls, "__record_fields__")), key=lambda cls: cls.__qualname__)


def _source(module: str) -> str:
    path = DIRECTORY.parent.joinpath(*module.split("."))
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")


def twin(made_by: Any, **flags: Any) -> Any:
    """Return a class with each kind of field, made by ours or by the standard library."""

    @made_by.dataclass(**flags)
    class Base:
        first: int
        second: str = "two"
        hidden: str = made_by.field(default="", repr=False)

    @made_by.dataclass(**flags)
    class Twin(Base):
        third: list[int] = made_by.field(default_factory=list)
        aside: str = made_by.field(default="aside", compare=False)
        later: int = made_by.field(default=0, init=False)
        nested: Any = None

        def __post_init__(self) -> None:
            object.__setattr__(self, "later", self.first + 1)

    Twin.__qualname__ = "Twin"
    return Twin


FLAGS = [{}, {"frozen": True}, {"eq": False}, {"frozen": True, "eq": False}]
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}),
    ((1, "2", "h", [3], "b", {"k": (1, 2)}), {}),
    ((), {"first": 1, "third": [2]}),
    ((1,), {"second": "s", "nested": [1]}),
    ((), {}),
    ((1,), {"first": 2}),
    ((1,), {"unknown": 2}),
    ((1,), {"later": 2}),
    ((1, 2, 3, 4, 5, 6, 7), {}),
]


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_a_record_is_made_and_shown_and_refuses_arguments_as_the_standard_library_has_it(
    flags: dict[str, Any], call: tuple[tuple[Any, ...], dict[str, Any]]
) -> None:
    values, named = call
    said = []
    for made_by in (dataclasses_lite, dataclasses):
        cls = twin(made_by, **flags)
        try:
            one, other = cls(*values, **named), cls(*values, **named)
        except TypeError as error:
            said.append(("refused", str(error).partition(" ")[2]))
            continue
        changed = made_by.replace(one, second="changed", aside="other")
        said.append((repr(one), repr(changed), made_by.asdict(one), one == other, one == changed, one == 1))
        said[-1] += (one.third is other.third, cls.second, hasattr(cls, "third"), cls.__match_args__)
    ours, theirs = said
    assert ours == theirs


@pytest.mark.parametrize("flags", FLAGS, ids=str)
def test_a_record_is_hashed_and_frozen_as_the_standard_library_has_it(flags: dict[str, Any]) -> None:
    said = []
    for made_by in (dataclasses_lite, dataclasses):
        cls = twin(made_by, **flags)
        one, other = cls(1, third=()), cls(1, third=(), aside="not compared")
        hashed = cls.__hash__ and hash(one) == hash(other)
        try:
            one.first = 2
            frozen = ""
        except AttributeError as error:
            frozen = str(error)
        said.append((bool(hashed), one == other, frozen, one.first))
    ours, theirs = said
    assert ours == theirs


def test_another_class_with_the_same_fields_is_not_equal() -> None:
    assert twin(dataclasses_lite)(1) != twin(dataclasses_lite)(1)


def test_plain_values_hold_records_lists_and_named_tuples() -> None:
    @dataclasses_lite.dataclass
    class Inner:
        value: int

    made = twin(dataclasses_lite)(1, third=[Inner(1)], nested={"a": (Inner(2),)})
    assert dataclasses_lite.asdict(made)["third"] == [{"value": 1}]
    assert dataclasses_lite.asdict(made)["nested"] == {"a": ({"value": 2},)}


@pytest.mark.parametrize(
    "call", [((1,), {}), ((1, "2"), {}), ((), {"first": 1}), ((), {}), ((1, 2, 3), {}), ((1,), {"x": 1})]
)
def test_a_named_tuple_is_the_standard_librarys(call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    said = []
    for base in (dataclasses_lite.NamedTuple, typing.NamedTuple):

        class Pair(base):  # type: ignore[misc, valid-type]
            """Two."""

            first: int
            second: str = "two"

            @property
            def both(self) -> str:
                return f"{self.first}{self.second}"

            @staticmethod
            def made() -> Any:
                return Pair(1)

            def __str__(self) -> str:
                return "a pair"

        Pair.__qualname__ = "Pair"
        try:
            one = Pair(*call[0], **call[1])
        except TypeError as error:
            said.append(str(error).replace("Pair.", ""))
            continue
        said.append(
            (repr(one), str(one), one.both, tuple(one), one == (1, "two"), one._replace(second="b"), one._asdict())
        )
        said[-1] += (Pair.__doc__, Pair.__name__, Pair.__module__, Pair._fields, Pair.made(), len(one), hash(one))
    ours, theirs = said
    assert ours == theirs


def test_all_records_of_the_package_have_signatures_that_the_standard_library_gives_them() -> None:
    found = record_classes()
    assert len(found) > 100
    for cls in found:
        told = dataclasses_lite.fields(cls)
        spec: list[Any] = []
        for one in told:
            more: dict[str, Any] = {"init": one.init, "repr": one.repr, "compare": one.compare}
            if one.make:
                more["default_factory"] = one.make
            elif one.default is not dataclasses_lite._MISSING:
                more["default"] = one.default
            spec.append((one.name, Any, dataclasses.field(**more)))
        theirs = dataclasses.make_dataclass(cls.__name__, spec)
        ours = dataclasses_lite._compile_init(cls, frozen=False)
        assert shape(ours)[1:] == shape(theirs), cls


def shape(function: Any) -> list[tuple[str, Any, bool]]:
    found = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default is each.empty) for each in found]


def test_no_module_of_the_package_imports_the_standard_librarys_records() -> None:
    for path in DIRECTORY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            dear = {"dataclasses", "typing.NamedTuple"}.intersection(names)
            assert not dear or path.name == "dataclasses_lite.py", (
                f"{path}: import rules_bento.dataclasses_lite instead"
            )


SUBCOMMANDS = sorted(subcommands.MODULES)
# Modules of the standard library that cost a start one to forty million instructions, and that no verb needs for it.
DEAR = {
    "argparse", "asyncio", "ast", "dataclasses", "dis", "http.client", "importlib.metadata", "inspect", "ssl",
    "tarfile", "typing",
}  # fmt: skip


def test_no_verb_imports_at_its_start_what_is_dear_there() -> None:
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from rules_bento import subcommands
for verb in {SUBCOMMANDS!r}:
    if not os.fork():
        subcommands.find(verb)
        print(verb, *sorted({DEAR!r}.intersection(sys.modules)), flush=True)
        os._exit(0)
    os.wait()
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert len(SUBCOMMANDS) > 40
    assert done.stdout.splitlines() == SUBCOMMANDS


def test_modules_take_the_names_of_annotations_from_where_they_cost_nothing() -> None:
    # Beside a block for type checkers, whose statements are not run, `typing` is imported nowhere.
    # `import_answer` reads type hints after the import of BentoML, which imports `typing`.
    for path in set(DIRECTORY.rglob("*.py")) - {DIRECTORY / "service/import_answer.py"}:
        for node in ast.parse(path.read_text("utf-8")).body:
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert "typing" not in names, f"{path}:{node.lineno}: take rules_bento.typing_lite"


def test_hints_are_there_for_what_is_evaluated_at_run_time() -> None:
    assert dict[str, typing_lite.Any] | None
    assert Callable[[typing_lite.TypeVar("_Item")], typing_lite.Any]
    assert typing_lite.Literal["one", "two"] is typing_lite.Literal
    one: Any = "1"
    assert typing_lite.cast("str", one) == "1"

    class Body(typing_lite.Protocol):
        """A protocol."""

    assert issubclass(Body, typing_lite.Protocol)
