"""Helper classes of projects, drawn with a seed, beside BentoML's import: what importing never runs doesn't matter.

Classes that an import doesn't use contain anything, and give BentoML's metadata at once. Of classes that an import uses,
each gives BentoML's metadata or a rejection.
"""

from __future__ import annotations

import random
from itertools import starmap

import pytest

from tests.differential.imports import analyzed, imported

COUNT = 200
SERVICE = """import abc, dataclasses, enum, functools, importlib, inspect, logging, sys, threading, typing
import bentoml, pydantic
from values import LABELS
{imports}
{before}
@bentoml.service(name="svc", labels=LABELS, workers=2)
class Svc:
    def __init__(self):
        self.helper = {use}

    @bentoml.api
    def predict(self, text: str) -> str:
        return getattr(self.helper, text)
"""
HEAD = (
    "import abc, dataclasses, enum, functools, importlib, inspect, logging, sys, threading, typing\nimport pydantic\n"
)
HEAD += "from values import LABELS\n"
# Code that static analysis rejects if it runs.
ANYTHING = [
    "getattr(self, 'x', None)",
    "setattr(self, 'x', 1)",
    "delattr(self, 'x')",
    "print(self.__class__.__name__)",
    "self.__dict__.update(x=1)",
    "inspect.signature(print)",
    "eval('1')",
    "exec('x = 1')",
    "sys.modules.get('values')",
    "sys.path.append('lib')",
    "importlib.import_module('json')",
    "__import__('json')",
    "vars(self)",
    "globals()",
    "self.f.__func__",
]
# Code that changes the labels if it runs.
CHANGES = [
    "LABELS['changed'] = 'yes'",
    "LABELS.update(changed='yes')",
    "globals()['LABELS'].update(changed='yes')",
    "sys.modules['values'].LABELS['changed'] = 'yes'",
    "getattr(LABELS, 'update')(changed='yes')",
    "exec('LABELS.clear()')",
]
METHODS = [
    "def __init__(self, *args, **kwargs):",
    "def __call__(self, *args):",
    "def __str__(self):",
    "def __enter__(self):",
    "def __del__(self):",
    "def __getattr__(self, name):",
    "def __post_init__(self):",
    "def __get__(self, obj, kind=None):",
    "def __set_name__(self, owner, name):",
    "def __init_subclass__(self):",
    "def run(self):",
    "async def later(self):",
    "@property\n    def value(self):",
    "@functools.cached_property\n    def cached(self):",
    "@classmethod\n    def make(self):",
    "@functools.lru_cache\n    def kept(self):",
    "@value_.setter\n    def value_(self, new):",
]
LAMBDAS = ["act = lambda self: {0}", "table = {{'act': lambda self: {0}, 'also': [lambda self: 1]}}"]
BASES = ["", "", "Base", "Base", "abc.ABC", "Exception", "logging.Handler", "threading.Thread", "typing.Generic[T]"]
BASES += ["Base, typing.Generic[T]", "pydantic.BaseModel", "enum.Enum", "dict", "metaclass=Meta"]
DECORATORS = ["", "", "", "@functools.total_ordering\n", "@dataclasses.dataclass\n", "@typing.final\n"]
# Mentions that don't use a class.
UNUSED = [
    "",
    "def build(helper: {0} = None) -> '{0}':\n    return {0}()",
    "class Below({0}):\n    def go(self):\n        return super().__init__()",
    "if typing.TYPE_CHECKING:\n    made = {0}()",
    "if __name__ == '__main__':\n    {0}().run()",
    "maker = lambda: {0}()",
    "from fastapi import Depends\ndef route(helper=Depends({0})):\n    return helper",
    "@dataclasses.dataclass\nclass Settings:\n    helper: object = dataclasses.field(default_factory={0})\n    own: object = 1",
    "helper: '{0} | None' = None",
]
USED = [
    "helper = {0}()",
    "str({0}())",
    "{0}.make()",
    "class Below({0}): pass",
    "class Below({0}): pass\nBelow()",
    "made = [kind() for kind in ({0},)]",
    "alias = {0}\nalias()",
    "def go():\n    return {0}()\ngo()",
    "class Holder:\n    field = {0}()",
    "{0}().value",
    "{0}()()",
    "(lambda: {0}())()",
    "maker = lambda: {0}()\nmaker()",
    "table = {{'k': {0}}}\ntable['k']()",
    "def register(kind):\n    kind()\n    return kind\n@register\nclass Below({0}): pass",
    "@dataclasses.dataclass\nclass Settings:\n    helper: object = dataclasses.field(default_factory={0})\nSettings()",
    "def with_default(helper={0}()): ...",
    "with {0}(): pass",
    "class Other:\n    def __init__(self): {0}()\nOther()",
    "class Above:\n    class Inner({0}): pass\nAbove.Inner()",
    "import fastapi\nfastapi.FastAPI(lifespan={0}())",
]
SUPPORT = """T = typing.TypeVar("T")
class Meta(type):
    def __call__(cls, *args, **kwargs):
        return super().__call__(*args, **kwargs)
class Base:
    def __init__(self, *args):
        {0}
    def run(self):
        {0}
"""


class Drawing:
    """One project: the files, and whether the import uses the helper class."""

    def __init__(self, seed: int, *, used: bool) -> None:
        self._random = random.Random(seed)
        self._bodies = CHANGES if used else [*ANYTHING, *CHANGES]
        pick = self._random.choice
        where, use = pick(["service", "model", "alias", "module"]), pick(USED if used else UNUSED)
        name = {"service": "Net", "model": "Net", "alias": "Kind", "module": "Net"}[where]
        classes = SUPPORT.format(pick(self._bodies)) + self._class(used=used)
        imports = {"service": "", "alias": "from model import Net as Kind", "module": "from lib.model import Net"}
        before = (classes if where == "service" else "") + use.format(name)
        self.files = {
            "values.py": "LABELS = {'team': 'a'}\n",
            "service.py": SERVICE.format(
                imports=imports.get(where, "from model import Net"), before=before, use=f"{name}()"
            ),
        }
        if where != "service":
            self.files["lib/model.py" if where == "module" else "model.py"] = HEAD + classes

    def _class(self, *, used: bool) -> str:
        pick = self._random.choice
        count = self._random.randint(1, 5)
        methods = self._random.sample(METHODS, count)
        base = pick(BASES)
        if not used:  # what importing would run
            on_creation = {"Exception": (), "enum.Enum": ("__",)}.get(base, ("__init_subclass__",))
            methods = [
                each for each in methods if not any(word in each for word in (*on_creation, "__init_subclass__"))
            ]
        body = [f"    {self._method(each)}" for each in methods]
        if base != "pydantic.BaseModel" and self._random.random() < 0.4:
            body.append(f"    {pick(LAMBDAS).format(pick(['getattr(self, 1)', 'LABELS.clear()', 'eval(self)']))}")
        if self._random.random() < 0.3:
            body.append("    class Inner:\n        def __init__(self):\n            globals()")
        if any("value_" in each for each in methods):
            body.insert(0, "    @property\n    def value_(self): return 1")
        decorator = pick(DECORATORS) if base in ("", "Base", "abc.ABC") else ""
        if "total_ordering" in decorator:
            body.append("    def __lt__(self, other):\n        return vars(self) < vars(other)")
        return f"{decorator}class Net({base}):\n" + "\n".join([*body, "    pass\n"])

    def _method(self, head: str) -> str:
        body = self._random.choice(self._bodies)
        if self._random.random() < 0.3:
            body = f"def inner():\n            {body}\n        return inner()"
        return f"{head}\n        {body}"


@pytest.fixture(scope="module", autouse=True)
def _bentoml():
    """Load what each of the forked processes needs."""
    pytest.importorskip("bentoml").service  # noqa: B018
    import fastapi  # noqa: F401
    import pydantic  # noqa: F401


def test_what_importing_runs_is_never_missed(tmp_path):
    wrong, changed = [], 0
    for number in range(COUNT):
        files = Drawing(1000 + number, used=True).files
        real = imported(tmp_path / str(number), files)
        ours, _ = analyzed(files)
        changed += real is not None and real["labels"] != {"team": "a"}
        if ours is not None and real is not None and ours != real:
            wrong.append(f"{number}: {ours} instead of {real}\n" + "\n".join(starmap("# {}\n{}".format, files.items())))
    assert not wrong, f"{len(wrong)}\n\n" + "\n".join(wrong[:5])
    assert changed > COUNT / 10
