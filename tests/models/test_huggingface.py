"""Snapshots of a Hugging Face hub are referenced as real BentoML references them, without asking the hub."""

import json

import pytest
import yaml
from bento_cli.projects.from_directory import build
from rules_bento.base.errors import BentoError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SERVICE = """\
import bentoml
from bentoml.models import HuggingFaceModel


@bentoml.service
class Svc:
    tiny = HuggingFaceModel("Acme/Tiny-BERT", {arguments})
"""
# The commit is what the hub would answer for it.
REAL = """\
import json
from bentoml.models import HuggingFaceModel
from bentoml._internal.utils.cattr import bentoml_cattr
HuggingFaceModel.commit_hash = {commit!r}
info = HuggingFaceModel("Acme/Tiny-BERT", {arguments}).to_info()
print(json.dumps({{"tag": str(info.tag), "registry": info.registry, "metadata": info.metadata}}))
"""
READ = """\
import yaml, json
from bentoml._internal.bento.bento import BentoInfoV2
info = BentoInfoV2.from_yaml_file(open({path!r}))
print(json.dumps([str(model.to_model()) for service in info.services for model in service.models]))
"""


def built(directory, arguments):
    directory.mkdir()
    (directory / "service.py").write_text(SERVICE.format(arguments=arguments), "utf-8")
    return build(service="service:Svc", build_ctx=directory).bento.files["bento.yaml"]


@pytest.mark.parametrize("more", ["", ", include=['*.json'], exclude=['*.bin']"], ids=["all of it", "some of it"])
def test_the_entry_is_that_of_bentoml(bentoml, tmp_path, more):
    arguments = f"revision={COMMIT!r}, endpoint='http://127.0.0.1:9/hub'{more}"
    [entry] = yaml.safe_load(built(tmp_path / "p", arguments))["services"][0]["models"]
    theirs = json.loads(bentoml.ask(REAL.format(arguments=arguments, commit=COMMIT)))
    assert {key: entry[key] for key in theirs} == theirs


def test_without_an_endpoint_it_is_the_default_hub(bentoml, tmp_path):
    text = built(tmp_path / "p", f"revision={COMMIT!r}")
    asked = "from _bentoml_sdk.models.huggingface import DEFAULT_HF_ENDPOINT; print(DEFAULT_HF_ENDPOINT)"
    told = bentoml.ask(asked)
    assert yaml.safe_load(text)["services"][0]["models"][0]["metadata"]["endpoint"] == told.strip()
    (tmp_path / "bento.yaml").write_bytes(text)
    read = bentoml.ask(READ.format(path=str(tmp_path / "bento.yaml")))
    assert json.loads(read) == [f"acme/tiny-bert:{COMMIT}"]


def test_a_revision_that_moves_is_rejected(tmp_path):
    with pytest.raises(BentoError, match=r"service\.py:6: Svc\.tiny: the revision 'main' of Acme/Tiny-BERT isn't a"):
        built(tmp_path / "p", "")
