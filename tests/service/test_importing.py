"""What importing a service tells, what it may not do, and what is said then."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import attrs
import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.virtualenv import make_environment
from rules_bento.bentos.service import bentoml_import, read_service
from rules_bento.bentos.service.bentoml_import import Recorder
from rules_bento.bentos.service.import_twice import ImportedMetadata, Subject, import_service

from tests.conftest import bytecode_variables, locked_wheels, until
from tests.service.forked import environment_of, fork_imports, write_bytecode

SERVICE = """\
import bentoml

@bentoml.service
class Svc: ...
"""


@pytest.fixture
def tmp_path():
    """A folder that BentoML reads files of: it takes none below one whose name begins with a dot."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def roots() -> list[Path]:
    return locked_wheels()


@pytest.fixture(scope="module")
def bytecode(tmp_path_factory, roots) -> tuple[Path, dict[str, str]]:
    """BentoML's bytecode, which the imports of these tests read and would else make, each for itself."""
    directory = tmp_path_factory.mktemp("bytecode")
    variables = bytecode_variables(directory)
    if "PYTHONPYCACHEPREFIX" in variables:
        write_bytecode(make_environment(directory / "environment", roots), directory, **variables)
    return directory, variables


@pytest.fixture
def imported_anew(tmp_path, roots, bytecode):
    """Import `service:Svc` of these modules, in processes that begin with nothing."""

    def importing(service: str, seconds=120, library="", files=(), variables=(), **of) -> ImportedMetadata:
        source, wheel = tmp_path / "bento" / "src", tmp_path / "wheel"
        for path, text in {"service.py": service, **dict(files)}.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text, "utf-8")
        wheel.mkdir()
        (wheel / "library.py").write_text(library, "utf-8")
        python = make_environment(tmp_path / "environment", [*roots, wheel])
        directory, kept = bytecode
        variables = {**kept, **dict(variables)}
        subject = Subject("service:Svc", source.parent, seconds=seconds, variables=variables, **of)
        environment = environment_of(python, wheel)
        environment = environment._replace(visible=[*environment.visible, str(directory)])
        return import_service(subject, environment, tmp_path / "imports")

    return importing


@pytest.fixture
def imported(imported_anew, monkeypatch, tmp_path):
    """Import `service:Svc` of these modules, in processes where BentoML is imported already."""
    fork_imports(monkeypatch, tmp_path / "home")
    return imported_anew


def refusal(imported, service: str, **of) -> str:
    with pytest.raises(BentoError) as raised:
        imported(service, **of)
    message = str(raised.value)
    assert "Traceback" not in message
    assert "/imports/" not in message, "a path of this machine"
    assert message.endswith("."), message
    return message


def beside(*lines: str) -> str:
    """A service below these lines."""
    return "\n".join([*lines, SERVICE])


VLLM = """\
import os
from pathlib import Path

import bentoml
import library
import yaml
from pydantic import BaseModel

class Arguments(BaseModel):
    model: str = "llama"
    gpus: int = 1

arguments = bentoml.use_arguments(Arguments)
config = yaml.safe_load((Path(__file__).parent / "models.yaml").read_text())[arguments.model]
image = bentoml.images.Image(python_version="3.11").requirements_file("requirements.txt")
if config["post"]:
    for line in config["post"]:
        image = image.run(line)
if os.environ.get("QUANTIZED"):
    config["name"] += "-awq"

def decorate(cls):
    model = bentoml.models.HuggingFaceModel(config["id"], revision="0" * 40, exclude=["*.pth"])
    made = type(cls.__name__, (cls,), {"model": model})
    wrapped = bentoml.service(
        name=config["name"], image=image, labels={"type": config["id"].split("/")[0]},
        envs=[{"name": key} for key in sorted(config["envs"])], traffic={"timeout": 300},
        resources={"gpu": arguments.gpus, "gpu_type": "nvidia-h100" if config["big"] else "nvidia-l4"},
    )
    return wrapped(made)

@decorate
class Svc:
    @bentoml.api
    def generate(self, prompt: str = "x") -> str:
        return library.generate(prompt)
"""
MODELS = """\
llama: {id: org/Llama, name: llama, post: [], envs: [HF_TOKEN], big: false}
large: {id: org/Large, name: large, post: ["uv pip install flash"], envs: [HF_TOKEN, A], big: true}
"""


def test_a_service_that_computes_its_decorator(imported_anew):
    files = {"models.yaml": MODELS, "requirements.txt": "vllm==0.11.0\n"}
    arguments, variables = {"model": "large", "gpus": "4"}, {"QUANTIZED": "1"}
    found = imported_anew(
        VLLM, library="def generate(prompt): ...\n", files=files, arguments=arguments, variables=variables
    )
    info = found.info
    assert (info.bento_name, info.entry_service, info.labels) == ("large-awq", "large-awq", {"type": "org"})
    assert [env.name for env in info.envs] == ["A", "HF_TOKEN"]
    assert [(call.method, call.args) for call in info.image.calls] == [
        ("requirements_file", ("requirements.txt",)),
        ("run", ("uv pip install flash",)),
    ]
    [service] = info.services
    assert service.config == {"traffic": {"timeout": 300}, "resources": {"gpu": 4, "gpu_type": "nvidia-h100"}}
    [model] = service.models
    assert (model.attribute, model.huggingface.model_id, model.huggingface.exclude) == (
        "model",
        "org/Large",
        ("*.pth",),
    )
    assert not info.unknowns
    assert [route["name"] for route in found.schema["routes"]] == ["generate"]
    assert "/generate:" in found.openapi


def test_a_bentoml_without_images(imported, monkeypatch):
    """BentoML before 1.3.10 has no `_bentoml_sdk.images`."""
    monkeypatch.setattr(bentoml_import, "find_spec", lambda _name: None)
    info = imported(SERVICE).info
    assert (info.entry_service, info.image) == ("Svc", None)


def test_what_it_prints_is_not_a_fact(imported_anew):
    printing = beside("import os, sys", "print('{}')", "os.write(1, b'{}')", "os.write(2, b'{}')", "sys.stdin.read()")
    assert imported_anew(printing).info.entry_service == "Svc"


def test_no_gpu_is_seen(imported):
    assert imported(beside("import os; assert os.environ['CUDA_VISIBLE_DEVICES'] == ''")).info.entry_service == "Svc"


def test_it_may_look_at_its_own_files(imported):
    lines = [
        "import glob, os",
        "assert sorted(os.listdir()) == ['a.txt', 'service.py'] and glob.glob('*.txt') == ['a.txt']",
    ]
    assert imported(beside(*lines), files={"a.txt": ""}).info.entry_service == "Svc"


def test_a_thread_that_continues(imported_anew):
    waiting = beside("import threading, time", "threading.Thread(target=time.sleep, args=(600,)).start()")
    assert imported_anew(waiting).info.entry_service == "Svc"


def test_modules_that_are_called_as_those_of_libraries(imported_anew):
    files = {"logging.py": "raise OSError\n", "yaml.py": "raise OSError\n", "click.py": "raise OSError\n"}
    assert imported_anew(SERVICE, files=files).info.entry_service == "Svc", "as in `bentoml build`, they come too late"


def test_libraries_may_look_around_while_they_are_imported(imported_anew):
    library = (
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''], check=True)\nopen('/etc/passwd').close()\n"
    )
    assert imported_anew(beside("import library"), library=library).info.entry_service == "Svc"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("raise OSError('no GPU')", "the service cannot be imported:\n  service.py:1: raise OSError('no GPU')\n  OSError: no GPU\n"),
        ("raise OSError('no\\nGPU')", "\n  OSError: no\n  GPU\n"),
        ("raise SystemExit(0)", "  service.py:1: raise SystemExit(0)\n  SystemExit: 0\n"),
        ("import os; os._exit(0)", "importing the service ended the process with status 0.\n"),
        ("x = = 1", "  service.py:1: x = = 1\n  SyntaxError: invalid syntax\n"),
        ("import nowhere", "  service.py:1: import nowhere\n  ModuleNotFoundError: No module named 'nowhere'\nAdd the package of the module to requirements"),
        ("open('a.yaml')", "  service.py:1: open('a.yaml')\n  FileNotFoundError: [Errno 2] No such file or directory: 'a.yaml'\nAdd the file to the Bento"),
        ("open('/etc/passwd')", "importing the service reads a file (/etc/passwd):\n  service.py:1: open('/etc/passwd')\nAdd the file to the Bento"),
        ("import pathlib; pathlib.Path('/proc/cpuinfo').read_text()", "importing the service reads a file (/proc/cpuinfo):\n  service.py:1: "),
        ("import os; os.listdir('/etc')", "importing the service reads a file (/etc):\n  service.py:1: "),
        ("import glob; glob.glob('/etc/*.conf')", "importing the service reads a file (/etc):\n  service.py:1: "),
        ("import os; os.open('/etc/passwd', 0)", "importing the service reads a file (/etc/passwd):\n  service.py:1: "),
        ("import os; os.environ['STAGE']", "  service.py:1: import os; os.environ['STAGE']\n  KeyError: 'STAGE'\nSet the variable in import_env (--import-env)"),
        ("None.Rlocation", "  AttributeError: 'NoneType' object has no attribute 'Rlocation'\nA Bento has no runfiles. Use a path relative to __file__"),
        ("import subprocess; subprocess.run(['git', 'log'])", "importing the service starts a process:\n  service.py:1: "),
        ("import os; os.system('true')", "importing the service starts a process:\n  service.py:1: "),
        ("import os; os.fork()", "importing the service starts a process:\n  service.py:1: "),
        ("import platform; platform._uname_cache = None; platform.processor()", "importing the service starts a process:\n  service.py:1: "),
        ("import urllib.request as r; r.urlopen('http://127.0.0.1:9')", "importing the service opens the network (127.0.0.1):\n  service.py:1: "),
        ("import socket; socket.create_connection(('example.org', 80))", "importing the service opens the network (example.org):\n  service.py:1: "),
        ("import bentoml; bentoml.models.get('m')", "NotFound: no Models with name 'm' exist in BentoML store home/models\nAdd the bento_model of the model to models"),
    ],
)  # fmt: skip
def test_what_an_import_may_not_do(imported, line, told):
    assert told in refusal(imported, beside(line))


def test_a_service_that_the_module_lacks(imported):
    message = refusal(imported, "x = 1\n")
    assert message.startswith("the service cannot be imported:\n") and "Svc" in message


def test_an_error_at_import_is_reported_with_the_frames_of_the_user_alone(imported):
    weights = "import json\n\n\ndef load(text):\n    return json.loads(text)\n"
    lines = beside("from weights import load", "WEIGHTS = load('{')")
    assert refusal(imported, lines, files={"weights.py": weights}).startswith(
        "the service cannot be imported:\n"
        "  service.py:2: WEIGHTS = load('{')\n"
        "  weights.py:5: return json.loads(text)\n"
        "  JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)\n"
    )


def test_an_api_that_bentoml_cannot_describe(imported):
    node = "from __future__ import annotations\nfrom pydantic import BaseModel\nclass Node(BaseModel):\n    children: list[Node] = []\n"
    api = "    @bentoml.api\n    def grow(self, node: Node) -> Node:\n        return node\n"
    service = node + SERVICE.replace("class Svc: ...\n", f"class Svc:\n{api}")
    assert refusal(imported, service).startswith("BentoML cannot describe the service:\n")


@pytest.mark.parametrize(
    "line",
    [
        "open('/etc/passwd')",
        "__import__('os').system('true')",
        "__import__('urllib.request').request.urlopen('http://h')",
    ],
)
def test_what_is_rejected_though_the_service_continues_without_it(imported, line):
    message = refusal(imported, beside("try:", f"    {line}", "except Exception:", "    pass"))
    assert "service.py:2: " in message


def test_what_a_library_does_for_the_service(imported):
    library = "def head():\n    import subprocess\n    return subprocess.check_output(['git', 'rev-parse', 'HEAD'])\n"
    message = refusal(imported, beside("import library", "HEAD = library.head()"), library=library)
    assert message.startswith("importing the service starts a process:\n  service.py:2: HEAD = library.head()\n")


def test_buckets_that_end_with_infinity(imported):
    config = "metrics={'duration': {'buckets': [0.5, float('inf')]}}"
    service = f"import bentoml\n\n@bentoml.service({config})\nclass Svc: ...\n"
    [found] = imported(service).info.services
    assert found.config["metrics"]["duration"]["buckets"] == [0.5, float("inf")]


def labelled(value: str) -> str:
    return f"import bentoml\n\n@bentoml.service(labels={{'a': {value}}})\nclass Svc: ...\n"


@pytest.mark.parametrize(
    "value",
    [
        "__import__('random').random()",
        "__import__('uuid').uuid4()",
        "__import__('time').strftime('%Y-%m-%d')",
        "__import__('time').asctime()[-4:]",
        "__import__('time').ctime()[-4:]",
        "__import__('datetime').date.today()",
        "__import__('datetime').datetime.now().year",
        "__import__('datetime').datetime.now(__import__('datetime').timezone.utc).date()",
        "__import__('socket').gethostname()",
        "__import__('getpass').getuser()",
        "__import__('os').cpu_count()",
        "__import__('os').path.getmtime(__file__)",
        "__import__('pathlib').Path(__file__).stat().st_mtime_ns",
        "__import__('os').getcwd()",
        "__file__",
    ],
)
def test_what_another_machine_or_day_would_tell(imported, value):
    message = refusal(imported, labelled(value))
    assert message.startswith("service.py:3: labels.a is ")
    assert "on another machine or another day" in message


@pytest.mark.parametrize(
    "value", ["__import__('platform').node()", "id(bentoml)", "' '.join({'a', 'b', 'c', 'd', 'e', 'f'})"]
)
def test_what_another_process_would_tell(imported_anew, value):
    assert refusal(imported_anew, labelled(value)).startswith("service.py:3: labels.a is ")


def test_an_order_that_changes(imported_anew):
    assert "labels (order)" in refusal(
        imported_anew, labelled("0").replace("{'a': 0}", "{k: k for k in {*'abcdefgh'}}")
    )


def test_dates_are_of_their_own_classes(imported):
    line = "import datetime as d; assert type(d.datetime.now()) is d.datetime and type(d.date.today()) is d.date"
    assert imported(beside(line)).info.entry_service == "Svc"


def test_one_that_does_not_end(imported_anew):
    message = refusal(imported_anew, beside("def wait():", "    while True: ...", "wait()"), seconds=5)
    assert "did not end within 5 seconds" in message
    assert "service.py:3: in <module>\n  service.py:2: in wait\n" in message


def test_one_that_crashes(imported_anew):
    message = refusal(imported_anew, beside("import ctypes", "ctypes.string_at(0)"))
    assert "ended the process with signal 11.\n  service.py:2: in <module>\n" in message


IMAGED = SERVICE.replace("@bentoml.service", "@bentoml.service(image=image)")


def test_an_image_of_an_older_bentoml_has_the_calls_that_it_knows():
    @attrs.define
    class Image:
        python_version: str = ""
        python_requirements: str = attrs.field(default="", init=False)

        def python_packages(self, *packages):
            self.python_requirements += "\n".join(packages)

    recorder = Recorder(Image)
    image = Image(python_version="3.12")
    image.python_packages("numpy", "six")
    fields = recorder.image(image)
    assert fields.arguments == {"python_version": "3.12"}
    assert [(call.method, call.args) for call in fields.calls] == [("python_packages", ("numpy", "six"))]


@pytest.mark.parametrize(
    "change",
    [
        "image.commands.clear()",
        "image.commands.append('late')",
        "image.python_version = '3.12'",
        "image.python_requirements += 'idna\\n'",
        "image = copy.copy(image)",
        "image = copy.copy(image.run_script('a.sh'))",
    ],
)
def test_an_image_that_its_calls_do_not_make_is_rejected(imported, change):
    lines = ["import bentoml, copy", "image = bentoml.images.Image().run('true')", change]
    message = refusal(imported, "\n".join([*lines, IMAGED]), files={"a.sh": "#!/bin/sh\n"})
    assert message.startswith(
        "service.py:6: the image was copied, or modified without the methods of Image, or after os.chdir"
    )


def test_lists_of_an_image_that_bentoml_changes(imported):
    line = "image = bentoml.images.Image(commands=['first'], python_version='3.11').run('second')"
    image = imported(f"import bentoml\n{line}\n{IMAGED}").info.image
    assert image.arguments == {"commands": ["first"], "python_version": "3.11"}
    assert [call.args for call in image.calls] == [("second",)]


def test_a_path_of_an_image_that_bentoml_rejects(imported):
    line = "import bentoml, os; bentoml.images.Image().requirements_file(os.path.abspath('requirements.txt'))"
    message = refusal(imported, beside(line), files={"requirements.txt": "idna\n"})
    assert "ValueError: Absolute path src/requirements.txt is not allowed" in message


@pytest.mark.parametrize("value", ["object()", "{1: 2}", "__import__('decimal').Decimal(1)"])
@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("resources={{'gpu': {}}}", "BentoML cannot describe the service:\n  service.py:3\n  "),
        ("envs=[{{'name': 'A', 'value': {}}}]", "service.py:3: envs.0.value is "),
    ],
)
def test_values_that_bentoml_or_bento_yaml_rejects(imported, argument, problem, value):
    service = SERVICE.replace("@bentoml.service", f"@bentoml.service({argument.format(value)})")
    assert refusal(imported, service).startswith(problem)


def envs(value: str, name: str = "'A'") -> str:
    """A service, and a dependency, with an environment variable."""
    service = f"@bentoml.service(envs=[{{'name': {name}, 'value': {value}}}])\nclass Svc: ..."
    return f"import bentoml\n\n{service}\n"


# As BentoML: it fails at the others when it writes the Dockerfile, or when it serves a dependency.
@pytest.mark.parametrize("value", ["'x\\x85y'", "'\\u2028'", "'a\\tb\\x0b\\x1c\\x7f'", "''", "None"])
def test_values_of_envs(imported, value):
    service = envs(value)
    [env] = imported(service).info.envs
    assert [env] == [*read_service("service:Svc", {"service.py": service.encode()}).envs]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("'A'", "1", "the value of A must be a string, such as '1', got 1"),
        ("'A'", "1.5", "the value of A must be a string, such as '1.5', got 1.5"),
        ("'A'", "True", "the value of A must be a string, such as 'True', got True"),
        ("'A'", "['b']", "the value of A must be a string, got a list"),
        ("'A'", "{'b': 1}", "the value of A must be a string, got a dict"),
        ("''", "'x'", "the name of a variable must be a nonempty string, got ''"),
        ("1", "'x'", "the name of a variable must be a nonempty string, got 1"),
        ("None", "'x'", "the name of a variable must be a nonempty string, got None"),
    ],
)
@pytest.mark.parametrize("more", ["", "\n@bentoml.service\nclass Last:\n    svc = bentoml.depends(Svc)\n"])
def test_values_of_envs_that_are_not_strings(imported, name, value, problem, more):
    """Static analysis and the import reject them, also those of a dependency."""
    service = f"{envs(value, name)}{more}"
    if more:
        service = service.replace("Svc", "First").replace("Last", "Svc")
    owner = "First" if more else "Svc"
    assert refusal(imported, service) == f"service.py:3: envs of `{owner}`: {problem}\nWrite a string."
    with pytest.raises(BentoError, match=rf"^service.py:4: envs of `{owner}`: {re.escape(problem)}\."):
        read_service("service:Svc", {"service.py": service.encode()})


def test_an_unpaired_surrogate(imported):
    assert refusal(imported, envs(r"'\ud800'")).startswith("service.py:3: envs.0.value contains an unpaired surrogate")


def test_an_alias_of_a_model(imported_anew, tmp_path):
    entry = tmp_path / "bento" / "models" / "clf" / "v1"
    entry.mkdir(parents=True)
    (entry.parent / "latest").write_text("v1")
    (entry / "model.yaml").write_text(
        "name: clf\nversion: v1\nmodule: ''\nlabels: {}\noptions: {}\nmetadata: {}\nsignatures: {}\napi_version: v1\n"
        "context: {framework_name: '', framework_versions: {}, bentoml_version: 1.4.39, python_version: 3.11.2}\n"
        "creation_time: '2020-01-01T00:00:00+00:00'\n"
    )
    service = "import bentoml\n\n@bentoml.service\nclass Svc:\n    model = bentoml.models.get('best')\n"
    [model] = imported_anew(service, aliases={"best": "clf:v1"}).info.services[0].models
    assert (model.attribute, model.tag) == ("model", "clf:v1")


def test_the_other_process_ends_with_the_one_that_fails(imported_anew, tmp_path):
    waiting = beside("import os, time", "if os.environ['USER'] == 'here': raise OSError('now')", "time.sleep(600)")
    assert "OSError: now" in refusal(imported_anew, waiting)
    mark = f"{tmp_path}/imports/".encode()
    until(lambda: not any(mark in read(path) for path in Path("/proc").glob("[0-9]*/cmdline")))


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # of a process that has ended
        return b""


@pytest.mark.parametrize(("stated", "config"), [("", {}), (", workers=3", {"workers": 3})])
def test_workers_are_those_that_the_service_states_and_not_those_of_the_machine(imported, stated, config):
    service = SERVICE.replace("@bentoml.service", f"@bentoml.service(cmd=['serve']{stated})")
    assert imported(service).info.services[0].config == config
