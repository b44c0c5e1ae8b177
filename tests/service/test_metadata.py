"""Metadata of a service: read, or rejected by line with the remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from bento_cli.cli import main
from bento_cli.projects.from_directory import ExtraOptions, build
from rules_bento.base.errors import BentoError

from tests.helpers.golden_bentos import store_of
from tests.helpers.projects import write_project
from tests.helpers.service_cases import CASES
from tests.services.record import write_files

CLASS = "class Svc:\n    @bentoml.api\n    def call(self, x: int) -> int:\n        return x\n"


def project(tmp_path: Path, decorator: str, body: str = "", head: str = "", files=()) -> Path:
    source = f"import json, os\n\nimport bentoml\n{head}\n\n{decorator}\n{CLASS}{body}"
    return write_project(tmp_path / "project", {"files": dict(files)}, source)


def document(made) -> dict:
    return yaml.safe_load(made.bento.files["bento.yaml"])


def refusal(directory: Path, **options) -> str:
    with pytest.raises(BentoError) as raised:
        build(build_ctx=directory, **options)
    return str(raised.value)


CONDITIONAL = "if os.environ.get('CLOUD'):\n    from cloud import service\nelse:\n    service = bentoml.service\n"


def test_a_conditional_decorator_is_rejected_with_the_import(tmp_path):
    directory = project(tmp_path, "@service(name='s')", head=CONDITIONAL)
    message = refusal(directory, extra=ExtraOptions(is_command=True))
    assert re.search(
        r"metadata:\n  service.py:\d+: service `\w+`: .*`bentoml.service` is passed on as a value", message
    )
    assert message.endswith(" or import the service. Build with --import --python ENV.")
    assert refusal(directory).endswith(" or import the service. Set `python` in ExtraOptions.")


def test_what_decorates_a_service_is_not_followed(tmp_path):
    directory = write_files(CASES["decorator_wrapped"].files, tmp_path)
    message = refusal(directory, service="service:Front")
    assert "wrappers.py:8: service `Front`: `.__name__` isn't supported" in message


@pytest.mark.parametrize(
    ("decorator", "options", "problem"),
    [
        ("labels={'a': os.environ['A']}", {"labels": {"a": "1"}}, "`os.environ['A']`"),
        ("envs=[{'name': 'A', 'value': os.environ['A']}]", {"envs": [{"name": "A", "value": "1"}]}, "`os.environ['A']`"),
        ("description=os.environ['A']", {"description": "text"}, "`os.environ['A']`"),
        ("name=os.environ['A']", {"name": "a"}, "`os.environ['A']`"),
        ("cmd=['serve']", {}, "derives the number of workers from the CPUs"),
    ],
)  # fmt: skip
def test_an_option_does_not_replace_an_unknown_value_of_the_source(tmp_path, decorator, options, problem):
    directory = project(tmp_path, f"@bentoml.service({decorator})")
    assert problem in refusal(directory, **options)


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


def test_the_command_names_each_value(tmp_path, capsys):
    decorator = "@bentoml.service(labels={'a': os.environ['A'], 'b': args.b}, workers=os.cpu_count())"
    directory = project(tmp_path, decorator, "    m = bentoml.models.BentoModel(os.environ['M'])\n", head=ARGUMENTS)
    assert main(["build", str(directory)]) == 1
    error = capsys.readouterr().err
    for text in ("`labels` of", "`config.workers` of", "`models.m` of", "--import --python ENV"):
        assert text in error
    (directory / ".venv/bin").mkdir(parents=True)
    (directory / ".venv/bin/python").touch()
    assert main(["build", str(directory)]) == 1
    assert f"Build with --import --python {directory}/.venv." in capsys.readouterr().err


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
    "os.environ.update(open('prod.env'))\n",
    "os.environ['HF_' + 'ENDPOINT'] = 'http://127.0.0.1:9'\n",
    "import dotenv; dotenv.load_dotenv()\n",
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
