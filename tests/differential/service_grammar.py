"""Writes random services of several modules: constants, the ways to refer to them, and the ways in which they change.

About half of the services contain code that might change a constant, the service, or a module. In templates, `$x` is
an expression for the constant, `$n` its name, `$m` an expression for its module, `$f` the name of its module, and `$v`
another value.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Each kind of constant: its name, another value, and its spellings. `$t` is another constant of the same module.
TEXT, NUMBER, DICT, LIST, NESTED = "text", "number", "dict", "list", "nested"
NAMES = {TEXT: "NAME", NUMBER: "WORKERS", DICT: "LABELS", LIST: "ENVS", NESTED: "TRAFFIC"}
OTHER = {TEXT: "'beta'", NUMBER: "5", DICT: "{'team': 'b'}", LIST: "[{'name': 'B'}]", NESTED: "{'timeout': 9}"}


def read_forms() -> dict[str, list]:
    """Return the templates in `service_forms.txt` by section. A template of several parts is a tuple."""
    forms: dict[str, list] = {}
    for section in re.split(r"^\[", FILE.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title, *rows = section.split("\n")
        rows = [row.removeprefix("\\").replace("¶", "\n") for row in rows if row]
        forms[title.rstrip("]")] = [tuple(row.split(" ⇒ ")) if "⇒" in row else row for row in rows]
    return forms


FILE = Path(__file__).with_name("service_forms.txt")
FORMS = read_forms()
SMALL = "PART = 'part'\nCOUNT = 3\nBASE = {'base': 'b'}\n"


DECORATOR_CODE = (
    "def same(service):\n    return service\n\n\n"
    "def labelled(service):\n    service.labels['by'] = 'decorator'\n    return service\n\n\n"
    "def renamed(inner):\n    inner.__name__ = 'Renamed'\n    return inner\n\n\n"
)
MAKER_CODE = {
    "service": "from bentoml import service\n",
    "make": "make = bentoml.service\n",
    "sdk": "import bentoml as sdk\n",
    "partial": "import functools\npartial = functools.partial(bentoml.service, workers=9)\n",
}

API_CODE = {
    "endpoint": "from bentoml import api as endpoint\n",
    "logged": "def logged(function):\n    @functools.wraps(function)\n    def wrapper(*args, **kwargs):\n        return function(*args, **kwargs)\n    return wrapper\n",
}
BASE_CODE = {
    "(Base)": "class Base:\n    @bentoml.api\n    def from_base(self, x: int) -> int:\n        return x\n\n\n",
    "(metaclass=Meta)": "class Meta(type):\n    def __new__(cls, name, bases, body):\n        return type.__new__(cls, name + 'Meta', bases, body)\n\n\n",
    "(typing.Generic[T])": "T = typing.TypeVar('T')\n\n\n",
    "(extra.Mixin)": "import extra\n",
}


STANDARD = re.findall(
    r"\w+",
    """
    abc asyncio atexit builtins code collections contextlib copy ctypes dataclasses enum functools gc heapq importlib
    inspect json operator os pathlib pickle pkgutil random re sys threading timeit types typing unittest warnings
    """,
)
IMPORTED = {"unittest": "unittest.mock"}
# Encodings in which a word has another form.
CODINGS = {"utf-7": "+AGcAbABvAGIAYQBsAHM-", "unicode_escape": "\\u0067lobals", "raw_unicode_escape": "\\u0067lobals"}
EXTRA = (
    "import types\nOTHER = 'gamma'\nNAME = 'star'\nLABELS = {'team': 'star'}\n_HIDDEN = 1\nclass Mixin:\n    kind = 'mixin'\n"
    "bentoml = types.SimpleNamespace()\n"
)


def fill(template: str, **values: str) -> str:
    """Replace `$x` by the value for `x`, with the indentation of the line."""
    lines = []
    for line in template.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        filled = re.sub(r"\$(\w)\b", lambda match: values.get(match[1], match[0]), line[len(indent) :])
        lines += [indent + each if each else each for each in filled.split("\n")] if filled else [""]
    return "\n".join(lines)


@dataclass
class Constant:
    """A constant: its module, and the expression for it in the service's module."""

    kind: str
    name: str
    module: str
    expression: str


@dataclass
class Program:
    """A project with a service, and the categories of code that it contains."""

    files: dict[str, str]
    service: str
    arguments: dict[str, str]
    categories: list[str] = field(default_factory=list)


def program(seed: int) -> Program:
    """Return the project of a seed."""
    return _Drawing(random.Random(seed)).program()


class _Drawing:
    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._pick = source.choice
        self._categories: list[str] = []
        self._package = "app." if self._chance(0.25) else ""
        self._home = f"{self._package}service"
        self._values = self._package + self._pick(["values", "values", "conf.limits", "conf"])
        self._before: dict[str, list[str]] = {self._home: [], self._values: []}  # statements before the service
        self._after: dict[str, list[str]] = {self._home: []}
        self._imports: list[str] = []
        self._constants: dict[str, Constant] = {}
        self._arguments: dict[str, str] = {}
        self._layout: dict[str, str] = {}
        self._coding: dict[str, str] = {}

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _usual(self, values: list, count: int) -> object:
        """Return one of the first `count` values, and rarely one of the others."""
        return self._pick(values[count:] if len(values) > count and self._chance(0.06) else values[:count])

    def program(self) -> Program:
        for kind in NAMES:
            if self._chance(0.6):
                self._constant(kind)
        if self._chance(0.3):
            self._noise()
        dangers: list[Callable[[], None]] = [
            *(self._bind_again, self._change_container, self._store_or_reflect, self._store_or_reflect),
            *(self._change_modules, self._change_bentoml, self._private_name),
        ]
        for probability in (0.5, 0.04):
            if self._constants and self._chance(probability):
                self._pick(dangers)()
        body = self._services()
        if self._chance(0.07):
            self._statement(
                self._home, self._pick(FORMS["service_changes"]).replace("$s", "Svc"), "service", self._after
            )
        files = {f"{self._path(module)}": self._module(module, body) for module in self._before}
        if any(re.search(r"\bextra\b", text) for text in files.values()):
            files["extra/__init__.py"] = EXTRA
            files["extra/part.py"] = "NAME = 'part'\n"
        for module in [*files]:
            for parent in module.split("/")[:-1]:
                path = module[: module.index(f"{parent}/")] + f"{parent}/__init__.py"
                files.setdefault(path, "")
        files |= self._layout
        return Program(files, f"{self._home}:Svc", self._arguments, self._categories)

    def _path(self, module: str) -> str:
        is_package = module.endswith("conf") or any(other.startswith(f"{module}.") for other in self._before)
        return module.replace(".", "/") + ("/__init__.py" if is_package else ".py")

    # Constants

    def _constant(self, kind: str) -> None:
        name = NAMES[kind]
        spelling = self._usual(FORMS[f"spellings {kind}"], 3)
        annotation = ": typing.Final" if self._chance(0.04) else ""
        module = self._home if self._chance(0.5) else self._values
        definition = f"{name}{annotation} = {spelling}"
        expression = name
        if module == self._values:
            package, _, last = module.rpartition(".")
            forms = [
                *((f"from {module} import {name}", name),) * 5,
                (f"from {module} import {name} as own_{name}", f"own_{name}"),
                (f"import {module}", f"{module}.{name}"),
                (f"import {module} as given", f"given.{name}"),
                (f"try:\n    from {module} import {name}\nexcept ImportError:\n    {name} = {OTHER[kind]}", name),
                (f"from {module} import *", name),
                (f"from {module} import {name}\n{name}_2 = {name}", f"{name}_2"),
            ]
            forms += [(f"from {package} import {last}", f"{last}.{name}")] if package else []
            forms += [(f"from .{last} import {name}", name)] * 2 if f"{package}." == self._package else []
            found: tuple[str, str] = self._usual(forms, 6)
            statement, expression = found
            self._imports.append(statement)
        elif self._chance(0.06):
            definition, expression = self._pick(
                [
                    (f"class Config:\n    {definition}", f"Config.{name}"),
                    (f"if COUNT:\n    {definition}", name),
                    (f"{name} = None\n{definition}", name),
                    (f"{definition}\nshort = {name}", "short"),
                    (f"try:\n    {definition}\nexcept ValueError:\n    pass", name),
                    (f"class Kind(str, enum.Enum):\n    {definition}", f"Kind.{name}"),
                    (f"{name}, other = {spelling}, 1", name),
                    (f"other = {name} = {spelling}", name),
                ]
            )
        self._before[module].append(definition)
        self._constants[kind] = Constant(kind, name, module, expression)

    def _noise(self) -> None:
        for _ in range(self._random.randint(1, 3)):
            self._before[self._pick([*self._before])].append(self._pick(FORMS["noise"]))

    # Code that might change something

    def _place(self, constant: Constant) -> tuple[str, str, str, str]:
        """Return a module, expressions for the constant and its module there, and an import."""
        choices = [(constant.module, constant.name, "sys.modules[__name__]", "")]
        if constant.module != self._home:
            owner = constant.expression.rpartition(".")[0]
            choices += [
                (
                    self._home,
                    constant.expression,
                    owner or constant.module,
                    "" if owner else f"import {constant.module}",
                )
            ] * 2
        helper = f"{self._package}helper"
        choices.append((helper, f"{constant.module}.{constant.name}", constant.module, f"import {constant.module}"))
        choices.append(
            (
                helper,
                constant.name,
                constant.module,
                f"import {constant.module}\nfrom {constant.module} import {constant.name}",
            )
        )
        return self._pick(choices)

    def _statement(self, module: str, text: str, category: str, where: dict[str, list[str]] | None = None) -> None:
        self._categories.append(category)
        if module.endswith("helper") and module not in self._before:
            self._before[module] = []
            user = self._pick([self._home, self._home, self._values])
            self._pick([self._before, self._after]).setdefault(user, []).append(f"import {module}")
        self._pick([self._before, self._after] if where is None else [where]).setdefault(module, []).append(text)

    def _wrapped(self, statement: str, name: str) -> str:
        declaration = (
            f"global {name}" if name.isidentifier() and not re.match(r"(from .* import \*)", statement) else "pass"
        )
        return fill(self._pick(FORMS["wrappers"]), s=statement, g=declaration)

    def _bind_again(self) -> None:
        constant = self._pick([*self._constants.values()])
        module, expression, _, needed = self._place(constant)
        statement = fill(self._pick(FORMS["bindings"]), x=expression, v=OTHER[constant.kind])
        self._statement(module, "\n".join(filter(None, [needed, self._wrapped(statement, expression)])), "binding")

    def _store_or_reflect(self) -> None:
        constant = self._pick([*self._constants.values()])
        module, expression, owner, needed = self._place(constant)
        category = self._pick(["store", "reflection", "reflection"])
        template = self._pick(FORMS["stores"] if category == "store" else FORMS["reflection"])
        statement = fill(template, x=expression, m=owner, n=constant.name, f=constant.module, v=OTHER[constant.kind])
        self._statement(module, "\n".join(filter(None, [needed, self._wrapped(statement, "")])), category)

    def _change_container(self) -> None:
        containers = [each for each in self._constants.values() if each.kind in (DICT, LIST, NESTED)]
        if not containers:
            return self._bind_again()
        constant = self._pick(containers)
        module, expression, owner, needed = self._place(constant)
        alias, other = self._pick(FORMS["aliases"])
        change = self._pick(FORMS["list_changes"] if constant.kind == LIST else FORMS["changes"])
        if constant.kind == NESTED:
            change = change.replace("'k'", "'timeout'").replace("k=", "timeout=").replace("'v'", "8")
        values = {"x": expression, "m": owner, "n": constant.name, "f": constant.module}
        change = fill(change, d=fill(other, **values))
        function = "def put(of):\n    of.update(k='v')\n" if "put(" in change else ""
        text = f"{function}{fill(alias, **values)}\n{self._wrapped(change, '')}"
        return self._statement(module, "\n".join(filter(None, [needed, text])), "container")

    def _private_name(self) -> None:
        for module, statements in self._before.items():
            self._before[module] = [each.replace("NAME", "_C__NAME") for each in statements]
        self._imports = [each.replace("NAME", "_C__NAME") for each in self._imports]
        for constant in self._constants.values():
            constant.name, constant.expression = (
                each.replace("NAME", "_C__NAME") for each in (constant.name, constant.expression)
            )
        constant = self._constants.get(TEXT)
        if constant and constant.name == "_C__NAME":
            module, _, owner, needed = self._place(constant)
            text = fill(self._pick(FORMS["private"]), m=owner, v="'beta'")
            self._statement(module, f"{needed}\n{text}", "private")

    def _change_bentoml(self) -> None:
        module = self._pick([self._home, self._values, f"{self._package}helper"])
        self._statement(
            module,
            f"import bentoml\n{self._wrapped(self._pick(FORMS['bentoml_changes']), 'bentoml')}",
            "bentoml",
            self._before,
        )

    def _change_modules(self) -> None:
        constant = self._pick([*self._constants.values()])
        value, name, module = OTHER[constant.kind], constant.name, constant.module
        top = self._values.replace(".", "/")
        other = f"{SMALL}{name} = {value}\n"
        everything = SMALL + "".join(f"{NAMES[kind]} = {OTHER[kind]}\n" for kind in NAMES)
        user, helper = self._home, f"{self._package}helper"
        ways: list[tuple[str, str, dict[str, str]]] = [
            (self._home, "import sys\nsys.path.insert(0, 'lib')", {f"lib/{top}.py": everything}),
            (self._home, "import sys\nsys.path.append('lib')", {f"lib/{top}.py": everything}),
            (self._home, "import os, sys\nsys.path[:0] = [os.path.abspath('lib')]", {f"lib/{top}.py": everything}),
            (self._home, "import site\nsite.addsitedir('lib')", {f"lib/{top}.py": everything}),
            (self._home, "import os\nos.chdir('lib')", {f"lib/{top}.py": everything}),
            (self._home, "", {f"{top}/__init__.py": everything}),  # a package comes before a module
            (module, f"def __getattr__(name):\n    return {value}", {}),
            (self._home, f"__path__ = ['lib']\nfrom extra import {name if name in EXTRA else 'OTHER as ' + name}", {}),
            (self._values, f"import extra.part\n__path__ = ['lib']\nfrom . import {name}", {f"lib/{name}.py": other}),
            (helper, f"from {module} import *\n__all__ = ['COUNT']", {}),
            (module, f"__all__ = ['{name}']", {}),
            (module, "__all__ = []", {}),
            (module, f"import {self._home} as service_module\nservice_module.{name} = {value}", {}),
            (module, f"from {self._home} import {name}", {}),
            (self._home, f"from yaml import {name}", {"yaml.py": other}),
            (self._home, f"from attr import {name}", {"attr/__init__.py": other}),
            (self._home, f"from string import {name}", {"string.py": other}),
            (self._home, f"from colorsys import {name}", {"colorsys.py": other}),
            (self._home, "", {"bentoml.py": "def service(**given):\n    return lambda inner: inner\napi = task = service\n"}),
            (self._home, f"import extra.{name}", {f"extra/{name}.py": "X = 1\n"}),
            (module, "import importlib\nimportlib.reload(importlib.import_module(__name__))", {}),
            (self._home, "import sys, importlib.machinery\nsys.meta_path.insert(0, importlib.machinery.PathFinder)", {}),
            (self._home, "import yaml\nclass Y(yaml.YAMLObject):\n    yaml_tag = '!y'\n    @classmethod\n    def from_yaml(cls, *_):\n"
             f"        global {name}\n        {name} = {value}\nyaml.load('!y {{}}', yaml.Loader)", {}),
            (self._home, f"import json\nclass E(json.JSONEncoder):\n    def default(self, _):\n        global {name}\n        {name} = {value}\n"
             "json.dumps(object, cls=E)", {}),
        ]  # fmt: skip
        if self._package and "." not in module.removeprefix(self._package):  # a submodule named as a constant
            init = f"{self._package.replace('.', '/')}__init__.py"
            ways = ways[::2] + 3 * [
                (
                    user,
                    f"import {self._package}{name}\nfrom app import {name}",
                    {f"app/{name}.py": "X = 1\n", init: f"{name} = {value}\n"},
                ),
                (
                    user,
                    f"from app import {name}",
                    {f"app/{name}.py": "X = 1\n", init: f"import app.{name}\n{name} = {value}\n"},
                ),
                (
                    user,
                    f"from app import {name}",
                    {f"app/{name}.py": "X = 1\n", init: f"{name} = {value}\nimport app.{name}\n"},
                ),
                (
                    user,
                    f"from app import {name}",
                    {init: f"from app.inner import {name}\n", "app/inner.py": f"{name} = {value}\n"},
                ),
            ]
        if self._chance(0.1):
            encoding, call = self._pick([*CODINGS.items()])
            self._coding[module] = f"# coding: {encoding}\n"
            ways = [(module, f"{call}()['{name}'] = {value}", {})]
        where, text, files = self._pick(ways)
        self._layout |= files
        if text:
            self._statement(where, text, "module")
        else:
            self._categories.append("module")

    # Services

    def _services(self) -> str:
        parts = []
        depends = []
        if self._chance(0.3):
            name = self._pick(["Lower", "Lower", "Other"])
            parts.append(self._service(name, [], entry=False))
            form = self._usual(
                ["bentoml.depends($s)", "bentoml.depends(on=$s)", "bentoml.depends($s, url='http://x:1')"], 1
            )
            depends.append(f"    lower = {form.replace('$s', name)}\n")
            if self._chance(0.15):
                self._statement(
                    self._home, self._pick(FORMS["service_changes"]).replace("$s", name), "service", self._after
                )
        if self._chance(0.04):
            depends.append("    away = bentoml.depends(deployment='d', cluster='c')\n")
        parts.append(self._service("Svc", depends, entry=True))
        return "\n\n".join(parts)

    def _service(self, name: str, depends: list[str], *, entry: bool) -> str:
        chosen = {kind: one.expression for kind, one in self._constants.items() if self._chance(0.8 if entry else 0.3)}
        keywords = {
            TEXT: self._pick(["name", "description", "labels"]) if entry else "name",
            NUMBER: "workers",
            DICT: "labels",
            LIST: "envs",
            NESTED: "traffic",
        }
        given = {}
        for kind, expression in chosen.items():
            value = f"{{'team': {expression}}}" if keywords[kind] == "labels" and kind == TEXT else expression
            given[keywords[kind]] = value if keywords[kind] != "name" or entry else f"{name.lower()!r} + {expression}"
        if self._chance(0.2):
            given["resources"] = self._pick(["{'cpu': '1'}", "{'gpu': 1, 'memory': f'{COUNT}Gi'}", "{'gpu': COUNT}"])
        if entry and self._chance(0.2):
            given["image"] = self._image()
        if entry and self._chance(0.05):
            self._use_arguments(given)
        prefix, lines = "", []
        if self._chance(0.03):
            decorator = self._pick(FORMS["decorators"])
            lines.append(f"{decorator}\n")
            self._categories.append("decorator")
            prefix += DECORATOR_CODE + ("APP = object()\n" if "APP" in decorator else "")
        text = ", ".join(f"{key}={value}" for key, value in given.items())
        maker = self._usual(FORMS["makers"], 1)
        made = re.match(r"@(\w+)", maker)
        prefix += MAKER_CODE.get(made[1], "") if made else ""
        lines.insert(self._random.randint(0, len(lines)), maker.replace("$a", text))
        base = self._pick(FORMS["bases"]) if self._chance(0.03) else ""
        prefix += BASE_CODE.get(base, "")
        members = [*depends, self._usual(FORMS["apis"], 10)] if entry or self._chance(0.7) else []
        members += (
            [self._usual(FORMS["members"], 8) for _ in range(self._random.randint(0, 2))] if self._chance(0.5) else []
        )
        prefix += "".join(code for key, code in API_CODE.items() if f"@{key}" in "".join(members))
        text = "".join(members) or "    pass\n"
        doc = '    """Serves."""\n\n' if self._chance(0.3) else ""
        for kind, one in self._constants.items():
            text = re.sub(rf"(?<![\w.])(?<!global ){NAMES[kind]}\b", one.expression, text)
        return f"{prefix}{''.join(lines)}class {name}{base}:\n{doc}{text}"

    def _image(self) -> str:
        text = self._pick(FORMS["images"])
        if self._chance(0.5) or TEXT not in self._constants:
            text = text.replace("NAME", "PART")
        else:
            text = text.replace("NAME", self._constants[TEXT].expression)
        if self._chance(0.4):
            return text
        steps = [self._usual(FORMS["image_steps"], 4) for _ in range(self._random.randint(0, 3))]
        self._before[self._home] += [f"image = {text}", *steps]
        return "image"

    def _use_arguments(self, given: dict[str, str]) -> None:
        if self._chance(0.6):
            model = "class Args(pydantic.BaseModel):\n    label: str = 'default'\n    count: int = 2"
            self._before[self._home] += [model, "args = bentoml.use_arguments(Args)"]
        else:
            self._before[self._home].append("args = bentoml.use_arguments()")
            self._arguments["label"] = "given"
        if self._chance(0.5):
            self._arguments["label"] = "given"
        given["description"] = self._pick(["args.label", "f'{args.label}-x'"])

    def _module(self, module: str, body: str) -> str:
        is_home = module == self._home
        statements = [*self._before[module]]
        if is_home:
            statements = [*self._imports, *statements]
            if self._chance(0.03):
                self._random.shuffle(statements)
        text = "\n".join([*statements, *(["\n", body] if is_home else []), *self._after.get(module, [])])
        needed = [name for name in STANDARD if re.search(rf"(?<![.\w]){name}\.", text)]
        head = "from __future__ import annotations\n" if self._chance(0.1) else ""
        head += '"""A module."""\n' if not head and self._chance(0.2) else ""
        imports = [f"import {IMPORTED.get(name, name)}" for name in needed]
        imports += ["import bentoml"] if is_home or "bentoml" in text else []
        imports += ["import pydantic"] if "pydantic." in text else []
        head = self._coding.get(module, "") + head
        return f"{head}{chr(10).join(imports)}\n{SMALL if re.search('PART|COUNT|BASE', text) else ''}{text}\n"
