"""Generates random services: their computations, decorators, and dependencies."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from hypothesis import strategies as st

WRAPPERS = '''\
"""What projects put around `@bentoml.service`."""


def same(service):
    return service


def with_label(key):
    def wrap(service):
        service.labels[key] = "wrapped"
        return service

    return wrap


def renamed(suffix):
    def wrap(service):
        class Inner(service.inner):
            pass

        Inner.__name__ = f"{service.inner.__name__}_{suffix}"
        service.inner = Inner
        return service

    return wrap


def configured(**config):
    def wrap(service):
        service.config.update(config)
        return service

    return wrap


def maybe(service):
    import os

    if os.environ.get("MODE") == "x":
        service.labels["maybe"] = "yes"
    return service
'''
BASE = """\
import os

import bentoml


class Base:
    shared = bentoml.models.BentoModel("scaler:v2")

    @bentoml.api
    def health(self) -> str:
        return "well"


NAMES = {"team": "ml"}
WORKERS = int(os.environ.get("WORKERS", "3"))
"""
HEAD = """\
import copy
import functools
import os
from collections import defaultdict
from types import SimpleNamespace

import bentoml
from base import NAMES, WORKERS, Base
from wrappers import configured, maybe, renamed, same, with_label

if os.environ.get("FANCY"):
    from fancy import service
else:
    service = bentoml.service

if os.environ.get("FANCY"):
    chosen = "fancy"
    from fancy import other
elif os.environ.get("MODE") == "y":
    other = bentoml.service
else:
    other = service

two = functools.partial(bentoml.service, workers=2)
args = bentoml.use_arguments()
TRAFFIC = {"timeout": 30}
TRAFFIC["concurrency"] = 4
COMPUTED = {"timeout": int(os.environ.get("TIMEOUT", "40"))}
LABELS = {"a": "b"}
LABELS["stage"] = os.environ.get("MODE", "dev")
MORE = {key: "1" for key in os.environ.get("KEYS", "k l").split()}
MADE = {"a": "b"}
CALLED = {"timeout": 20}


def put(where, key):
    where.update({key: "5"})


def call(key):
    CALLED[key] = 6


for key in ("p", "q"):
    put(MADE, key)
[call(key) for key in ("concurrency",)]
LIST = ["one"]
SAME = LIST
LIST += ["two"]
"""

MAKERS = ["@bentoml.service({})", "@service({})", "@other({})", "@two({})", "@getattr(bentoml, 'service')({})"]
WRAPPED = [
    "@same",
    "@with_label('w')",
    "@renamed('Api')",
    "@configured(workers=5)",
    "@copy.copy",
    "@maybe",
    "@(lambda s: s)",
]
NAMED = ['name="{0}-s"', "name=f'{0}-{{1 + 1}}'", "name='{0}_' + os.environ.get('MODE', 'm')", "name=args.name"]
LABELLED = [
    "labels={'x': '1'}",
    "labels={'x': os.environ.get('MODE', 'd'), 'y': '2'}",
    "labels=NAMES",
    "labels={**NAMES, 'n': 3}",
    "labels=LABELS",
    "labels=MORE",
    "labels=MADE",
    "labels={'a': args.name}",
    "labels=dict(NAMES, own='yes')",
    "labels={'x': '1'} if os.environ.get('FANCY') else {'x': '2'}",
]
WITH_ENVS = [
    "envs=[{'name': 'A', 'value': '1'}]",
    "envs=[{'name': 'A', 'value': os.environ.get('MODE', 'd')}, {'name': 'B'}]",
    "envs=[{'name': n} for n in ('P', 'Q')]",
    "envs=[{'name': 'C', 'value': '3', 'stage': 'runtime'}]",
]
CONFIGURED = [
    "workers=3",
    "workers=WORKERS",
    "workers=int(os.environ.get('WORKERS', '2'))",
    "traffic=TRAFFIC",
    "traffic=COMPUTED",
    "traffic=CALLED",
    "traffic={'timeout': 7, 'concurrency': int(os.environ.get('WORKERS', '2'))}",
    "resources={'gpu': 1, 'gpu_type': 'nvidia-l4'}",
    "resources={'cpu': os.environ.get('CPU', '1')}",
    "**{'workers': 6}",
    "**COMPUTED_CONFIG",
    "http={'port': 4000, 'cors': {'enabled': True, 'access_control_allow_origins': SAME}}",
    "cmd=['serve', 'it']",
    "path_prefix='/p'",
]
DESCRIBED = ["description='Plain.'", "description=os.environ.get('MODE', 'Computed.')"]
IMAGES = [
    "image=bentoml.images.Image(python_version='3.12', lock_python_packages=False).python_packages('idna')",
    "image=bentoml.images.Image(python_version=os.environ.get('PY', '3.12'), lock_python_packages=False).python_packages('idna')",
]
MODELS = [
    "bentoml.models.BentoModel('iris_clf:latest')",
    "bentoml.models.BentoModel('IRIS_CLF:v1')",
    "bentoml.models.get('Iris_CLF')",
    "bentoml.models.BentoModel(os.environ.get('MODEL', 'iris_clf:v1'))",
    "bentoml.models.get(os.environ.get('MODEL', 'scaler:v2'))",
    "bentoml.models.get('short')",
    "bentoml.models.HuggingFaceModel('Org/Bert', 'COMMIT')",
    "bentoml.models.HuggingFaceModel('Org/Bert', revision='COMMIT', endpoint=None, include=['*.json'])",
    "bentoml.models.HuggingFaceModel('gpt2', revision='COMMIT', endpoint='http://127.0.0.1:9', exclude=SAME)",
    "bentoml.models.HuggingFaceModel('gpt2', 'COMMIT', os.environ.get('MIRROR'))",
    "bentoml.models.BentoModel('scaler') if os.environ.get('MODE') else bentoml.models.BentoModel('iris_clf:v1')",
]
MODELS = [model.replace("COMMIT", "0123456789" * 4) for model in MODELS]
MEMBERS = [
    "    @bentoml.task\n    def later(self, x: int) -> int:\n        return x\n",
    "    @bentoml.api(route='/v1/chat/completions')\n    def chat(self, x: int) -> int:\n        return x\n",
    "    @bentoml.api(route=os.environ.get('ROUTE', '/v2/chat/completions'))\n    def talk(self, x: int) -> int:\n        return x\n",
]

# Classes whose code runs without a call of it: where an object is made, read, set, tested, written as a text, ...
HOOKED = {
    "read": ("    @property\n    def p(self):\n        {effect}\n        return 'v'\n", "read"),
    "cached": ("    @functools.cached_property\n    def p(self):\n        {effect}\n        return 'v'\n", "read"),
    "set": (
        "    @property\n    def p(self):\n        return 'v'\n\n    @p.setter\n    def p(self, value):\n        {effect}\n",
        "set",
    ),
    "deleted": ("    p = 'v'\n\n    def __delattr__(self, name):\n        {effect}\n", "deleted"),
    "any read": ("    def __getattr__(self, name):\n        {effect}\n        return 'v'\n", "read"),
    "any set": ("    p = 'v'\n\n    def __setattr__(self, name, value):\n        {effect}\n", "set"),
    "descriptor": (
        "    class D:\n        def __get__(self, of, kind=None):\n            {effect}\n\n    p = D()\n",
        "read",
    ),
    "descriptor set": (
        "    class D:\n        def __set__(self, of, value):\n            {effect}\n\n    p = D()\n",
        "set",
    ),
    "named": (
        "    class D:\n        def __set_name__(self, owner, name):\n            {effect}\n\n    p = D()\n",
        "made",
    ),
    "below": ("    def __init_subclass__(cls):\n        {effect}\n", "below"),
    "metaclass": ("    class M(type):\n        def __init__(cls, *_):\n            {effect}\n", "metaclass"),
    "entered": ("    def __enter__(self):\n        {effect}\n\n    def __exit__(self, *_):\n        pass\n", "entered"),
    "tested": ("    def __bool__(self):\n        {effect}\n        return True\n", "tested"),
    "text": ("    def __str__(self):\n        {effect}\n        return 'v'\n", "text"),
    "added": ("    def __add__(self, other):\n        {effect}\n        return self\n", "added"),
    "iterated": ("    def __iter__(self):\n        {effect}\n        return iter('a')\n", "iterated"),
    "keeps": ("    def add(self):\n        self.kept['h'] = '7'\n        {effect}\n", "keeps"),
}
USES = {
    "read": [
        "K().p",
        "k = K()\nMADE['h'] = k.p",
        "getattr(K(), 'p')",
        "[k.p for k in [K()]]",
        "for k in (K(),):\n    k.p",
        "hasattr(K(), 'p')",
        "sorted([K()], key=lambda k: k.p)",
        "class L(K):\n    pass\nf'{{L().p}}'",
    ],
    "set": [
        "K().p = 'w'",
        "setattr(K(), 'p', 'w')",
        "k = K()\nfor k.p in 'ab':\n    pass",
        "k = K()\nk.p, more = 'w', 1",
    ],
    "deleted": ["k = K()\ndel k.p", "delattr(K(), 'p')"],
    "made": ["K()", "K.p", "pass"],
    "below": ["class L(K):\n    pass", "type('L', (K,), {{}})", "for _ in 'a':\n    class L(K):\n        pass"],
    "metaclass": ["class L(metaclass=K.M):\n    v = '1'\nLABELS['v'] = L.v", "K.M('L', (), {{}})"],
    "entered": ["with K():\n    pass", "k = K()\nwith k as more:\n    pass"],
    "tested": ["if K():\n    pass", "not K()", "any([K()])"],
    "text": ["str(K())", "f'{{K()}}'", "list(map(str, [K()]))"],
    "added": ["K() + 1", "k = K()\nk += 1"],
    "iterated": ["list(K())", "more, = K()", "[each for each in K()]"],
    "keeps": ["k = K()\nk.kept = LABELS\nk.add()", "k = K()\nk.kept = NAMES\nfor _ in 'a':\n    k.add()"],
}
# Other names of what labels are made of, and of what is in it.
ALIASES = [
    "more, *rest = [{0}]",
    "*rest, more = (1, {0})",
    "(more := {0})",
    "more = SimpleNamespace(one={0}).one",
    "more = globals()['{0}']",
    "more = globals()[os.environ.get('N', '{0}')]",
    "more = copy.copy([{0}])[0]",
    "more = ([{0}] * 2)[1]",
    "more = [*{{'k': {0}}}.values()][0]",
    "more = [each for each in [{0}]][0]",
    "more = {{key: {0} for key in 'k'}}['k']",
    "more = sorted([{0}], key=id)[0]",
    "more = max([{0}], key=len)",
    "more = next(iter([{0}]))",
    "more = [{0}].pop()",
    "more = {{'k': {0}}}.pop('k')",
    "more = [{0}][int(os.environ.get('I', '0'))]",
    "more = os.environ.get('X') or {0}",
    "more = {0} if os.environ.get('MODE') != 'x' else {{}}",
    "more = functools.reduce(lambda one, other: one, [{0}, 1])",
    "kept = defaultdict(dict)\nkept['k'] = {0}\nmore = kept['k']",
    "more = copy.deepcopy({0})",
    "more = {0}.copy()",
    "more = dict({0})",
    "more = {{**{0}}}",
]
CHANGES = [
    "more['h'] = '8'",
    "more.update(h='8')",
    "dict.update(more, h='8')",
    "for key in 'h':\n    more[key] = '8'",
    "put(more, 'h')",
    "list(map(more.pop, ['a']))",
    "more.get('a')",
]
EFFECTS = [
    "LABELS['h'] = '1'",
    "NAMES.update(h='2')",
    "TRAFFIC['timeout'] = 9",
    "LIST.append('three')",
    "put(MADE, 'h')",
    "call('h')",
    "LABELS.get('h')",
    "Base.shared = None",
]

# Lines of `HEAD` that change a constant.
CHANGING = re.compile(r"^(\w+\[.*|LIST \+= .*|for key in .*:\n    put.*|\[call.*)\n", re.MULTILINE)


def head_of(body: str) -> str:
    """Return the lines of `HEAD` that define the names that a program uses, without lines that change a constant."""
    kept: list[str] = []
    for statement in reversed(ast.parse(CHANGING.sub("", HEAD)).body):
        nodes = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        names = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
        names |= {(alias.asname or alias.name) for node in ast.walk(statement) for alias in getattr(node, "names", ())}
        names |= {statement.name} if isinstance(statement, ast.FunctionDef) else set()
        if any(re.search(rf"(?<![.\w]){name}\b", "\n".join([*kept, body])) for name in names):
            kept.insert(0, ast.unparse(statement))
    return "\n".join(kept) + "\n"


@dataclass
class Drawn:
    """Describes one service of the graph."""

    name: str
    maker: str
    wrappers: list[str]
    arguments: list[str]
    base: bool
    models: list[str]
    members: list[str]
    depends: list[str] = field(default_factory=list)

    def source(self) -> str:
        lines = [*self.wrappers, self.maker.format(", ".join(self.arguments))]
        lines.append(f"class {self.name}(Base):" if self.base else f"class {self.name}:")
        lines += [f"    m{index} = {model}" for index, model in enumerate(self.models)]
        lines += [f"    {other.lower()} = bentoml.depends({other})" for other in self.depends]
        body = "    @bentoml.api\n    def call(self, x: int) -> int:\n        return x\n"
        return "\n".join([*lines, "", body, *self.members])


@dataclass
class Program:
    """Describes a project with several services, the last of which is the entry service, and its environment."""

    services: list[Drawn]
    after: list[str]
    environment: dict[str, str]
    hooked: str = ""
    simple: bool = False  # may be analyzed statically

    def files(self) -> dict[str, str]:
        head = HEAD + "COMPUTED_CONFIG = {'workers': int(os.environ.get('WORKERS', '8'))}\n"
        body = "\n\n".join(service.source() for service in self.services)
        head = head_of(body) if self.simple else head
        models = "models:\n- tag: iris_clf:v1\n  alias: short\n" if "'short'" in body else ""
        return {
            "service.py": f"{head}\n\n{self.hooked}{body}\n" + "".join(f"\n{line}\n" for line in self.after),
            "base.py": BASE,
            "wrappers.py": WRAPPERS,
            "bentofile.yaml": f"service: service:{self.services[-1].name}\nargs:\n  name: given\npython:\n  lock_packages: false\n{models}",
        }


def some(values: list[str], at_most: int = 1) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), max_size=at_most, unique=True)


@st.composite
def drawn(draw: st.DrawFn, name: str, below: list[str], *, entry: bool, simple: bool) -> Drawn:
    named = [text.format(name.lower()) for text in draw(some(NAMED))]
    config = {
        text.partition("=")[0] if not text.startswith("**") else "workers": text for text in draw(some(CONFIGURED, 3))
    }
    arguments = [*named, *config.values(), *draw(some(LABELLED)), *draw(some(DESCRIBED))]
    if entry:
        arguments += [*draw(some(WITH_ENVS)), *draw(some(IMAGES))]
    maker = MAKERS[0] if simple else draw(st.sampled_from(MAKERS))
    if maker == "@two({})":
        arguments = [
            text
            for key, text in [*config.items(), *((text, text) for text in arguments if text not in config.values())]
            if key != "workers"
        ]
    arguments.sort(key=lambda text: text.startswith("**"))
    depends = [other for other in below if draw(st.booleans())]
    return Drawn(
        name,
        maker,
        draw(some(WRAPPED, 2)) if not simple and draw(st.booleans()) else [],
        arguments,
        not simple and draw(st.booleans()),
        draw(some(MODELS, 2)) if draw(st.booleans()) else [],
        draw(some(MEMBERS)) if draw(st.booleans()) else [],
        depends,
    )


AFTER = [
    "TRAFFIC['late'] = 1",
    "NAMES['late'] = 'yes'",
    "if os.environ.get('MODE'):\n    {}.labels['late'] = 'yes'",
    "{}.labels['own'] = 'x'",
    "for key in ('r', 's'):\n    {}.labels.update({{key: 'x'}})",
    "def change(service):\n    service.labels.setdefault('t', 'x')\nfor each in ({},):\n    change(each)",
]


@st.composite
def hooks(draw: st.DrawFn) -> str:
    """Return a class with code that runs implicitly and a statement that triggers it, or a change through an alias."""
    if draw(st.booleans()):
        alias = draw(st.sampled_from(ALIASES)).format(draw(st.sampled_from(["LABELS", "NAMES", "MADE"])))
        return f"{alias}\n{draw(st.sampled_from(CHANGES))}\n\n\n"
    body, kind = HOOKED[draw(st.sampled_from(sorted(HOOKED)))]
    use, effect = draw(st.sampled_from(USES[kind])), draw(st.sampled_from(EFFECTS))
    return f"class K:\n{body.format(effect=effect)}\n\n{use.format()}\n\n\n"


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Return programs with one to three services."""
    names = ["Leaf", "Middle", "Entry"][-draw(st.integers(1, 3)) :]
    simple = draw(st.integers(0, 3)) > 0
    services = [
        draw(drawn(name, names[:index], entry=name == "Entry", simple=simple)) for index, name in enumerate(names)
    ]
    after = [line.format("Entry") for line in draw(some(AFTER))] if not simple and draw(st.booleans()) else []
    hooked = draw(hooks()) if not simple and draw(st.booleans()) else ""
    environment = draw(st.sampled_from([{}, {}, {"MODE": "x"}, {"WORKERS": "9", "MODEL": "iris_clf:v1", "KEYS": "z"}]))
    return Program(services, after, environment, hooked, simple)
