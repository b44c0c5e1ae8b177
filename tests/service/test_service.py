"""Static reading against what importing with real BentoML gave (tests/services), and what it refuses."""

import json
import sys
import time

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.base.python_source import parse, slowness
from rules_bento.bentos.service import from_json, read_service, to_json
from rules_bento.bentos.service.known_metadata import IMPORT_BY_ATTRIBUTE, IMPORT_BY_OPTION, require_known
from rules_bento.bentos.service.metadata import snake_case

from tests.helpers.service_cases import CASES, TRUTHS, differences, excused


@pytest.mark.parametrize("name", CASES)
def test_equal_to_bentoml_or_unknown(name):
    case = CASES[name]
    info = read_service(case.service, case.files)
    for truth in TRUTHS[name]:
        wrong = [line for fields, line in differences(info, truth) if not excused(info, fields)]
        assert not wrong, f"with {truth['with']}: {wrong}"
    assert bool(info.unknowns) == ("unknown" in case.fields)
    for unknown in info.unknowns:
        assert 1 <= unknown.line <= len(case.files[unknown.path].splitlines())
    assert from_json(json.loads(json.dumps(to_json(info)))) == info


# What services.txt cannot show: rejections, and what is unknown.

PLAIN = "import bentoml\n\n\n@bentoml.service\nclass Iris:\n    pass\n"


def read(source, service="service:Svc"):
    """Read a service of these files, or of service.py with this source."""
    files = source if isinstance(source, dict) else {"service.py": source}
    data = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}
    return read_service(service, data)


def rejection(source, service="service:Svc"):
    with pytest.raises(BentoError) as raised:
        read(source, service)
    assert "Traceback" not in str(raised.value)
    return str(raised.value)


def in_class(body):
    """A service with these members."""
    return f"import bentoml\n@bentoml.service\nclass Svc:\n    {body}\n"


# The import string, the files or service.py, and parts of the message.
REJECTED = {
    "no import string": ("", PLAIN, "service: invalid value"),
    "two attributes": ("service:Iris:x", PLAIN, "service: invalid value"),
    "blank": ("service module:Iris", PLAIN, "service: invalid value"),
    "path above": ("../service.py:Iris", PLAIN, "service: invalid value"),
    "near matches of a module": (
        "app.service:Iris",
        {"app/servce.py": PLAIN, "lib/service.py": PLAIN, "README.md": ""},
        *("app/service.py", "`app/servce.py`", "`lib/service.py`", "to srcs or deps"),
    ),
    "no modules": ("service:Iris", {"README.md": ""}, "The sources contain no Python files"),
    "near match of an attribute": (*("service:Irsi", PLAIN), *("service.py has no attribute `Irsi`", "Did you mean `Iris`?")),
    "no attribute": ("service:Other", PLAIN, "Specify a class"),
    "class": ("service:Thing", "class Thing: ...", "service.py:1: `Thing` isn't a class decorated with `@bentoml.service`. Decorate"),
    "function": ("service:Thing", "def Thing(): ...", "service.py:1: `Thing` isn't a class decorated with `@bentoml.service`. Decorate"),
    "value": ("service:Thing", "Thing = 3", "service.py:1: `Thing` isn't a class decorated with `@bentoml.service`. Decorate"),
    "several services": (*("service", PLAIN + PLAIN.replace("Iris", "Other")), *("defines multiple services: `Iris`, `Other`", "`service:Iris`")),
    "no service": ("service.py", "x = 1\n", "defines no service"),
    "syntax": ("service:Iris", "import bentoml\nclass (:\n", "service.py:2: "),
    "NUL": ("service:Iris", "x = 1\0\n", "service.py"),
    "encoding": ("service:Iris", "# coding: nonsense\n", "nonsense"),
    "bytes": ("service:Iris", b"x = '\xff'\n", "service.py"),
    "brackets": ("service:Iris", "x = " + "(" * 5000 + ")" * 5000, "service.py"),
    "signs": ("service:Iris", "x = " + "-" * 100_000 + "1", "nested too deeply"),
    "number": ("service:Iris", "x = " + "9" * 10_000, "service.py"),
    "large": ("service:Iris", "#" * (9 << 20), "exceeds the limit of 8388608 bytes"),
    "slow": ("service:Iris", "# coding: punycode\n" + "#" * (3 << 20) + "-aaaa", "service.py: syntax error in Python 3."),
}  # fmt: skip


@pytest.mark.parametrize("name", REJECTED)
def test_an_error_names_the_place_and_the_remedy(name):
    service, source, *says = REJECTED[name]
    message = rejection(source, service)
    assert [part for part in says if part not in message] == [], message


# Python 3.11 needs a minute or more for each of these.
SLOW = {
    "line": "x = f'" + "{a}" * 150_000 + "'",
    "capital": "x = Rf'" + "{a}" * 150_000 + "'",
    "lines": 'x = f"""' + "{a}\n" * 150_000 + '"""',
    "raw": "x = rF'''" + "{a}\n" * 150_000 + "'''",
    "joined lines": "x = f'" + "{a}\\\n" * 150_000 + "'",
    "in a format": "x = f'{a:" + "{b}" * 150_000 + "}'",
}
FAST = {
    "data": "X = {" + "'a': {},\n" * 60_000 + "}",
    "short": "x = f'{a}'\n" * 60_000,
    "one long string": "x = f'{a}" + "b" * (1 << 20) + "'",
    "template": 'x = f"""' + "a {{ b }}\n" * 2000 + '"""',
}


@pytest.mark.parametrize("name", SLOW)
def test_code_that_python_parses_slowly_is_found_fast(name):
    start = time.process_time()
    for source in (SLOW[name], f"# coding: gbk\r{SLOW[name]}\n"):
        assert slowness(source.encode(), has_slow_strings=True) == "the f-strings have too many expressions"
        assert not slowness(source.encode(), has_slow_strings=False)
    for encoding in ("utf7", "UTF-7", "unicode_escape", "raw-unicode-escape", "-punycode", "hz"):
        source = f"#!/usr/bin/python\r\n# -*- coding: {encoding}\n{SLOW[name]}".encode()
        assert slowness(source, has_slow_strings=False) == "the encoding isn't supported for large files"
    assert time.process_time() - start < 5


@pytest.mark.parametrize("name", FAST)
def test_code_that_python_parses_fast_is_not_rejected(name):
    for head in ("", "# coding: gbk\n", "#\n#\n# coding: punycode\n"):
        assert not slowness(f"{head}{FAST[name]}".encode(), has_slow_strings=True)
    assert compile(parse(FAST[name]), "x", "exec") == compile(FAST[name], "x", "exec")


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="f-strings are fast")
@pytest.mark.parametrize("source", [SLOW["line"], f"import bentoml\n{SLOW['lines']}"])
def test_a_service_that_python_parses_slowly_is_rejected(source):
    message = rejection(source)
    assert "service.py: syntax error in Python 3.11 (the f-strings have too many expressions)" in message
    assert "Correct the code. If it requires a newer Python version" in message


def configured(decorator, lines=""):
    return f"import bentoml\n{lines}@bentoml.service({decorator})\nclass Svc: ...\n"


def test_a_number_that_no_document_holds_is_not_plain():
    [unknown] = read(configured("workers=0x" + "f" * 5000)).unknowns
    assert unknown.field == "config.workers"


@pytest.mark.parametrize("name", ["Prod", "M:latest"])
@pytest.mark.parametrize("framework", ["sklearn", "keras", "xgboost", "models", "transformers"])
def test_stored_models_of_frameworks_keep_their_spelling(framework, name):
    """`bentoml.models.get` looks for an alias of the Bento first, and aliases have capitals."""
    (model,) = read(in_class(f"m = bentoml.{framework}.get('{name}')")).services[0].models
    assert (model.tag, model.alias) == (name, True)


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


@pytest.mark.parametrize("module", ["my-svc/service", "01_serve", "a.b-c/1/sérvice"])
def test_modules_that_only_import_module_can_name_are_found(module):
    module = module.replace("a.b", "a/b")
    for service in (f"{module}.py:Svc", f"{module.replace('/', '.')}:Svc"):
        info = read({f"{module}.py": PLAIN.replace("Iris", "Svc")}, service)
        assert (info.entry_service, info.unknowns) == ("Svc", ())


def test_names_of_any_length_are_cut_in_messages():
    source = f"import bentoml\n{'a' * 32_000} = 1\n"
    assert len(rejection(source, f"service:{'b' * 32_000}")) < 1000


def test_require_known_names_each_value_and_the_import():
    info = read(configured("description=os.environ['A'], workers=os.cpu_count()", "import os\n"))
    with pytest.raises(BentoError) as raised:
        require_known(info, IMPORT_BY_ATTRIBUTE, "//iris:bento")
    message = str(raised.value)
    assert message.startswith("//iris:bento: ")
    assert "service.py:3: `description` of service `Svc`: `os.environ['A']`" in message
    assert "service.py:3: `config.workers` of service `Svc`: `os.cpu_count()`" in message
    assert message.count('write `workers="cpu_count"`.\n') == 1
    assert message.endswith(' or import the service. Add to the target:\n    service_metadata = "import",')
    with pytest.raises(BentoError, match=r" or import the service. Build with --import --python ENV\.$"):
        require_known(info, IMPORT_BY_OPTION)
