"""Static reading against what importing with real BentoML gave (tests/services), and what it refuses."""

import json
import sys
import time

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.base.python_source import parse, slowness
from rules_bento.bentos.service import from_json, read_service, snake_case, to_json
from rules_bento.bentos.service.known_metadata import IMPORT_BY_ATTRIBUTE, IMPORT_BY_OPTION, require_known

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


# What the conformance suite cannot show: refusals, hostile input.

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
        (b"# coding: punycode\n" + b"#" * (3 << 20) + b"-aaaa", "service.py: syntax error in Python 3."),
    ],
    ids=["syntax", "nul", "encoding", "bytes", "brackets", "signs", "number", "large", "slow"],
)
def test_no_python(source, says):
    message = refusal("service:Iris", {"service.py": source})
    assert says in message
    assert "Traceback" not in message


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
    message = refusal("service:Iris", {"service.py": source.encode()})
    assert "service.py: syntax error in Python 3.11 (the f-strings have too many expressions)" in message
    assert "Correct the code. If it requires a newer Python version" in message


def test_no_python_in_an_imported_module():
    source = b"import bentoml\nfrom lib.names import NAME\n@bentoml.service(name=NAME)\nclass Iris: ...\n"
    [unknown] = read_service("service:Iris", {"service.py": source, "lib/names.py": b"\n\n1 +\n"}).unknowns
    assert "lib/names.py:3: " in unknown.what


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


IN_ROW = [
    "image = Image(python_version='3.11')\nimage = image.run('a')\nimage = image.python_packages('b', 'c').run('d')",
    "image = Image()\nimage.run('a')\nimage.system_packages('b').run('c')",
    "image: Image = Image().run('a')\nimage: Image = image.run('b')",
    "base = Image(distro='alpine').run('a')\nbase.run('b')\nimage = base.run('c')\nimage.run('d')",
    "def unused(image):\n    image.run('x')\nimage = Image()\nimage = image.run('a')",
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


def test_a_problem_of_a_dependency_has_its_line():
    source = "import bentoml\n@bentoml.service\nclass On:\n    m = bentoml.other.get('m')\n"
    source += "@bentoml.service\nclass Svc:\n    on = bentoml.depends(On)\n"
    [unknown] = read_service("service:Svc", {"service.py": source.encode()}).unknowns
    assert (unknown.field, unknown.line) == ("service", 4)


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


@pytest.mark.parametrize("name", ["service.abi3.so", "service.cpython-311-x86_64-linux-gnu.so", "service.pyd"])
def test_a_compiled_module_next_to_the_service_is_rejected(name):
    (unknown,) = read_service("service:Iris", {"service.py": PLAIN, name: b""}).unknowns
    assert unknown.path == name
    assert "this compiled module shadows service.py" in unknown.what


def test_names_of_any_length_are_cut_in_messages():
    source = f"import bentoml\n{'a' * 32_000} = 1\n".encode()
    assert len(refusal(f"service:{'b' * 32_000}", {"service.py": source})) < 1000


def test_require_known_names_each_value_and_the_import():
    source = (
        b"import bentoml, os\n@bentoml.service(description=os.environ['A'], workers=os.cpu_count())\nclass Svc: ...\n"
    )
    info = read_service("service:Svc", {"service.py": source})
    with pytest.raises(BentoError) as raised:
        require_known(info, IMPORT_BY_ATTRIBUTE, "//iris:bento")
    message = str(raised.value)
    assert message.startswith("//iris:bento: ")
    assert "service.py:2: `description` of service `Svc`: `os.environ['A']`" in message
    assert "service.py:2: `config.workers` of service `Svc`: `os.cpu_count()`" in message
    assert message.count('write `workers="cpu_count"`.\n') == 1
    assert message.endswith(' or import the service. Add to the target:\n    service_metadata = "import",')
    with pytest.raises(BentoError, match=r" or import the service. Build with --import --python ENV\.$"):
        require_known(info, IMPORT_BY_OPTION)
