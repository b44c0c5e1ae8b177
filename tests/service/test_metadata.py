"""Metadata of a service with its origins: read, declared, or rejected by line with a remedy, which the tests apply."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from bento_cli.cli import main
from bento_cli.projects.from_directory import ExtraOptions, build
from rules_bento.errors import BentoError
from rules_bento.service import Declared, require_known
from rules_bento.service.metadata import ServiceInfo, Unknown

from tests.helpers.golden_bentos import store_of
from tests.helpers.projects import write_project

SERVICES = Path(__file__).parents[1] / "services"
CLASS = "class Svc:\n    @bentoml.api\n    def call(self, x: int) -> int:\n        return x\n"


def project(tmp_path: Path, decorator: str, body: str = "", head: str = "", files=()) -> Path:
    source = f"import json, os\n\nimport bentoml\n{head}\n\n{decorator}\n{CLASS}{body}"
    return write_project(tmp_path / "project", {"files": dict(files)}, source)


def document(made) -> dict:
    return yaml.safe_load(made.bento.files["bento.yaml"])


def declared(**fields) -> ExtraOptions:
    return ExtraOptions(declared=Declared(**fields))


def refusal(directory: Path, **options) -> str:
    with pytest.raises(BentoError) as raised:
        build(build_ctx=directory, **options)
    return str(raised.value)


CONDITIONAL = "if os.environ.get('CLOUD'):\n    from cloud import service\nelse:\n    service = bentoml.service\n"


def test_a_conditional_decorator_is_rejected_with_the_import_first(tmp_path):
    directory = project(tmp_path, "@service(name='s')", head=CONDITIONAL)
    message = refusal(directory, extra=ExtraOptions(declared=Declared(option_kind="flags")))
    assert re.search(
        r"constants. Fix each value as described:\n  Build with --import --python ENV.*, or:\n  service.py:\d+: service `Svc`:",
        message,
    )
    assert "`bentoml.service` is passed on as a value" in message


def test_what_decorates_a_service_is_not_followed(tmp_path):
    directory = write_project(
        tmp_path / "p",
        {"files": {"wrappers.py": (SERVICES / "decorator_wrapped/wrappers.py").read_text()}},
        (SERVICES / "decorator_wrapped/service.py").read_text(),
    )
    message = refusal(directory, service="service:Front")
    assert "service.py:7: service `Front`: `renamed(" in message
    assert "isn't a supported decorator" in message


COMPUTED = "@bentoml.service(name='llama3.1-8b', resources={'gpu': os.environ['G']}, workers=int(os.environ['W']))"


def test_a_service_is_named_by_its_name_in_statements(tmp_path):
    body = "    m = bentoml.models.BentoModel(os.environ['M'])\n"
    directory = project(tmp_path, COMPUTED, body)
    store = store_of(tmp_path / "models")
    message = refusal(
        directory, extra=ExtraOptions(store=store, declared=Declared(option_kind="flags")), models=["iris_clf"]
    )
    assert "--config llama3.1-8b.resources.gpu=VALUE" in message
    config = {"llama3.1-8b": {"resources": {"gpu": 1}, "workers": 2}}
    extra = ExtraOptions(store=store, declared=Declared(config=config, service_models={"llama3.1-8b.m": "iris_clf"}))
    (service,) = document(build(build_ctx=directory, extra=extra, models=["iris_clf"]))["services"]
    assert (service["name"], service["config"]) == ("llama3.1-8b", config["llama3.1-8b"])
    assert service["models"][0]["tag"].startswith("iris_clf:")
    assert "no service is named `Svc`" in refusal(directory, extra=declared(config={"Svc": {"workers": 2}}))


def test_a_service_without_a_constant_name_needs_the_import(tmp_path):
    directory = project(tmp_path, "@bentoml.service(name=os.environ['N'], workers=os.cpu_count())")
    message = refusal(
        directory, extra=ExtraOptions(declared=Declared(config={"Svc": {"workers": 2}}, option_kind="flags"))
    )
    assert "service `Svc`: `os.environ['N']`" in message
    assert "config.workers" not in message


def test_the_name_of_a_service_has_dots_in_a_flag(tmp_path, capsys):
    directory = project(tmp_path, COMPUTED)
    flags = ["--config=llama3.1-8b.resources.gpu=1", "--config=llama3.1-8b.workers=2"]
    out = tmp_path / "one.bento"
    assert main(["build", "--archive", str(out), *flags, str(directory)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("decorator", "other", "answer"),
    [
        ("labels={'a': os.environ['A']}", {"labels": {"b": "1"}}, {"labels": {"a": "1"}}),
        (
            "envs=[{'name': 'A', 'value': os.environ['A']}]",
            {"envs": [{"name": "B"}]},
            {"envs": [{"name": "A", "value": "1"}]},
        ),
    ],
)
def test_one_declared_key_does_not_answer_for_another(tmp_path, decorator, other, answer):
    directory = project(tmp_path, f"@bentoml.service({decorator})")
    assert "`os.environ['A']`" in refusal(directory, **other)
    assert build(build_ctx=directory, **answer)


@pytest.mark.parametrize("fact", ["labels", "envs"])
def test_a_computed_whole_is_answered_by_a_whole_alone(tmp_path, fact):
    directory = project(tmp_path, f"@bentoml.service({fact}=made(os.environ))", head="from library import made\n")
    given = {"labels": {"a": "1"}} if fact == "labels" else {"envs": [{"name": "A", "value": "1"}]}
    assert f'complete_metadata = ["{fact}"]' in refusal(directory, **given)
    assert document(build(build_ctx=directory, extra=declared(in_full=[fact]), **given))[fact]
    assert "invalid value 'Labels'. Valid values" in refusal(directory, extra=declared(in_full=["Labels"]))


def test_computed_keys_of_a_configuration_are_declared_one_by_one(tmp_path):
    directory = project(
        tmp_path,
        "@bentoml.service(workers=int(os.environ['W']), traffic={'timeout': 7, 'concurrency': os.cpu_count()})",
    )
    message = refusal(directory)
    assert 'service_config = {"Svc": service_config(workers = ...)}' in message
    assert 'service_config = {"Svc": service_config(traffic = ...)}' in message
    assert "config.traffic.concurrency" in refusal(directory, extra=declared(config={"Svc": {"workers": 2}}))
    config = {"workers": 2, "traffic": {"concurrency": 4}}
    made = document(build(build_ctx=directory, extra=declared(config={"Svc": config})))
    assert made["services"][0]["config"] == {"workers": 2, "traffic": {"timeout": 7, "concurrency": 4}}
    assert "the source specifies 7" in refusal(directory, extra=declared(config={"Svc": {"traffic": {"timeout": 8}}}))
    assert "doesn't set `config.http`" in refusal(directory, extra=declared(config={"Svc": {"http": 1}}))
    assert "no service is named `Other`. Valid names: `Svc`" in refusal(directory, extra=declared(config={"Other": {}}))


def test_workers_that_depend_on_the_machine_are_declared(tmp_path):
    directory = project(tmp_path, "@bentoml.service(cmd=['serve'])")
    assert "derives the number of workers from the CPUs" in refusal(directory)
    assert build(build_ctx=directory, extra=declared(config={"Svc": {"workers": 1}}))


def test_a_computed_tag_is_declared_by_name(tmp_path):
    store = store_of(tmp_path / "models")
    body = "    m = bentoml.models.BentoModel(os.environ['M'])\n"
    directory = project(tmp_path, "@bentoml.service", body)
    message = refusal(directory, models=["iris_clf"], extra=ExtraOptions(store=store))
    assert 'service_models = {"Svc.m": "<tag>"}' in message
    made = document(
        build(
            build_ctx=directory,
            extra=ExtraOptions(store=store, declared=Declared(service_models={"Svc.m": "iris_clf"})),
        )
    )
    assert made["services"][0]["models"][0]["tag"].startswith("iris_clf:")


def test_a_path_that_may_make_the_label_of_an_openai_endpoint_is_requested(tmp_path):
    head = "from fastapi import FastAPI\napp = FastAPI()\n@app.get(os.environ['R'])\ndef chat(): ...\n"
    directory = project(tmp_path, "@bentoml.asgi_app(app)\n@bentoml.service", head=head)
    assert 'labels = {"openai_endpoint": "<the path without /chat/completions>"}' in refusal(directory)
    message = refusal(directory, extra=ExtraOptions(declared=Declared(option_kind="flags")))
    assert "such as /v1), or, if BentoML finds no such path, all labels with --complete labels" in message
    assert build(build_ctx=directory, labels={"openai_endpoint": "/v1"})
    assert build(build_ctx=directory, extra=declared(in_full=["labels"]))


ARGUMENTS = "args = bentoml.use_arguments()\n"


def test_arguments_are_read_and_are_no_service(tmp_path):
    directory = project(tmp_path, "@bentoml.service(labels={'foo': args.label})", head=ARGUMENTS)
    assert "the argument `label` of the Bento isn't set with `args` or --arg" in refusal(directory)
    assert document(build(build_ctx=directory, args={"label": "x"}))["labels"] == {"foo": "x"}


def test_arguments_through_a_model(tmp_path):
    head = (
        "from pydantic import BaseModel\n\n\nclass Args(BaseModel):\n    workers: int\n    name: str = 'plain'\n"
        "    ratio: float = 0.5\n\n\nargs = bentoml.use_arguments(Args)\n"
    )
    directory = project(tmp_path, "@bentoml.service(name=args.name, workers=args.workers)", head=head)
    [row] = document(build(build_ctx=directory, args={"workers": "3"}))["services"]
    assert (row["name"], row["config"]) == ("plain", {"workers": 3})
    assert "config.workers" in refusal(directory, args={"workers": "three"})


@pytest.mark.parametrize("reference", ["bentoml.models.get('short')", "bentoml.models.BentoModel('short')"])
def test_an_alias_is_what_models_get_takes(tmp_path, reference):
    store = store_of(tmp_path / "models")
    models = [{"tag": "iris_clf", "alias": "short"}]
    directory = project(tmp_path, "@bentoml.service", f"    m = {reference}\n")
    if "get" in reference:
        [row] = document(build(build_ctx=directory, models=models, extra=ExtraOptions(store=store)))["services"]
        assert row["models"][0]["tag"].startswith("iris_clf:")
    else:
        message = refusal(directory, models=models, extra=ExtraOptions(store=store))
        assert "alias of iris_clf:" in message
        assert "only bentoml.models.get supports" in message


@pytest.mark.parametrize("reference", ["get('Iris_CLF')", "BentoModel('Iris_CLF:latest')"])
def test_capitals_of_a_tag_are_small_in_the_store(tmp_path, reference):
    directory = project(tmp_path, "@bentoml.service", f"    m = bentoml.models.{reference}\n")
    [row] = document(build(build_ctx=directory, extra=ExtraOptions(store=store_of(tmp_path / "models"))))["services"]
    assert row["models"][0]["tag"].startswith("iris_clf:")


def test_a_line_break_at_the_end_of_a_requirement_is_none_of_it(tmp_path):
    image = "@bentoml.service(image=bentoml.images.Image().python_packages('idna~=3.0\\n'))"
    made = build(build_ctx=project(tmp_path, image))
    assert "idna~=3.0" in made.bento.files["env/python/requirements.txt"].decode().splitlines()
    two = project(tmp_path / "two", image.replace("3.0\\n", "3.0\\nsix"))
    assert "expected a single requirement" in refusal(two)


def test_the_command_names_its_flags_and_takes_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    store_of(tmp_path / "home" / "models")
    decorator = (
        "@bentoml.service(name='s', labels={'a': os.environ['A'], 'b': args.b}, envs=[{'name': 'X', 'value': os.environ['X']}],"
        " workers=os.cpu_count(), description=os.environ['D'])"
    )
    head = ARGUMENTS
    directory = project(tmp_path, decorator, "    m = bentoml.models.BentoModel(os.environ['M'])\n", head=head)
    assert main(["build", str(directory)]) == 1
    said = capsys.readouterr().err
    flags = ["--label a=1", "--env X=2", "--config s.workers=3", "--service-model s.m=iris_clf"]
    assert all(flag.split()[0] in said for flag in [*flags, "--description TEXT"]), said
    assert "the argument `b`" in said
    for wrong in ("--config=x.y=1", "--service-model=x.y=z"):
        assert main(["build", str(directory), wrong]) == 1
        assert f"`{wrong.partition('=')[0]}`" in capsys.readouterr().err
    words = [word for flag in flags for word in flag.split()]
    out = tmp_path / "s.bento"
    given = ["--description", "A text.", "--arg", "b=4", "--archive", str(out)]
    assert main(["build", str(directory), *words, *given]) == 0, capsys.readouterr().err


def test_who_builds_without_rules_is_told_what_to_type(tmp_path):
    body = "    m = bentoml.models.HuggingFaceModel('Org/bert')\n"
    moving = refusal(project(tmp_path / "hub", "@bentoml.service", body))
    assert re.search(r"`bento models pin Org/bert --endpoint https://[\w.]+`", moving)
    (tmp_path / "models" / "iris" / "v1").mkdir(parents=True)
    body = "    m = bentoml.models.BentoModel('{}')\n"
    for tag, reason in (
        ("irs:latest", "the store contains no model 'irs' (did you mean 'iris'?). To list the models"),
        ("iris:v2", "the store contains no matching version. To list the models, run `bento models list`."),
    ):
        directory = project(tmp_path / "lost", "@bentoml.service", body.format(tag))
        lost = refusal(directory, extra=ExtraOptions(store=tmp_path / "models"))
        assert lost.startswith("service.py:7: Svc requires the model ") and reason in lost


MIRRORS = [
    "os.environ['HF_ENDPOINT'] = 'http://127.0.0.1:9'\n",
    "os.environ.setdefault('HF_ENDPOINT', 'http://127.0.0.1:9')\n",
    "os.environ.update(HF_ENDPOINT='http://127.0.0.1:9')\n",
]


@pytest.mark.parametrize("mirror", MIRRORS)
@pytest.mark.parametrize("beside", [False, True])
def test_a_source_that_may_set_the_hub_has_to_name_it_for_each_model(tmp_path, mirror, beside):
    """BentoML reads HF_ENDPOINT where a model without an endpoint is made, whoever has set it."""
    head = "import settings\n" if beside else mirror
    files = {"settings.py": f"import os\n\n\n{mirror}"} if beside else {}
    body = f"    m = bentoml.models.HuggingFaceModel('org/bert', '{'a' * 40}')\n"
    message = refusal(project(tmp_path / "open", "@bentoml.service", body, head, files))
    place = "settings.py:4" if beside else "service.py:4"
    assert f"  {place}: service `Svc`: `endpoint` is the value of HF_ENDPOINT" in message
    body = body.replace("')", "', endpoint='http://127.0.0.1:9')")
    made = document(build(build_ctx=project(tmp_path / "named", "@bentoml.service", body, head, files)))
    assert made["services"][0]["models"][0]["metadata"]["endpoint"] == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "member", ["bentoml.models.HuggingFaceModel(os.environ['M'])", "bentoml.depends(url=os.environ['U'])"]
)
def test_what_nothing_states_is_to_be_declared_in_the_source(tmp_path, member):
    directory = project(tmp_path, "@bentoml.service", f"    m = {member}\n")
    flags = ExtraOptions(declared=Declared(option_kind="flags"))
    for message, way in (
        (refusal(directory), "Import the service"),
        (refusal(directory, extra=flags), "Build with --import --python ENV"),
    ):
        end = rf"{way}, or change the code as described in service-metadata\.md#[a-z-]+ in .*\.$"
        assert re.search(rf"service.py:\d+: service `Svc`: `os.environ\[.* {end}", message, re.MULTILINE)


def test_a_rule_is_told_that_importing_tells_what_is_computed():
    unknown = Unknown("`models.m`: `f()` is known only when the code runs", "service.py", 4, "models.m", "Svc")
    info = ServiceInfo("service:Svc", "service.py", "new", None, None, unknowns=(unknown,))
    for target, way in (("//svc:iris", 'Add to the target:\n    service_metadata = "import",'), ("", "service_models")):
        with pytest.raises(BentoError) as raised:
            require_known(info, target, "attributes")
        assert way in str(raised.value)
    assert 'service_metadata = "import"' not in str(raised.value), "functions and the command do not import"
