"""Static reading against what importing with real BentoML gave (tests/services), and what it refuses."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rules_bento.errors import BentoError
from rules_bento.service import (
    from_json,
    read_service,
    snake_case,
    to_json,
)
from rules_bento.service.known_metadata import IMPORT_BY_ATTRIBUTE, IMPORT_BY_OPTION, require_known

from tests.helpers.service_cases import CASES, differences, excused, header, sources_of


@pytest.fixture(params=CASES, ids=lambda path: path.name)
def case(request):
    directory = request.param
    truths = json.loads((directory / "expected.json").read_text(encoding="utf-8"))
    return directory, read_service(header(directory, "service"), sources_of(directory)), truths


def test_equal_to_bentoml_or_said_to_be_unknown(case):
    _, info, truths = case
    for truth in truths:
        wrong = [line for fields, line in differences(info, truth) if not excused(info, fields)]
        assert not wrong, f"with {truth['with']}: {wrong}"


def test_unknown_is_exactly_what_the_case_says(case):
    directory, info, _ = case
    said = [fact.strip() for fact in header(directory, "unknown").split(",") if fact.strip()]
    assert sorted({unknown.field for unknown in info.unknowns}) == sorted(said)


def test_unknowns_point_at_a_line_of_a_source(case):
    directory, info, _ = case
    for unknown in info.unknowns:
        lines = (directory / unknown.path).read_bytes().splitlines()
        assert 1 <= unknown.line <= len(lines)


SVC = "\n\n@bentoml.service(labels=LABELS, image=image)\nclass Svc:\n    pass\n"
ADD = "def add(key):\n    LABELS.update({key: 'x'})\n"
UNFOLLOWED = {
    "an image by a lambda": "run = lambda word: image.run(word)\nfor word in 'ab':\n    run(word)",
    "an image in a loop": "for word in 'ab':\n    image.run(word)",
    "an image while a test holds": "while len(image.commands) < 2:\n    image.run('x')",
    "by a function": ADD + "for key in 'ab':\n    add(key)",
    "by a function that is mapped": ADD + "list(map(add, 'ab'))",
    "by a generator": "def each():\n    LABELS.update(a='b')\n    yield 1\nlist(each())",
    "by a deletion": "def remove():\n    del LABELS['first']\nfor _ in 'a':\n    remove()",
    "by making an object": "class K:\n    def __init__(self, key):\n        LABELS[key] = 'x'\nfor key in 'ab':\n    K(key)",
    "in a tuple": "pair = (LABELS, 1)\nfor key in 'ab':\n    pair[0].update({key: 'x'})",
    "by a module": "from other import add\nfor key in 'ab':\n    add(LABELS, key)",
}
PROPERTY = "class K:\n    @property\n    def p(self):\n        LABELS.update(a='b')\n\n"
PROPERTIES = {
    "read": PROPERTY + "K().p",
    "read in a loop": PROPERTY + "k = K()\nfor _ in 'a':\n    k.p",
    "read by a name in a loop": PROPERTY + "for name in 'p':\n    getattr(K(), name)",
    "set in a loop": PROPERTY.replace("update(a='b')", "get(1)")
    + "    @p.setter\n    def p(self, value):\n        LABELS[value] = 'x'\nk = K()\nfor key in 'ab':\n    k.p = key",
}
# What runs of a class without a call: `{}` changes the labels.
HOOKS = {
    "a property by hasattr": PROPERTY + "hasattr(K(), 'p')",
    "a property of an object's object": PROPERTY + "class M:\n    def __init__(self):\n        self.k = K()\nM().k.p",
    "a descriptor that calls what it decorates": "class D:\n    def __init__(self, f):\n        self.f = f\n"
    "    def __get__(self, o, t=None):\n        return self.f(o)\nclass K:\n    @D\n    def p(self):\n        {}\nK().p",
    "a name that is set": "class D:\n    def __set_name__(self, owner, name):\n        {}\nclass K:\n    p = D()",
    "an attribute that is not there": "class K:\n    def __getattr__(self, name):\n        {}\nK().x",
    "type arguments": "class K:\n    def __class_getitem__(cls, item):\n        {}\nK[int]",
    "a `with`": "class K:\n    def __enter__(self):\n        {}\n    def __exit__(self, *_):\n        pass\nwith K():\n    pass",
    "an operator": "class K:\n    def __add__(self, other):\n        {}\nK() + 1",
    "a dataclass": "import dataclasses\n@dataclasses.dataclass\nclass K:\n    def __post_init__(self):\n        {}\nK()",
    "a method that a library calls": "import pydantic\nclass K(pydantic.BaseModel):\n    def model_post_init(self, c):\n"
    "        {}\nK()",
    "a function that is kept": "import functools\n@functools.lru_cache\ndef k():\n    {}\nk()",
    "what a dataclass was given": "import dataclasses\n@dataclasses.dataclass\nclass K:\n    where: dict\n    def add(self):\n"
    "        self.where['a'] = 'b'\nK(LABELS).add()",
}
# What such code makes of `K.v` or of `K().v`, which the class says is `a`.
OWN = {
    "a property": ("    @property\n    def p(self):\n        self.v = 'b'\n", "k = K()\nk.p", "k.v"),
    "a loop": ("    def set(self):\n        self.v = 'b'\n", "k = K()\nfor _ in 'a':\n    k.set()", "k.v"),
    "its class by name": (
        "    def __str__(self):\n        self.__class__.v = 'b'\n        return ''\n",
        "str(K())",
        "K.v",
    ),
}
MAKING = {
    "a name that is set, by setattr": "class D:\n    def __set_name__(self, owner, name):\n        setattr(owner, 'v', 'b')\n"
    "class K:\n    v = 'a'\n    d = D()",
    "a metaclass": "class M(type):\n    def __init__(cls, *_):\n        cls.v = 'b'\nclass K(metaclass=M):\n    v = 'a'",
}
OTHER = b"LABELS = {}\n\n\ndef add(where, key):\n    where[key] = 'x'\n"
AFTERWARDS = {
    "labels": "for key in 'ab':\n    Svc.labels.update({key: 'x'})",
    "each of a list": "for each in [Svc]:\n    each.labels.update(a='b')",
    "by a function": "def change(service):\n    service.labels.update(a='b')\nfor each in (Svc,):\n    change(each)",
}


# Other names under which code has what it changes: of LABELS, and of the image.
ALIASES = {
    "unpacked with a star": "more, *rest = [{0}]",
    "of a namespace, set later": "import types\nn = types.SimpleNamespace()\nn.one = {0}\nmore = n.one",
    "of a class with items": "class K(dict):\n    pass\nk = K()\nk['k'] = {0}\nmore = k['k']",
    "of a function's defaults": "def f(x={0}):\n    pass\nmore = f.__defaults__[0]",
    "of globals, by get": "more = globals().get('{0}')",
    "of a copy": "import copy\nmore = copy.copy([{0}])[0]",
    "what is taken out of a dict": "more = {{'k': {0}}}.pop('k')",
}
OF_TYPES = {
    "labels": [
        "dict.update(LABELS, a='b')",
        "dict.__setitem__(LABELS, 'a', 'b')",
        "def f() -> LABELS.update(a='b'):\n    pass",
        "def f(x: int, *y: LABELS.update(a='b')):\n    pass",
        "x: LABELS.update(a='b') = 1",
    ],
    "image": ["type(image).run(image, 'x')", "image.__init__()", "object.__setattr__(image, 'distro', 'alpine')"],
    "service": ["object.__setattr__(Svc, 'name', 'x')", "Svc.__setattr__('name', 'x')"],
    "envs": ["Svc.envs[0].value = '2'", "for each in Svc.envs:\n    each.value = '2'"],
}


def unknown_fields(info):
    """What is unknown of a service; everything if the service is."""
    fields = {unknown.field for unknown in info.unknowns}
    return fields | {"labels", "envs", "image"} if "service" in fields else fields


def unknown_after(head, tail=""):
    source = f"import bentoml\n\nLABELS = {{'first': '1'}}\nimage = bentoml.images.Image()\n{head}{SVC}{tail}\n"
    info = read_service("service:Svc", {"service.py": source.encode(), "other.py": OTHER}, {})
    return unknown_fields(info)


@pytest.mark.parametrize("case", UNFOLLOWED)
def test_values_that_unsupported_code_changes_are_unknown(case):
    assert ("image" if "an image" in case else "labels") in unknown_after(UNFOLLOWED[case])


@pytest.mark.parametrize(
    ("name", "change"), [("LABELS", "['a'] = 'b'"), ("LABELS", ".update(a='b')"), ("image", ".run('x')")]
)
@pytest.mark.parametrize("case", ALIASES)
def test_values_that_code_changes_by_another_name_are_unknown(case, name, change):
    alias = ALIASES[case].format(name)
    assert {"LABELS": "labels", "image": "image"}[name] in unknown_after(f"{alias}\nmore{change}")


@pytest.mark.parametrize(("fact", "change"), [(fact, change) for fact in OF_TYPES for change in OF_TYPES[fact]])
def test_values_that_methods_of_types_change_are_unknown(fact, change):
    head = "LABELS = {'first': '1'}\nimage = bentoml.images.Image()"
    service = SVC.replace("labels=", "envs=[{'name': 'A', 'value': '1'}], labels=")
    early = "" if "Svc" in change else change
    source = f"import bentoml\n\n{head}\n{early}{service}\n{change}\n"
    info = read_service("service:Svc", {"service.py": source.encode()}, {})
    assert fact in unknown_fields(info)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("    A = 'x'\n    B = 'x'\n", "K.B.name"),
        ("    A = 1\n    B = True\n", "K.B.name"),
        ("    A = 'x'\n    @property\n    def value(self):\n        return 'own'\n", "K.A.value"),
        ("    A = 'x'\n    def __init__(self, v):\n        self._value_ = 'own'\n", "K.A.value"),
    ],
)
def test_a_member_of_an_enumeration_is_what_python_makes_of_it(body, text):
    head = f"import enum\nclass K(enum.Enum):\n{body}"
    source = f"import bentoml\n{head}\n@bentoml.service(labels={{'x': {text}}})\nclass Svc:\n    pass\n"
    names: dict = {}
    exec(head, names)
    info = read_service("service:Svc", {"service.py": source.encode()}, {})
    assert info.labels.get("x", eval(text, names)) == eval(text, names)
    assert bool(info.labels) != bool(info.unknowns)


@pytest.mark.parametrize("case", PROPERTIES)
def test_values_that_a_property_changes_are_unknown(case):
    assert "labels" in unknown_after(PROPERTIES[case])


@pytest.mark.parametrize("case", HOOKS)
def test_values_that_special_methods_change_are_unknown(case):
    assert "labels" in unknown_after(
        HOOKS[case].replace("{}", "LABELS.update(a='b')").replace("{{", "{").replace("}}", "}")
    )


@pytest.mark.parametrize("case", OWN)
def test_attributes_that_an_object_changes_are_unknown(case):
    body, use, value = OWN[case]
    assert {"labels.x", "labels"} & unknown_after(f"class K:\n    v = 'a'\n{body}\n{use}\nLABELS['x'] = {value}")


@pytest.mark.parametrize("case", MAKING)
def test_attributes_that_the_creation_of_a_class_changes_are_unknown(case):
    assert {"labels.x", "labels"} & unknown_after(f"{MAKING[case]}\nLABELS['x'] = K.v")


def test_members_that_the_creation_of_a_service_adds_are_unknown():
    adds = "class D:\n    def __set_name__(self, owner, name):\n        owner.m = bentoml.models.BentoModel('x:v1')\n"
    source = f"import bentoml\n{adds}\n@bentoml.service\nclass Svc:\n    d = D()\n"
    assert "service" in {
        unknown.field for unknown in read_service("service:Svc", {"service.py": source.encode()}).unknowns
    }


@pytest.mark.parametrize("case", AFTERWARDS)
def test_a_service_that_later_code_changes_is_unknown(case):
    assert "labels" in unknown_after("", AFTERWARDS[case])


@pytest.mark.parametrize(
    "head",
    [
        "for key in 'ab':\n    print(key)",
        "def show(key):\n    return key.upper()\nfor key in 'ab':\n    show(key)",
        "import logging\nfor key in 'ab':\n    logging.getLogger(key).setLevel('INFO')",
        "found = {}\ndef note(key):\n    found[key] = {**LABELS}\nfor key in 'ab':\n    note(key)",
        "class K:\n    @property\n    def p(self):\n        return {**LABELS}\nfound = K().p\nfor _ in 'a':\n    K().p",
    ],
)
def test_values_that_code_only_reads_stay_known(head):
    assert unknown_after(head) == set()


def test_a_legacy_service_needs_the_import():
    source = "import bentoml\nSvc = bentoml.legacy.Service('s')\n\n\n@Svc.api(input=1, output=2)\ndef f(x): ...\n"
    with pytest.raises(BentoError) as caught:
        require_known(read_service("service:Svc", {"service.py": source.encode()}), IMPORT_BY_ATTRIBUTE)
    assert "  service.py:2: service `Svc`: `Svc` isn't a class with `@bentoml.service`. Write" in str(caught.value)


def test_survives_json(case):
    _, info, _ = case
    assert from_json(json.loads(json.dumps(to_json(info)))) == info


# What the conformance suite cannot show: refusals, declarations, hostile input.

PLAIN = b"import bentoml\n\n\n@bentoml.service\nclass Iris:\n    pass\n"


def refusal(service, sources):
    with pytest.raises(BentoError) as raised:
        read_service(service, sources)
    return str(raised.value)


@pytest.mark.parametrize(
    "service",
    [
        "",
        "service:Iris:x",
        "service module:Iris",
        "../service.py:Iris",
    ],
)
def test_malformed_service(service):
    assert "service: invalid value" in refusal(service, {"service.py": PLAIN})


def test_the_error_for_a_missing_module_lists_near_matches():
    sources = {"app/servce.py": PLAIN, "lib/service.py": PLAIN, "README.md": b""}
    message = refusal("app.service:Iris", sources)
    assert "app/service.py" in message
    assert "`app/servce.py`" in message
    assert "`lib/service.py`" in message
    assert "to srcs or deps" in message
    assert "The sources contain no Python files" in refusal("service:Iris", {"README.md": b""})


def test_attribute_missing_suggests():
    message = refusal("service:Irsi", {"service.py": PLAIN})
    assert "service.py has no attribute `Irsi`" in message
    assert "Did you mean `Iris`?" in message
    assert "Specify a class" in refusal("service:Other", {"service.py": PLAIN})


@pytest.mark.parametrize(
    "line",
    [
        b"class Thing: ...",
        b"def Thing(): ...",
        b"Thing = 3",
    ],
)
def test_attribute_is_not_a_service(line):
    message = refusal("service:Thing", {"service.py": line, "lib/__init__.py": b""})
    assert "service.py:1: `Thing` isn't a class decorated with `@bentoml.service`. Decorate" in message


def test_several_services_and_none():
    message = refusal("service", {"service.py": PLAIN + PLAIN.replace(b"Iris", b"Other")})
    assert "defines multiple services: `Iris`, `Other`" in message
    assert "`service:Iris`" in message
    assert "defines no service" in refusal("service.py", {"service.py": b"x = 1\n"})


def test_the_variable_of_a_comprehension_is_no_name_of_the_module():
    line = "NAMES = {name.lower() for name in TEXT.split()}\n"
    source = b"import os, bentoml\nTEXT = os.environ['T']\n" + PLAIN + line.encode()
    assert read_service("service", {"service.py": source}).entry_service == "Iris"


def test_a_conditional_service_counts_as_a_service():
    maybe = b"import os, bentoml\nif os.environ.get('X'):\n    Svc = bentoml.service(object)\n"
    assert "service" in unknown_fields(read_service("service", {"service.py": maybe}))
    assert "Specify one of the services in `service`" in refusal(
        "service", {"service.py": maybe + b"Other = bentoml.load('x')\n"}
    )


def test_two_services_of_one_name():
    source = (
        b"import bentoml\n\n\n@bentoml.service(name='a')\nclass A: ...\n\n\n"
        b"@bentoml.service(name='a')\nclass B:\n    a = bentoml.depends(A)\n"
    )
    message = refusal("service:B", {"service.py": source})
    assert "service.py:5: the service at" in message
    assert "service.py:9" in message


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"import bentoml\nclass (:\n", "service.py:2: "),
        (b"x = 1\0\n", "service.py"),
        (b"# coding: nonsense\n", "nonsense"),
        (b"x = '\xff'\n", "service.py"),
        (b"x = " + b"(" * 5000 + b")" * 5000, "service.py"),
        (b"x = " + b"-" * 100_000 + b"1", "nested too deeply"),
        (b"x = " + b"9" * 10_000, "service.py"),
        (b"#" * (9 << 20), "exceeds the limit of 8388608 bytes"),
    ],
    ids=["syntax", "nul", "encoding", "bytes", "brackets", "signs", "number", "large"],
)
def test_no_python(source, says):
    message = refusal("service:Iris", {"service.py": source})
    assert says in message
    assert "Traceback" not in message


def test_no_python_in_an_imported_module():
    source = b"import bentoml\nfrom lib.names import NAME\n@bentoml.service(name=NAME)\nclass Iris: ...\n"
    assert "lib/names.py:3: " in refusal("service:Iris", {"service.py": source, "lib/names.py": b"\n\n1 +\n"})


@pytest.mark.parametrize(
    "line",
    [
        b"X = 'x' * 10**12",
        b"X = '{0.__class__}'.format(1)",
        b"X = 'a'.replace('', 'b' * 60000).replace('', 'b' * 60000)",
        b"X = " + b" + ".join([b"'x'"] * 3000),
        b"if a: X = 1\n" + b"elif a: X = 2\n" * 1500,
        b"def f(n):\n    return [f(n), f(n), f(n), f(n)]\nX = f(1)",
        b"X = X",
    ],
)
def test_hostile_lines_end_soon_and_plainly(line):
    source = b"import bentoml\n" + line + b"\n@bentoml.service(labels={'x': X, 'y': 'plain'})\nclass Iris: ...\n"
    try:
        info = read_service("service:Iris", {"service.py": source})
    except BentoError as error:
        assert "service.py" in str(error)
        return
    assert info.entry_service == "Iris"
    assert info.labels.get("y") == "plain" or any(unknown.field == "labels" for unknown in info.unknowns)
    assert len(info.labels.get("x", "")) <= 1 << 16


OPERAND = [
    *("1", "-1", "+1", "-1.5", "+.5", "~1", "not True", "not 0", "-(1)", "- -1", "--~-1", "-0.0", "not []"),
    "not {'a': 1}",
]
OPERAND += [
    *("-True", "+False", "not not 'x'", "not None", "-N", "~N", "-(1 + 2)", "2 * -1", "-1e3", "-1e999"),
    *(f"-{1 << 100}", "[-1, {'a': -2}]"),
]


@pytest.mark.parametrize("text", OPERAND)
def test_signs_have_the_values_of_python(text):
    source = f"import bentoml\nN = 3\n@bentoml.service(http={{'x': {text}}})\nclass Svc: ...\n".encode()
    info = read_service("service:Svc", {"service.py": source})
    found, expected = info.services[0].config["http"]["x"], eval(text, {"N": 3})
    assert (repr(found), info.unknowns) == (repr(expected), ())


@pytest.mark.parametrize(
    "text", ["-'a'", "~1.5", "~True", "-None", "-[1]", "+{}", "-(1 << 2)", f"-{1 << 300}", "not f()"]
)
def test_signs_that_are_not_read(text):
    source = f"import bentoml\n@bentoml.service(http={{'x': {text}}})\nclass Svc: ...\n".encode()
    [unknown] = read_service("service:Svc", {"service.py": source}).unknowns
    assert unknown.field == "config.http.x"


def test_grpc_without_a_limit():
    source = b"import bentoml\n@bentoml.service(grpc={'max_message_length': -1})\nclass Svc: ...\n"
    info = read_service("service:Svc", {"service.py": source})
    assert info.services[0].config == {"grpc": {"max_message_length": -1}}


def test_only_needed_modules_are_parsed():
    files = {
        "service.py": b"import lib.heavy\nimport bentoml\nfrom lib.names import NAME\nfrom lib.broken import helper\n"
        b"@bentoml.service(name=NAME)\nclass Iris: ...\n",
        "lib/names.py": b"NAME = 'iris'\n",
        "lib/heavy.py": b"",
        "lib/broken.py": b"not python",
    }

    assert read_service("service:Iris", files).entry_service == "iris"


CHANGED = {
    "an item": "import values\nvalues.LABELS['tier'] = 'gold'\n",
    "a method": "from values import LABELS\nLABELS.update(tier='gold')\n",
    "another name of it": "import values\nmine = values.LABELS\nmine.update(tier='gold')\n",
    "in place": "from values import LABELS\nLABELS |= {'tier': 'gold'}\n",
    "a function": "from values import LABELS\ndef add():\n    LABELS['tier'] = 'gold'\nadd()\n",
    "a decorator": "import values\ndef add(f):\n    values.LABELS['tier'] = 'gold'\n@add\ndef f(): ...\n",
    "a default": "import values\ndef f(x=values.LABELS.update(tier='gold')): ...\n",
    "a class": "import values\nclass A:\n    values.LABELS['tier'] = 'gold'\n",
    "sys.modules": "import sys, values\nsys.modules['values'].LABELS['tier'] = 'gold'\n",
    "another module": "import deep\n",
}
UNCERTAIN = {
    "the name": "import values\nvalues.LABELS = {'tier': 'gold'}\n",
    "setattr": "import values\nsetattr(values, 'LABELS', {'tier': 'gold'})\n",
    "a loop": "import values\nfor key in ('tier',):\n    values.LABELS[key] = 'gold'\n",
    "a comprehension": "import values\n[values.LABELS.update({key: 'gold'}) for key in ('tier',)]\n",
    "a condition": "import os, values\nif os.environ.get('TIER'):\n    values.LABELS['tier'] = 'gold'\n",
    "a hook": "import values\nclass A:\n    def __init_subclass__(cls):\n        values.LABELS['tier'] = 'gold'\n"
    "class B(A): ...\n",
    "a library": "import library, values\nlibrary.patch(values)\n",
}
HARMLESS = {
    "a reader": "from values import LABELS\nown = {**LABELS}\nown['x'] = 'gold'\n",
    "a program": "import values\nif __name__ == '__main__':\n    values.LABELS['tier'] = 'gold'\n",
    "a function that nobody calls": "import values\ndef f():\n    values.LABELS['tier'] = 'gold'\n",
}


def _labels_beside(changes, imported="import changes"):
    """Give the labels of a service that imports a module beside the one that has them, and what is unknown."""
    service = (
        f"import bentoml\n{imported}\nfrom values import LABELS\n@bentoml.service(labels=LABELS)\nclass Svc: ...\n"
    )
    files = {
        "service.py": service.encode(),
        "values.py": b"LABELS = {'team': 'a'}\n",
        "changes.py": changes.encode(),
        "deep.py": b"import values\nvalues.LABELS['tier'] = 'gold'\n",
        "old.py": b"print 'changes values'\n",
    }
    info = read_service("service:Svc", files)
    return dict(info.labels), unknown_fields(info)


@pytest.mark.parametrize("changes", [*CHANGED.values(), *UNCERTAIN.values()], ids=[*CHANGED, *UNCERTAIN])
@pytest.mark.parametrize(
    "head", ["", "import importlib\nimportlib.import_module('changes')", "import os\nif os.environ.get('T'):\n    "]
)
def test_what_a_module_may_change_of_another_is_requested(changes, head):
    imported = head if "import_module" in head else f"{head}import changes"
    assert "labels" in _labels_beside(changes, imported)[1]


@pytest.mark.parametrize("changes", HARMLESS.values(), ids=HARMLESS)
def test_a_module_that_changes_nothing_of_another_has_no_effect(changes):
    assert _labels_beside(changes) == ({"team": "a"}, set())


def test_a_module_that_changes_others_and_is_not_imported_has_no_effect():
    assert _labels_beside(CHANGED["an item"], "import os  # changes old") == ({"team": "a"}, set())


@pytest.mark.parametrize(
    "lines",
    [
        "import helper\nhelper.b.service = print",
        "import helper as h\nh.s.modules.clear()",
        "from pkg import helper\nvars_of(helper)",
        "import pkg.values\npkg.values.LABELS['a'] = 'b'",
        "import pkg\nfor each in [pkg]:\n    each.values.LABELS['a'] = 'b'",
        "from plain import values as v\nv.LABELS['a'] = 'b'",
        "print({LABELS: 1})",
    ],
)
def test_a_module_as_a_value_can_change_a_service(lines):
    source = (
        f"import bentoml\nfrom pkg.values import LABELS\n{lines}\n@bentoml.service(labels=LABELS)\nclass Svc: ...\n"
    )
    helper = b"import sys as s\nimport bentoml as b\n"
    files = {"service.py": source.encode(), "helper.py": helper, "pkg/helper.py": helper, "pkg/__init__.py": b""}
    files |= {"pkg/values.py": b"LABELS = {'team': 'a'}\n", "plain.py": b"from pkg import values\n"}
    info = read_service("service:Svc", files)
    assert "labels" in unknown_fields(info)
    if "module" in info.unknowns[0].what:
        assert re.search(r"module `[a-z.]+` is used as a value \(write `from [a-z.]+ import", info.unknowns[0].what)


def test_a_module_that_only_functions_use_has_no_effect():
    source = "import bentoml, pkg.values\nfrom pkg.values import LABELS\n@bentoml.service(labels=LABELS)\nclass Svc:\n"
    source += "    def f(self):\n        return pkg.values.LABELS\n"
    files = {"service.py": source.encode(), "pkg/values.py": b"LABELS = {'team': 'a'}\n"}
    assert read_service("service:Svc", files).labels == {"team": "a"}


DYNAMIC = b"""import os

import bentoml


@bentoml.service
class Leaf:
    ref = bentoml.models.BentoModel("scaler:v2")


ENVS = [{"name": "E", "value": os.environ["E"]}]


@bentoml.service(description=os.environ["TEXT"], labels={"sha": os.environ["SHA"]}, envs=ENVS)
class Iris:
    leaf = bentoml.depends(Leaf)
    ref = bentoml.models.BentoModel(os.environ["MODEL"])
"""


def dynamic():
    return read_service("service:Iris", {"service.py": DYNAMIC})


def test_require_known_names_what_where_and_how():
    with pytest.raises(BentoError) as raised:
        require_known(dynamic(), IMPORT_BY_ATTRIBUTE, "//iris:bento")
    message = str(raised.value)
    assert message.startswith("//iris:bento: ")
    assert "service.py:14: `description` of service `Iris`: `os.environ['TEXT']`" in message
    assert "service.py:17: `models.ref` of service `Iris`: `os.environ['MODEL']`" in message
    assert "service.py:14: `labels.sha` of service `Iris`" in message
    assert message.endswith(' or import the service. Add to the target:\n    service_metadata = "import",')
    with pytest.raises(BentoError, match=r" or import the service. Build with --import --python ENV\.$"):
        require_known(dynamic(), IMPORT_BY_OPTION)


FASTAPI = b"""import bentoml
from fastapi import FastAPI

app = FastAPI(title="x", docs_url=None)


@app.get("/items/{key}")
def item(key: str): ...


@app.post("/v1/chat/completions")
async def chat(): ...


app.add_api_route("/added", item)


@app.middleware("http")
async def middle(request, call_next): ...


@bentoml.asgi_app(app, path="/api")
@bentoml.service
class Svc:
    METHOD
"""


def test_a_chat_route_of_an_application_needs_the_label():
    info = read_service("service:Svc", {"service.py": FASTAPI.replace(b"METHOD", b"pass")})
    assert info.services[0].mounts == ("/api",)
    assert [(unknown.field, unknown.line) for unknown in info.unknowns] == [("labels.openai_endpoint", 11)]


PLAIN_ROUTES = FASTAPI.replace(b"/v1/chat/completions", b"/v1/other")


@pytest.mark.parametrize(
    "line",
    [
        "router = fastapi.APIRouter(prefix='/v1')\n@router.get('/x')\ndef r(): ...\napp.include_router(router, prefix='/a')",
        "app.state.x = 1",
        "def later():\n    app.get('/x')",
    ],
)
def test_other_uses_of_an_application_make_no_label(line):
    source = b"import fastapi\n" + PLAIN_ROUTES.replace(b"METHOD", b"@app.get('/view')\n    def view(self): ...")
    info = read_service("service:Svc", {"service.py": source + f"\n{line}\n".encode()})
    assert (info.labels, info.unknowns) == ({}, ())


@pytest.mark.parametrize(
    "line",
    [
        "app.get('/chat/completions')",
        "app.mount('/v1', other)",
        "import other\napp.include_router(other.router)",
        "app.add_api_route('/v1' + P, item)",
        "router = fastapi.APIRouter()\nrouter.get('')(item)\napp.include_router(router, prefix='/chat/completions')",
        "app.router.routes.append(1)",
        "Q = '/x'\ndef add(Q):\n    app.get(Q)(item)\nadd('/chat/completions')",
    ],
)
def test_a_route_that_is_not_certain_is_unknown(line):
    source = b"import fastapi, os\nP = os.environ['P']\n" + PLAIN_ROUTES.replace(b"METHOD", b"pass")
    info = read_service("service:Svc", {"service.py": source + f"\n{line}\n".encode()})
    assert [unknown.field for unknown in info.unknowns] == ["labels.openai_endpoint"]


def test_a_route_of_a_method_depends_on_the_version_of_fastapi():
    view = b"@app.post('/v2/chat/completions')\n    def view(self): ..."
    info = read_service("service:Svc", {"service.py": FASTAPI.replace(b"METHOD", view)})
    assert [unknown.field for unknown in info.unknowns] == ["labels.openai_endpoint"]


@pytest.mark.parametrize("keywords", ["**C", "**{'name': 'a', **C}"])
def test_a_decorator_with_unknown_keywords_needs_the_import(keywords):
    source = (
        f"import bentoml, os, json\nC = json.loads(os.environ['C'])\n@bentoml.service({keywords})\nclass Svc: ...\n"
    )
    info = read_service("service:Svc", {"service.py": source.encode()})
    assert [unknown.field for unknown in info.unknowns] == ["service"]


@pytest.mark.parametrize(
    "line",
    [
        "x = [m := bentoml.models.BentoModel('a:b')]",
        "def f(self, x=(m := bentoml.models.BentoModel('a:b'))): ...",
        "class A((m := object)): ...",
        "print(m := 1)",
        "from other import model",
    ],
)
def test_a_statement_that_binds_more_than_one_name_is_unknown(line):
    source = f"import bentoml\n@bentoml.service(name='a')\nclass Svc:\n    {line}\n"
    info = read_service("service:Svc", {"service.py": source.encode()})
    assert [unknown.field for unknown in info.unknowns] == ["service"]


@pytest.mark.parametrize(
    ("arguments", "body", "fact"),
    [
        ("labels={1: 'x'}", "...", "labels"),
        ("**{'**': 1}", "...", "service"),
        ("", "import os", "service"),
        ("", "a = bentoml.models.HuggingFaceModel('a/b', include='c')", "service"),
        ("", "a = bentoml.models.HuggingFaceModel('a/b', revision=['c'])", "service"),
    ],
)
def test_rare_arguments_and_statements_are_unknown(arguments, body, fact):
    source = f"import bentoml\n@bentoml.service({arguments})\nclass Svc:\n    {body}\n"
    info = read_service("service:Svc", {"service.py": source.encode()})
    assert [unknown.field for unknown in info.unknowns] == [fact]


def test_two_stars_are_a_key_like_others():
    source = b"import bentoml, x\n@bentoml.service(labels={'**': 'a', **x.MORE}, traffic={'**': 1})\nclass Svc: ...\n"
    info = read_service("service:Svc", {"service.py": source})
    assert info.labels == {"**": "a"}
    assert info.services[0].config["traffic"] == {"**": 1}
    assert [unknown.field for unknown in info.unknowns] == ["labels"]


def test_stored_models_keep_their_spelling():
    """`bentoml.models.get` looks for an alias of the Bento first, and aliases have capitals."""
    source = b"import bentoml\n@bentoml.service\nclass Svc:\n    a = bentoml.models.get('Prod')\n"
    (model,) = read_service("service:Svc", {"service.py": source}).services[0].models
    assert (model.tag, model.alias) == ("Prod", True)


@pytest.mark.parametrize(
    ("name", "bento"),
    [
        ("ImgSvc", "img_svc"),
        ("Hi", "hi"),
        ("HTTPModelServerV2", "http_model_server_v2"),
        ("IRIS", "iris"),
        ("iris_svc", "iris_svc"),
        ("Mixed.Case_Name", "mixed._case__name"),
    ],
)
def test_snake_case(name, bento):
    assert snake_case(name) == bento


def test_loading_is_cheap():
    """The fields load without the reader, and neither pulls in what takes long to import."""
    code = (
        "import sys; sys.path[:0] = sys.argv[1:2]; import rules_bento.service as s; "
        "early = 'rules_bento.service.reader' in sys.modules; "
        "s.read_service('s:A', {'s.py': sys.argv[2].encode()}); "
        "print(early, sorted({'typing', 'json', 'pathlib', 'importlib.metadata'} & set(sys.modules)))"
    )
    source = "import bentoml\n@bentoml.service\nclass A: ...\n"
    package = Path(__file__).parents[2] / "py"
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(package), source], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False []"


SERVED = (
    "import bentoml\n\n@bentoml.service\nclass On:\n    pass\n\n\n@bentoml.service({0})\nclass Svc:\n    on = {1}\n"
)


@pytest.mark.parametrize(
    ("arguments", "on", "says"),
    [
        ("", "bentoml.depends()", r"service\.py:10: `bentoml.depends` requires a service"),
        ("", "bentoml.depends(None, cluster='c')", r"service\.py:10: `bentoml.depends` requires a service"),
        ("envs=['A=b']", "1", r"service\.py:9: invalid item in `envs` of `Svc`: 'A=b'\. Use a dict"),
        (
            "envs=[{'name': 'A', 'values': 'b'}]",
            "1",
            r"service\.py:9: invalid item in `envs` of `Svc`: {'name': 'A', 'values': 'b'}\.",
        ),
        (
            "envs=[{'name': 'A', 'stage': 'run'}]",
            "1",
            r"service\.py:9: invalid item in `envs` of `Svc`: .*'run'}\. .* a stage \(all, build, runtime\)",
        ),
    ],
)
def test_what_bentoml_cannot_import_is_rejected(arguments, on, says):
    source = SERVED.format(arguments, on)
    with pytest.raises(BentoError, match=says):
        read_service("service:Svc", {"service.py": source.encode()})
    # Of a service that it depends on, too.
    further = f"{source}\n\n@bentoml.service\nclass Entry:\n    on = bentoml.depends(Svc)\n"
    with pytest.raises(BentoError, match=says):
        read_service("service:Entry", {"service.py": further.encode()})


def test_an_api_with_a_dunder_name_is_rejected():
    source = b"import bentoml\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def __call__(self): ...\n"
    with pytest.raises(BentoError, match=r"service\.py:4: API `__call__`: invalid name\. Use a name"):
        read_service("service:Svc", {"service.py": source})


@pytest.mark.parametrize(
    "files",
    [
        {"service.py": "from statistics import L\n", "statistics.py": "L = {'a': 'b'}\n"},
        {"service.py": "from vals import L\nload('routes:app')\n", "vals.py": "L = {'a': 'b'}\n"},
        {"service.py": "from vals import L\nload({'class': 'routes.Handler'})\n", "vals.py": "L = {'a': 'b'}\n"},
        {"service.py": "from .vals import L\n", "vals.py": "L = {'a': 'b'}\n"},
    ],
)
def test_values_that_another_module_might_provide_are_unknown(files):
    source = files["service.py"] + "@bentoml.service(labels=L)\nclass Svc: ...\n"
    routes = "import vals, service\nvals.L['a'] = service.L['a'] = 'c'\n"
    files = {**files, "service.py": "import bentoml\nfrom loader import load\n" + source, "routes.py": routes}
    assert unknown_fields(read_service("service:Svc", {name: text.encode() for name, text in files.items()}))


@pytest.mark.parametrize("name", ["L", "Svc2"])
def test_a_name_that_is_used_before_its_assignment_is_unknown(name):
    labels, member = ("L", "pass") if name == "L" else ("{}", "a = bentoml.depends(Svc2)")
    source = f"import bentoml\n@bentoml.service(labels={labels})\nclass Svc:\n    {member}\n"
    source += "L = {'a': 'b'}\n@bentoml.service\nclass Svc2: ...\n"
    assert unknown_fields(read_service("service:Svc", {"service.py": source.encode()}))


@pytest.mark.parametrize("call", ["'old', runners=[]", "'old'", "name='old', models=[bentoml.sklearn.get('m').x]"])
@pytest.mark.parametrize("attribute", [":svc", ""])
def test_a_service_of_before_1_4_is_rejected_with_its_successors(call, attribute):
    source = f"import sys\nimport bentoml\nsvc = bentoml.Service({call})\n@svc.api(input=sys.modules)\ndef f(x): ...\n"
    again = {"again.py": b"from service import svc\n", "service.py": source.encode()}
    for files, module in (({"service.py": source.encode()}, "service"), (again, "again")):
        if module == "service" or attribute:
            message = refusal(module + attribute, files)
            assert message.startswith("service.py:3: `bentoml.Service(...)`")
            assert "before 1.4" in message and "`bentoml.legacy.Service(...)`" in message
            assert "class with `@bentoml.service`" in message


IN_ROW = [
    "image = Image(python_version='3.11')\nimage = image.run('a')\nimage = image.python_packages('b', 'c').run('d')",
    "image = Image()\nimage.run('a')\nimage.system_packages('b').run('c')",
    "image: Image = Image().run('a')\nimage: Image = image.run('b')",
    "base = Image(distro='alpine').run('a')\nbase.run('b')\nimage = base.run('c')\nimage.run('d')",
    "def unused(image):\n    image.run('x')\nimage = Image()\nimage = image.run('a')",
]
NOT_IN_ROW = [
    "image = Image()\nimage = Image().run('a')",
    "image = Image()\nif len('a'):\n    image = image.run('a')",
    "image = Image()\nif len('a'):\n    image.run('a')",
    "image = Image()\nfor each in 'ab':\n    image = image.run(each)",
    "image = Image()\nother = image\nimage = image.run('a')\nother.run('b')",
    "image = Image()\ndef f():\n    image.run('a')\nf()",
    "image = Image()\n(image := image.run('a'))",
    "image = Image()\nimage = other = image.run('a')",
    "image = Image()\nimage.run('a'), image.run('b')",
    "base = Image()\nimage = base.run('a')\nbase.run('b')",
    "base = Image()\nimage = base.run('a')\nother = base.run('b')",
    "base = Image()\nimage = base.run('a')\nbase = Image()",
    "image = Image().run('a')\nimage = image.run('b') if len('a') else image",
]


def read_image(before):
    source = (
        f"import bentoml\nfrom bentoml.images import Image\n{before}\n@bentoml.service(image=image)\nclass Svc: ...\n"
    )
    return read_service("service:Svc", {"service.py": source.encode()}, {})


@pytest.mark.parametrize("before", IN_ROW)
def test_calls_in_a_row_make_the_image_of_bentoml(before):
    images = pytest.importorskip("bentoml.images")
    namespace = {"Image": images.Image}
    exec(before, namespace)
    image = read_image(before).image
    made = images.Image(**image.arguments)
    for call in image.calls:
        getattr(made, call.method)(*call.args)
    assert made == namespace["image"]


@pytest.mark.parametrize("before", NOT_IN_ROW)
def test_other_changes_of_an_image_are_unknown(before):
    assert "image" in unknown_fields(read_image(before))


@pytest.mark.parametrize(
    ("before", "decorator", "what"),
    [
        ("IMAGE = Image()\nIMAGE = Image()", "image=IMAGE", "`IMAGE` is assigned more than once (line 5)"),
        ("IMAGE = Image()\nIMAGE.base_image = 'x'", "image=IMAGE", "`IMAGE` is used again on this line"),
        ("IMAGE = Image()\nfor a in 'ab':\n    IMAGE.run(a)", "image=IMAGE", "`IMAGE` is used again on this"),
        ("A = ['a']", "image=Image().python_packages(*A)", "`Image().python_packages(*A)` has unpacked"),
        ("A = {}", "image=Image().run(**A)", "`Image().run(**A)` has unpacked arguments"),
        ("A = {}", "image=Image(**A)", "`Image(**A)` has unpacked arguments"),
        ("", "resources={'cpu': os.getenv('CPU', '1')}", "`os.getenv('CPU', '1')` isn't a supported"),
        ("", "labels={'a': os.path.join('a')}", "`os.path.join('a')` isn't a supported expression"),
        ("", "labels={'a': os.environ['A'].strip()}", "`os.environ['A']` isn't a supported expression"),
    ],
)
def test_a_rejection_has_a_reason(before, decorator, what):
    source = f"import os\nimport bentoml\nfrom bentoml.images import Image\n{before}\n@bentoml.service({decorator})\nclass Svc: ...\n"
    [unknown] = read_service("service:Svc", {"service.py": source.encode()}).unknowns
    assert unknown.what.partition(": ")[2].startswith(what)


@pytest.mark.parametrize("decorators", ["@bentoml.api\n    @timed", "@timed\n    @bentoml.api", "@timed"])
def test_an_unsupported_decorator_is_named(decorators):
    source = (
        f"import bentoml\ndef timed(f): return f\n@bentoml.service\nclass Svc:\n    {decorators}\n    def f(self): ..."
    )
    [unknown] = read_service("service:Svc", {"service.py": source.encode()}).unknowns
    assert "`timed` isn't a supported" in unknown.what


@pytest.mark.parametrize("module", ["my-svc/service", "01_serve", "a.b-c/1/sérvice"])
def test_modules_that_only_import_module_can_name_are_found(module):
    module = module.replace("a.b", "a/b")
    for service in (f"{module}.py:Svc", f"{module.replace('/', '.')}:Svc"):
        info = read_service(service, {f"{module}.py": b"import bentoml\n@bentoml.service\nclass Svc: ...\n"})
        assert (info.entry_service, info.unknowns) == ("Svc", ())


@pytest.mark.parametrize("framework", ["sklearn", "keras", "xgboost", "models", "transformers"])
def test_models_of_frameworks_are_stored_models(framework):
    source = f"import bentoml\n@bentoml.service\nclass Svc:\n    m = bentoml.{framework}.get('M:latest')\n"
    (model,) = read_service("service:Svc", {"service.py": source.encode()}).services[0].models
    assert (model.tag, model.alias) == ("M:latest", True)


def test_a_problem_of_a_dependency_names_this_service():
    source = "import bentoml\n@bentoml.service\nclass On:\n    m = bentoml.other.get('m')\n"
    source += "@bentoml.service\nclass Svc:\n    on = bentoml.depends(On)\n"
    [unknown] = read_service("service:Svc", {"service.py": source.encode()}).unknowns
    assert unknown.what.startswith("service `On`: ") and unknown.line == 4


@pytest.mark.parametrize(
    "route",
    [
        "def info(service=Depends(bentoml.get_current_service)): ...",
        "def info(service: Annotated[object, Depends(bentoml.get_current_service)]): ...",
        "Current = Annotated[object, Depends(bentoml.get_current_service)]",
    ],
)
def test_the_current_service_can_be_a_dependency_of_a_route(route):
    source = "import bentoml\nfrom typing import Annotated\nfrom fastapi import Depends\n"
    source += f"{route}\n@bentoml.service\nclass Svc: ...\n"
    assert not read_service("service:Svc", {"service.py": source.encode()}).unknowns


@pytest.mark.parametrize(
    ("method", "is_valid"),
    [
        ("async def f(self, x: str) -> AsyncGenerator[str, None]:\n        yield x", False),
        ("def f(self, x: 'AsyncGenerator | None') -> str: ...", False),
        ("def f(self, *, x: list[AsyncGenerator]) -> str: ...", False),
        ("def f(self, **x: dict['str', 'AsyncGenerator']) -> str: ...", False),
        ("def f(self, x: 'a sentence, not a name') -> str: ...", True),
        ("def f(self, x: Sequence) -> 'Sequence': ...\n    def g(self, x: AsyncGenerator): ...", True),
    ],
)
@pytest.mark.parametrize("kind", ["api", "task"])
def test_an_api_needs_its_annotations_at_run_time(kind, method, is_valid):
    source = "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nimport bentoml\n"
    source += (
        "from collections.abc import Sequence\nif TYPE_CHECKING:\n    from collections.abc import AsyncGenerator\n"
    )
    source += f"@bentoml.service\nclass Svc:\n    @bentoml.{kind}\n    {method}\n"
    if is_valid:
        assert not read_service("service:Svc", {"service.py": source.encode()}).unknowns
    else:
        message = refusal("service:Svc", {"service.py": source.encode()})
        assert message.startswith("service.py:9: API `f`: BentoML can't find `AsyncGenerator`")


def test_types_of_many_names_take_linear_time():
    lines = "".join(f"A{number + 1} = A{number} + A{number}\n" for number in range(60))
    source = (
        f"import os, bentoml\nA0 = os.environ['A']\n{lines}@bentoml.service(resources={{'cpu': A60}})\nclass Svc: ...\n"
    )
    with pytest.raises(BentoError, match="constants contain more than 100000 values"):
        read_service("service:Svc", {"service.py": source.encode()})


LIFESPAN = """import bentoml
from contextlib import asynccontextmanager
from fastapi import Depends, FastAPI

@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.ready = True
    yield getattr(app, "x")

def settings():
    return getattr(bentoml, "x")

app = FastAPI(lifespan=lifespan)

@app.get("/ready")
def ready(found=Depends(settings)):
    return getattr(app.state, "ready", False)

@bentoml.service(labels={"a": "b"})
@bentoml.asgi_app(app, path="/x")
class Svc: ...
"""


def test_functions_that_an_application_keeps_do_not_run_at_import():
    info = read_service("service:Svc", {"service.py": LIFESPAN.encode()})
    assert (info.labels, info.unknowns) == ({"a": "b"}, ())


@pytest.mark.parametrize(("line", "is_known"), [("", True), ("made = make()", False)])
def test_a_module_that_only_names_a_class_is_analyzed(line, is_known):
    files = {
        "service.py": "import bentoml, use\nfrom model import Net\n@bentoml.service\nclass Svc: ...\n",
        "model.py": "class Net:\n    def go(self):\n        return getattr(self, 'x')\n",
        "use.py": f"from model import Net\ndef make():\n    return Net()\n{line}\n",
    }
    info = read_service("service:Svc", {path: text.encode() for path, text in files.items()})
    assert (not info.unknowns) == is_known
    broken = files | {"use.py": f"{files['use.py']}this is no Python\n"}
    assert read_service("service:Svc", {path: text.encode() for path, text in broken.items()}).unknowns


def test_a_service_object_with_a_class_is_of_today():
    source = b"import bentoml\nclass C: ...\nsvc = bentoml.Service('a', inner=C)\n"
    assert "isn't a class with" in read_service("service:svc", {"service.py": source}).unknowns[0].what


def test_a_route_without_a_slash_is_rejected():
    source = b"import bentoml\n@bentoml.service\nclass Svc:\n    @bentoml.api(route='a')\n    def on(self): ...\n"
    with pytest.raises(
        BentoError, match=r"service\.py:4: API `on`: invalid route 'a'\. Use a route that starts with `/`"
    ):
        read_service("service:Svc", {"service.py": source})


@pytest.mark.parametrize(
    "on", ["bentoml.depends(On)", "bentoml.depends(url='http://a')", "bentoml.depends(deployment='d')"]
)
def test_what_bentoml_imports_next_to_it_is_accepted(on):
    source = SERVED.format("envs=[{'name': 'A', 'stage': 'runtime'}, {'name': 'B', 'value': '1'}]", on)
    info = read_service("service:Svc", {"service.py": source.encode()})
    assert not info.unknowns
    assert [(env.name, env.stage) for env in info.envs] == [("A", "runtime"), ("B", "all")]


MIXED = """import bentoml, os, json
C = json.loads(os.environ.get("C", '{"traffic": {"timeout": 5}}'))
@bentoml.service(name="svc", workers=2, traffic={"max_concurrency": 3, **C}, labels={"owner": "me", **C},
    envs=[{"name": "A", "value": "1"}, *C])
class Svc: ...
"""


def test_constants_next_to_computed_values_are_kept():
    info = read_service("service:Svc", {"service.py": MIXED.encode()})
    assert info.services[0].config == {"workers": 2, "traffic": {"max_concurrency": 3}}
    assert (info.labels, [env.name for env in info.envs]) == ({"owner": "me"}, ["A"])


@pytest.mark.parametrize(
    "lines",
    [
        "bentoml.__dict__['service'] = print",
        "import sys\nsys.modules['bentoml'] = print",
        "from sys import modules as m\nm['bentoml'] = print",
        "from builtins import exec as e\ne('x')",
        "getattr(bentoml, 'ser' + 'vice')",
        "b = bentoml.Service\nb.labels = {}",
        "def patch(c):\n    c.labels = {}\npatch(bentoml.Service)",
        "class K:\n    c = bentoml.Service\nK.c.labels = {}",
        "def f(): ...\ngetattr(f, '__globals__')['bentoml'] = None",
        "import pytest\npytest.MonkeyPatch().setattr('bentoml.service', print)",
        "import inspect\ninspect.getclosurevars(print)",
        "def f(x: \"print('a')\"): ...",
        "import gc\ngc.get_objects()",
        "import importlib\nimportlib.import_module('x')",
        "from os.path import *",
        "import functools\ndef run(f):\n    f()\n@functools.partial(run)\ndef g():\n    globals()",
    ],
)
def test_code_that_may_do_anything_leaves_nothing_known(lines):
    source = f"import bentoml\n{lines}\n@bentoml.service(name='a')\nclass Svc: ...\n"
    info = read_service("service:Svc", {"service.py": source.encode()})
    assert "service" in {unknown.field for unknown in info.unknowns}
    assert info.entry_service is None
    files = {
        "service.py": b"import bentoml, helper\n@bentoml.service(name='a')\nclass Svc: ...\n",
        "helper.py": f"{'import bentoml' if 'bentoml.' in lines else ''}\n{lines}\n".encode(),
    }
    assert read_service("service:Svc", files).entry_service is None or "def f(x" in lines or "import *" in lines


@pytest.mark.parametrize("name", ["service.abi3.so", "service.cpython-311-x86_64-linux-gnu.so", "service.pyd"])
def test_a_compiled_module_next_to_the_service_is_rejected(name):
    assert f"{name}: this compiled module shadows" in refusal("service:Iris", {"service.py": PLAIN, name: b""})


def test_names_of_any_length_are_cut_in_messages():
    source = f"import bentoml\n{'a' * 32_000} = 1\n".encode()
    assert len(refusal(f"service:{'b' * 32_000}", {"service.py": source})) < 1000


@pytest.mark.parametrize(
    ("utils", "plain"),
    [
        ("import values\ndef go():\n    values.LABELS['a'] = 'b'\n", "import utils\nutils.go()\n"),
        ("from values import LABELS as L\n", "import utils\nutils.L['a'] = 'b'\n"),
        ("import values as v\n", "import utils\nutils.v.LABELS['a'] = 'b'\n"),
        ("import sys\ndef go():\n    sys.modules['values'].LABELS['a'] = 'b'\n", "from utils import go\ngo()\n"),
    ],
)
def test_a_module_that_names_nothing_of_a_service_may_call_one_that_does(utils, plain):
    files = {
        "service.py": b"import bentoml, plain\nfrom values import LABELS\n@bentoml.service(labels=LABELS)\nclass Svc: ...\n",
        "values.py": b"LABELS = {'team': 'a'}\n",
        "utils.py": utils.encode(),
        "plain.py": plain.encode(),
    }
    assert "labels" in unknown_fields(read_service("service:Svc", files))


def test_a_thousand_modules_are_not_parsed():
    files = {f"lib/m{i}.py": f"from lib import m{(i + 1) % 1000}\nNAME = 'n{i}'\n".encode() for i in range(1000)}
    files["lib/m500.py"] += b"this is no Python\n"
    files["service.py"] = b"import bentoml\nfrom lib.m0 import NAME\n@bentoml.service(name=NAME)\nclass Svc: ...\n"
    assert read_service("service:Svc", files).entry_service == "n0"
