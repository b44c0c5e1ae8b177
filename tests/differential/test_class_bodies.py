"""Compares the code that creating and mentioning classes runs, by BentoML's import and by static analysis.

Each form calls `change` somewhere. The analysis must give BentoML's labels, or reject the service by line.
"""

from __future__ import annotations

import re

import pytest

from tests.differential.imports import analyzed, imported

HEAD = """import abc, asyncio, collections, contextlib, dataclasses, enum, functools, importlib, os, typing
from typing import Annotated, Any, Generic, NamedTuple, Optional, Protocol, TypeVar, Union
import attrs, bentoml, pydantic
from pydantic import BaseModel, ConfigDict, Field
from values import LABELS, change
T = TypeVar("T")
"""
VALUES = "LABELS = {'stage': 'dev'}\ndef change(*_):\n    LABELS['stage'] = 'prod'\n    return int\n"
SERVICE = """
@bentoml.service(name="svc", labels=LABELS, workers=2)
class Svc:
    {0}
    @bentoml.api
    def predict(self, text: str = "x") -> str:
        return text
"""

# Statements of the body of a class that has the function `f`.
BODY = [
    "f()",
    "@f\n    def g(self): pass",
    "@f\n    class I: pass",
    "def g(self, x=f()): pass",
    "def g(self, *, x=f()): pass",
    "def g(self, x: f(int)): pass",
    "def g(self) -> f(int): pass",
    "x: int = f()",
    "x: f(int)",
    "if f(): pass",
    "while not f(): pass",
    "x = [y for y in (f(),)]",
    "x = f'{f()}'",
    "x = max([1], key=f)",
    "x = next(iter(map(f, [1])))",
    "class I(f(object)): pass",
    "class I(metaclass=f() and type): pass",
    "g = lambda x=f(): x",
    "assert f()",
    "match f():\n        case _: pass",
    "g = f\n    g()",
    "(x := f())",
    "for x in (f(),): pass",
    "x = 1 if f() else 2",
    "x = functools.reduce(f, [1, 2])",
    "x = functools.partial(f)()",
    "x = {'a': f}['a']()",
    "x = {}.get('a', f)()",
    "async def g(f): f()\n    asyncio.run(g(f))",
    "with contextlib.ExitStack() as stack: stack.callback(f)",
    "x = [1]\n    x += [f]\n    x[1]()",
    "f = staticmethod(f)\n    f()",
    "class I:\n        @staticmethod\n        def s(): change()\n    I.s()",
    "del f\n    change()",
    "try: raise ValueError\n    except ValueError: f()",
]
# Methods of a metaclass, and annotations that run them. A method returns its class, or the second value.
METACLASS = [
    ("__or__", "K | None"),
    ("__ror__", "int | K"),
    ("__and__", "list[K & int]"),
    ("__matmul__", "dict[str, K @ 1]"),
    ("__getitem__", "K['x']"),
    ("__getattr__", "K.kind"),
    ("__getattribute__", "Optional[K]"),
    ("__hash__", "Optional[K]", "1"),
    ("__eq__", "Union[K, int]", "c is a[0]\n    __hash__ = type.__hash__"),
    ("__call__", "K()"),
    ("__neg__", "-K"),
    ("__lt__", "K < 1"),
    ("__format__", "f'{K}'", "''"),
]
FORMS = {
    "static method": "class K:\n    @staticmethod\n    def s(): change()\n    s()",
    "lambda": "class K:\n    f = lambda: change()\n    a = f()",
    "lambda in a table": "class K:\n    t = {'a': lambda: change()}\n    a = t['a']()",
    "generator": "class K:\n    def f(): yield change()\n    x = list(f())",
    "context manager": "class K:\n    @contextlib.contextmanager\n    def cm(): yield change()\n    with cm(): pass",
    "coroutine": "class K:\n    async def f(): change()\n    asyncio.run(f())",
    "cached": "class K:\n    @functools.cache\n    def f(): change()\n    f()",
    "property": "class K:\n    @property\n    def x(self): change()\n    y = x.fget(1)",
    "private": "class K:\n    def __f(): change()\n    __f()",
    "other name": "class K:\n    def f(): change()\n    g = h = f\n    h()",
    "table": "class K:\n    def f(): change()\n    T = {'a': [f]}\n    T['a'][0]()",
    "table, filled": "class K:\n    T = {}\n    def f(): change()\n    T['a'] = f\n    T['a']()",
    "table of the module": "T = {}\nclass K:\n    def f(): change()\n    T['a'] = f\nT['a']()",
    "other name of the module": "class K:\n    global g\n    def f(): change()\n    g = f\ng()",
    "special name": "class K(enum.Enum):\n    A = 1\n    def f(self, v): change()\n    __init__ = f",
    "global": "class K:\n    global f\n    def f(): change()\nf()",
    "nonlocal": "def make():\n    f = None\n    class K:\n        nonlocal f\n        def f(): change()\n    f()\nmake()",
    "in a function": "def make():\n    class K:\n        def f(): change()\n        f()\nmake()",
    "in a class of a method": "class K:\n    def f():\n        class I:\n            def g(): change()\n            g()\n    f()",
    "dataclass": "@dataclasses.dataclass\nclass K:\n    def make(): return change()\n    x: Any = make()",
    "named tuple": "class K(NamedTuple):\n    def make(): return change()\n    x: Any = make()",
    "member": "class K(enum.Enum):\n    def make(): return [change()]\n    A = make()",
    # Names that a body binds
    "own property": "class K:\n    def property(f): f(1)\n    @property\n    def x(self): change()",
    "own staticmethod": "def staticmethod(f): f()\nclass K:\n    @staticmethod\n    def x(): change()",
    "own decorator by :=": "def run(f): f(1)\nclass K:\n    @(property := run)\n    def a(self): pass\n    @property\n"
    "    def x(self): change()",
    "own functools": "class X:\n    @staticmethod\n    def cache(f): f()\nclass K:\n    functools = X\n    @functools.cache\n"
    "    def go(): change()",
    "own bentoml": "def make(bentoml):\n    @bentoml.api\n    def go(): change()\nclass X:\n    @staticmethod\n"
    "    def api(f): f()\nmake(X)",
    "own depends": "def go(): change()\nfrom bentoml import depends\ndef make(depends):\n    class K:\n        x = depends(go)\n"
    "make(lambda f: f())",
    "own dataclass": "from dataclasses import dataclass\nclass K:\n    def dataclass(c): c().go()\n    @dataclass\n    class I:\n"
    "        def go(self): change()",
    "own setter": "class R:\n    def setter(self, f): f(1)\nclass K:\n    go = R()\n    @go.setter\n    def go(self): change()",
    "setter of a base class": "class P(property):\n    def setter(self, f): f(1, 2)\nclass B:\n    @P\n    def x(self): pass\n"
    "class K(B):\n    @B.x.setter\n    def x(self, v): change()",
    "alias of globals": "globals = globals\nglobals()['change']()",
    "globals by a pattern": "def f(): pass\nmatch f:\n    case object(__globals__=g): g['change']()",
    # Metaclasses
    "function": "def meta(*a): change()\nclass K(metaclass=meta): pass",
    "lambda as a metaclass": "Meta = lambda *a: change()\nclass K(metaclass=Meta): pass",
    "function of a class": "class H:\n    @staticmethod\n    def meta(*a): change()\nclass K(metaclass=H.meta): pass",
    "function of the body": "class H:\n    def meta(*a): change()\n    class K(metaclass=meta): pass",
    "partial": "def meta(x, n, b, ns): ns['go']()\nM = functools.partial(meta, 1)\nclass K(metaclass=M):\n    def go(): change()",
    "object": "class M:\n    def __call__(self, n, b, ns): ns['go']()\nm = M()\nclass K(metaclass=m):\n    def go(): change()",
    "** of a class": "class M(type):\n    def __init__(c, *a): c().go()\nclass K(**{'metaclass': M}):\n    def go(self): change()",
    "metaclass of a metaclass": "class MM(type):\n    def __call__(cls, *a): change()\nclass M(type, metaclass=MM): pass\n"
    "class K(metaclass=M): pass",
    "__set_name__": "class M(type):\n    def __set_name__(c, o, n): change()\nclass K:\n    class I(metaclass=M): pass",
    "__init__, set later": "class M(type): pass\nM.__init__ = lambda c, *a: c().go()\nclass K(metaclass=M):\n"
    "    def go(self): change()",
    "__new__, assigned": "def new(*a): type.__new__(*a)().go()\nclass M(type):\n    __new__ = new\nclass K(metaclass=M):\n"
    "    def go(self): change()",
    "mixin": "class X:\n    def __init__(c, *a): c().go()\nclass M(X, type): pass\nclass K(metaclass=M):\n    def go(self): change()",
    "__setattr__, decorator": "class M(type):\n    def __setattr__(c, *a): change()\n@dataclasses.dataclass\nclass K(metaclass=M): pass",
    "__setattr__, Generic": "class M(type):\n    def __setattr__(c, *a): change()\nclass K(Generic[T], metaclass=M): pass",
    "property of a metaclass": "class M(type):\n    @property\n    def kind(c): change()\nclass K(metaclass=M): pass\n"
    "def g(x: K.kind): pass",
    "operator, inherited": "class M(type):\n    def __or__(c, o): c().go()\nclass B(metaclass=M): pass\nclass K(B):\n"
    "    def go(self): change()\nclass U:\n    def g(self, x: K | None): pass",
    "operator, service": "class M(type):\n    def __or__(c, o): change()\nclass K(metaclass=M): pass\n#service a: K | None = None",
    "operator, string": "class M(type):\n    def __or__(c, o): return change()\nclass K(metaclass=M): pass\n"
    "class P(BaseModel):\n    x: 'K | None' = 1",
    "singledispatch": "class K(abc.ABC):\n    @classmethod\n    def __subclasshook__(c, o): return bool(change())\n"
    "@functools.singledispatch\ndef g(x): pass\n@g.register\ndef _(x: K): pass\ng(1)",
    "isinstance of a base class": "class B(abc.ABC): pass\nclass K(B):\n    @classmethod\n    def __subclasshook__(c, o):\n"
    "        return bool(change())\nisinstance(1, B)",
    # Base classes
    "subscript": "class M(type):\n    def __getitem__(c, n): change()\n    \nclass K(metaclass=M): pass\nclass J(K[1] or object): pass",
    "attribute": "class M(type):\n    def __getattr__(c, n): return change()\nclass K(metaclass=M): pass\nclass J(K.base): pass",
    "argument": "class Z:\n    def __init_subclass__(c): c().go()\nclass Base: pass\ndef make(Base):\n    class J(Base):\n"
    "        def go(self): change()\nmake(Z)",
    "pattern": "class Z:\n    def __init_subclass__(c): c().go()\nmatch Z:\n    case B:\n        class J(B):\n"
    "            def go(self): change()",
    "__init_subclass__, assigned": "def hook(c): c().go()\nclass B:\n    __init_subclass__ = classmethod(hook)\nclass J(B):\n"
    "    def go(self): change()",
    "named tuple as a base class": "class K(collections.namedtuple('K', 'a')):\n    def f(): change()\n    f()",
    # Enumerations
    "__init__": "class K(enum.Enum):\n    A = 1\n    def __init__(self, v): self.go()\n    def go(self): change()",
    "__init__, property": "class K(enum.Enum):\n    A = 1\n    def __init__(self, v): hasattr(self, 'go')\n    @property\n"
    "    def go(self): change()",
    "__init__, helper": "def help(x): x.go()\nclass X:\n    def __init__(self, v): help(self)\nclass K(X, enum.Enum):\n    A = 1\n"
    "    def go(self): change()",
    "__init__, lambda": "class K(enum.Enum):\n    __init__ = lambda self, v: change() and None\n    A = 1",
    "__init__, metaclass": "class K(metaclass=enum.EnumMeta):\n    A = 1\n    def __init__(self, v): change()",
    "__init__, other name": "try: from enum import StrEnum\nexcept ImportError: from strenum import StrEnum\n"
    "class K(StrEnum):\n    A = 'a'\n    def __init__(self, v): change()",
    "_generate_next_value_": "class K(enum.Enum):\n    def _generate_next_value_(*a): return change()\n    A = enum.auto()",
    # Libraries
    "pydantic, complete": "class K(BaseModel):\n    @classmethod\n    def __pydantic_on_complete__(cls): change()",
    "pydantic, schema": "class K:\n    @classmethod\n    def __get_pydantic_core_schema__(c, s, h): return c.go(h)\n"
    "    @classmethod\n    def go(c, h): return h(change())\nclass P(BaseModel):\n    k: K",
    "pydantic, alias": "class K(BaseModel):\n    @staticmethod\n    def camel(n): return n if change() else n\n    x: int = 1\n"
    "    model_config = ConfigDict(alias_generator=camel)",
    "pydantic, dict": "class K(BaseModel):\n    x: int = 1\n    model_config = {'alias_generator': lambda n: n if change() else n}",
    "pydantic, Config": "class C:\n    @staticmethod\n    def alias_generator(n): return n if change() else n\n"
    "class K(BaseModel):\n    x: int = 1\n    class Config(C): pass",
    "pydantic, field": "class I(BaseModel):\n    @pydantic.model_validator(mode='after')\n    def v(self): self.go(); return self\n"
    "    def go(self): change()\nclass O(BaseModel):\n    i: 'list[I]'\nO(i=[{}])",
    "pydantic, dataclass": "@dataclasses.dataclass\nclass I:\n    def __post_init__(self): change()\nclass O(BaseModel):\n"
    "    i: I | None\nO.model_validate({'i': {}})",
    "pydantic, custom": "from pydantic_core import core_schema as s\nclass I:\n    @classmethod\n"
    "    def __get_pydantic_core_schema__(c, *a): return s.no_info_plain_validator_function(c.go)\n    @classmethod\n"
    "    def go(c, v): change()\nclass O(BaseModel):\n    i: I\nO(i=1)",
    "pydantic, serializer": "class I(BaseModel):\n    a: int = 1\n    @pydantic.field_serializer('a')\n"
    "    def s(self, v): return bool(change())\nclass O(BaseModel):\n    i: I\nO(i={}).model_dump()",
    "pydantic, arguments": "class A(BaseModel):\n    @pydantic.model_serializer\n    def s(self): return {'a': bool(change())}\n"
    "args = bentoml.use_arguments(A)\nprint(args.model_dump())",
    "pydantic, arguments that a function returns": "class A(BaseModel):\n    @pydantic.model_serializer\n"
    "    def s(self): return {'a': bool(change())}\ndef load(): return bentoml.use_arguments(A)\n"
    "pydantic.TypeAdapter(Any).dump_python(load())",
    "pydantic, type argument": "class B(BaseModel, Generic[T]):\n    def __init_subclass__(c): change()\ndef g(x: B[int]): pass",
    "pydantic, alias of a type": "def f(): return change()\nX = Optional['f()']\nclass P(BaseModel):\n    x: X = None",
    "pydantic, call": "class I(BaseModel):\n    def model_post_init(self, c): change()\n@pydantic.validate_call\n"
    "def g(i: I): pass\ng({})",
    "pydantic, fields": "class L:\n    def __init__(self): change()\nclass K(BaseModel, arbitrary_types_allowed=True):\n"
    "    x: L = None\nfor f in K.model_fields.values(): f.annotation()",
    "attrs, subclass": "@attrs.define\nclass B:\n    @classmethod\n    def __attrs_init_subclass__(c): change()\n"
    "@attrs.define\nclass K(B): pass",
    "attrs, transformer": "class K:\n    def t(c, f): return f if change() else f\n    @attrs.define(field_transformer=t)\n"
    "    class I: x: int = 1",
    "annotations": "class L:\n    def __init__(self): change()\ndef inject(f):\n    for k in f.__annotations__.values(): k()\n"
    "@inject\ndef run(x: L): pass",
    "type hints": "class L:\n    def __init__(self): change()\nclass K:\n    x: 'L'\n"
    "for k in typing.get_type_hints(K).values(): k()",
    "types of fields": "class L:\n    def __init__(self): change()\n@dataclasses.dataclass\nclass K:\n    x: L\n"
    "for f in dataclasses.fields(K): f.type()",
}
# Forms of two modules: `other.py`, and the service.
MODULES = {
    "body": ("class K:\n    def f(): change()\n    f()", "from other import K"),
    "metaclass": ("def meta(*a): change()", "from other import meta as m\nclass K(metaclass=m): pass"),
    "operator": (
        "class M(type):\n    def __or__(c, o): change()\nclass K(metaclass=M): pass",
        "from other import K as J\ndef g(x: J | None): pass",
    ),
    "base class": (
        "class B:\n    def __init_subclass__(c): c().go()",
        "def make():\n    from other import B as Z\n    class K(Z):\n        def go(self): change()\nmake()",
    ),
    "attribute of a module": ("def __getattr__(name): return change()", "from other import MISSING"),
    "decorator": (
        "import typing\ndef inject(f):\n    for k in typing.get_type_hints(f).values(): k()",
        "from other import inject\nclass L:\n    def __init__(self): change()\n@inject\ndef run(x: L): pass",
    ),
    "retry": ("import functools", "from tenacity import retry\n@retry\ndef go(): change()"),
    "imported method": (
        "def __new__(*a): type.__new__(*a)().go()",
        "class M(type):\n    from other import __new__\nclass K(metaclass=M):\n    def go(self): change()",
    ),
}
# Classes that a service only declares. `{0}` is code that the analysis rejects if it runs.
HARMLESS = [
    "class M(type):\n    def __call__(c, *a): {0}\nclass K(metaclass=M): pass\ndef g(x: K | None, y: 'list[K]'): pass",
    "class M(type):\n    def __contains__(c, v): {0}\n    def __getitem__(c, n): {0}\nclass K(dict, metaclass=M): pass\n"
    "def g(x: K = None, y: Optional[K] = None): pass",
    "class M(type):\n    def __iter__(c): {0}\n    def __instancecheck__(c, o): {0}\nclass K(metaclass=M): pass\ndef g(x: type[K]): pass",
    "class K(metaclass=abc.ABCMeta):\n    @classmethod\n    def __subclasshook__(c, o): {0}\nclass J(K): pass\ndef g(x: K): pass",
    "class K(str, enum.Enum):\n    A = 'a'\n    def __str__(self): return self.value\n    @property\n    def kind(self): {0}\n"
    "    @classmethod\n    def parse(c, v): {0}",
    "class E:\n    def __init__(self): {0}\n    def __del__(self): {0}\n@dataclasses.dataclass\nclass State:\n    e: E | None = None\n"
    "state = State()",
    "class K(dict):\n    @classmethod\n    def __get_pydantic_core_schema__(c, s, h):\n        from pydantic_core import core_schema\n"
    "        return core_schema.no_info_plain_validator_function(c.check, ref=lambda: c.check(1) and '')\n    @classmethod\n"
    "    def check(c, v): {0}\n    def __or__(self, o): {0}\nclass P(BaseModel):\n    k: list[K] = []",
    "class A(BaseModel):\n    a: int = 1\n    @pydantic.model_serializer\n    def s(self): {0}\nargs = bentoml.use_arguments(A)",
    "class K:\n    @property\n    def x(self): {0}\n    @x.setter\n    def x(self, v): {0}\n    @functools.cached_property\n"
    "    def y(self): {0}\n    TABLE = {{'a': 1}}\nclass J(K):\n    @K.x.setter\n    def x(self, v): {0}",
    "class K:\n    def __add__(self, o): {0}\n    __radd__ = __add__\n    def f(self): {0}\n    TABLE = {{'f': f, 'g': lambda: [f]}}\n"
    "    TABLE['h'] = f\n    x = property(f, doc='x')\n    s = staticmethod(lambda: {0})",
    "class I(BaseModel):\n    a: int = 1\n    @pydantic.field_validator('a')\n    @classmethod\n    def v(c, a): {0}\nclass O(BaseModel):\n"
    "    i: I = None\nclass R(pydantic.RootModel[int]): pass\ndef g(o: O, r: R): pass",
    "@dataclasses.dataclass\nclass C:\n    a: str = 'x'\n    @classmethod\n    def load(c): return c(**{{f.name: '' for f in "
    "dataclasses.fields(c)}})\nclass Net:\n    def __init__(self): {0}\n@dataclasses.dataclass\nclass H:\n    n: Net = None\nC.load()",
    "class Outer:\n    class Config:\n        def load(self): {0}\n    class Error(Exception):\n        def __init__(self): {0}\n"
    "class Sub(Outer):\n    class Config(Outer.Config): pass\ndef g(x: Outer.Config): pass",
    "@attrs.define\nclass K:\n    x: int = attrs.field(default=1)\n    def __attrs_post_init__(self): {0}\n    def go(self): {0}",
    "class K(Protocol[T]):\n    def go(self) -> T: {0}\nclass J(Generic[T]):\n    def __class_name__(self): {0}\ndef g(x: J[K[int]]): pass",
]


def metaclass(name: str, annotation: str, result: str = "c") -> str:
    read = "return type.__getattribute__(c, *a)" if name == "__getattribute__" else f"return {result}"
    return f"class M(type):\n    def {name}(c, *a): change(); {read}\nclass K(metaclass=M): pass\ndef g(x: {annotation}): pass\n"


def project(code: str, other: str = "") -> dict[str, str]:
    member = re.search("#service (.*)", code)
    files = {"values.py": VALUES, "service.py": f"{HEAD}{code}\n{SERVICE.format(member[1] if member else '')}"}
    files["tenacity.py"] = "def retry(f): f()\n"
    return files | ({"other.py": f"from values import LABELS, change\n{other}\n"} if other else {})


PROJECTS = {f"in the body: {use}": project(f"class K:\n    def f(*a): return change()\n    {use}\n") for use in BODY}
PROJECTS |= {f"metaclass: {name}, {more}": project(metaclass(name, *more)) for name, *more in METACLASS}
PROJECTS |= {name: project(code) for name, code in FORMS.items()}
PROJECTS |= {f"two modules: {name}": project(code, other) for name, (other, code) in MODULES.items()}


@pytest.fixture(scope="module", autouse=True)
def _bentoml():
    """Load what each of the forked processes needs."""
    pytest.importorskip("bentoml").service  # noqa: B018
    import fastapi  # noqa: F401


@pytest.mark.parametrize("name", PROJECTS)
def test_code_that_classes_run_is_never_missed(name, tmp_path):
    real = imported(tmp_path, PROJECTS[name])
    ours, why = analyzed(PROJECTS[name])
    assert ours == real or (ours is None and re.match(r"\w+\.py:\d+: ", why))


@pytest.mark.parametrize("form", HARMLESS)
def test_code_that_declared_classes_never_run_is_never_wrong(form, tmp_path):
    files = project(form.format("getattr(LABELS, 'update')(stage='prod')"))
    assert analyzed(files)[0] in (None, imported(tmp_path, files))
