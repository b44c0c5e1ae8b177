"""Dataclasses and named tuples behave like those of the standard library, which actions don't import."""

import dataclasses
import subprocess
import sys
import typing
from typing import Any

import pytest
from rules_bento.actions import subcommands
from rules_bento.base import dataclasses_lite

FLAGS: list[dict[str, bool]] = [{}, {"frozen": True}]
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}),
    ((1, "2", "h", [3], "b", {"k": (1, 2)}), {}),
    ((), {"first": 1, "third": [2]}),
    ((), {}),
    ((1,), {"first": 2}),
    ((1,), {"unknown": 2}),
    ((1, 2, 3, 4, 5, 6, 7), {}),
]


def twin(module: Any, **flags: bool) -> Any:
    """Return a class with each kind of field, created by `module`."""

    @module.dataclass(**flags)
    class Base:
        first: int
        second: str = "two"
        hidden: str = module.field(default="", repr=False)

    @module.dataclass(**flags)
    class Twin(Base):
        third: list[int] = module.field(default_factory=list)
        aside: str = module.field(default="aside", compare=False)
        nested: Any = None

    Twin.__qualname__ = "Twin"
    return Twin


def behavior(module: Any, call: tuple[tuple[Any, ...], dict[str, Any]], flags: dict[str, bool]) -> tuple[Any, ...]:
    cls = twin(module, **flags)
    try:
        one, other = cls(*call[0], **call[1]), cls(*call[0], **call[1])
    except TypeError as error:
        return ("rejected", str(error).partition(" ")[2])
    changed = module.replace(one, second="changed", aside="other")
    hashable = cls(1, third=(), nested=())
    try:
        hashable.first = 2
        frozen = ""
    except AttributeError as error:
        frozen = str(error)
    return (
        *(repr(one), repr(changed), module.asdict(one), one == other, one == changed, one == 1, frozen),
        *(one.third is other.third, cls.second, hasattr(cls, "third"), cls.__match_args__),
        bool(cls.__hash__) and hash(hashable) == hash(module.replace(hashable, aside="not compared")),
    )


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_dataclasses_equal_the_standard_librarys(call: Any, flags: dict[str, bool]) -> None:
    assert behavior(dataclasses_lite, call, flags) == behavior(dataclasses, call, flags)
    assert twin(dataclasses_lite)(1) != twin(dataclasses_lite)(1), "the classes differ"


@pytest.mark.parametrize("call", [((1,), {}), ((1, "2"), {}), ((), {}), ((1, 2, 3), {}), ((1,), {"x": 1})])
def test_named_tuples_equal_the_standard_librarys(call: Any) -> None:
    found = []
    for base in (dataclasses_lite.NamedTuple, typing.NamedTuple):

        class Pair(base):  # type: ignore[misc, valid-type]
            """Two."""

            first: int
            second: str = "two"

            @property
            def both(self) -> str:
                return f"{self.first}{self.second}"

        try:
            one = Pair(*call[0], **call[1])
        except TypeError as error:
            found.append(str(error).rpartition("Pair.")[2])
            continue
        found.append((repr(one), one.both, one == (1, "two"), one._replace(second="b"), one._asdict(), Pair._fields))
    assert found[0] == found[1]


SUBCOMMANDS = sorted(subcommands.MODULES)
# Modules whose import needs one to forty million instructions.
SLOW = {
    "argparse", "asyncio", "ast", "dataclasses", "dis", "http.client", "importlib.metadata", "inspect", "ssl",
    "tarfile", "typing",
}  # fmt: skip


def test_subcommands_import_no_slow_modules_at_their_start() -> None:
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from rules_bento.actions import subcommands
for name in {SUBCOMMANDS!r}:
    if not os.fork():
        subcommands.find(name)
        print(name, *sorted({SLOW!r}.intersection(sys.modules)), flush=True)
        os._exit(0)
    os.wait()
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert len(SUBCOMMANDS) > 40
    assert done.stdout.splitlines() == SUBCOMMANDS
