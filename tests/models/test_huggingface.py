"""Snapshots of a Hugging Face hub are referenced as real BentoML references them, without asking the hub."""

import json

import pytest
import yaml
from bento_cli.projects.from_directory import build
from bento_cli.sharing import huggingface
from bento_cli.transports.address import MissingError
from rules_bento.errors import BentoError

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


def test_a_revision_that_moves_is_refused(tmp_path):
    with pytest.raises(BentoError, match=r"service\.py:6: Svc\.tiny: the revision 'main' of Acme/Tiny-BERT isn't a"):
        built(tmp_path / "p", "")


SETTINGS = {
    "variable": {"HF_TOKEN": "hf_secret", "HUGGING_FACE_HUB_TOKEN": "hf_other"},
    "former": {"HUGGING_FACE_HUB_TOKEN": " hf_secret\n", "HF_TOKEN": ""},
    "path": {"HF_TOKEN": " ", "HF_TOKEN_PATH": "{directory}/token", "HF_HOME": "/absent"},
    "variable in path": {"HF_TOKEN_PATH": "$HERE/token", "HERE": "{directory}"},
    "home": {"HF_HOME": "{directory}", "XDG_CACHE_HOME": "/absent"},
    "variable in home": {"HF_HOME": "${{HERE}}", "HERE": "{directory}"},
    "user in home": {"HF_HOME": "~", "HOME": "{directory}"},
    "cache": {"XDG_CACHE_HOME": "{directory}/cache"},
    "default": {"HOME": "{directory}"},
}


@pytest.mark.parametrize("where", SETTINGS)
@pytest.mark.parametrize(
    ("endpoint", "is_sent"),
    [
        ("https://hub.example", True),
        ("http://127.0.0.1:9", True),
        ("http://localhost:9/x", True),
        ("http://hub.example", False),
        ("http://127.0.0.1.hub.example:9", False),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1@hub.example", False),
    ],
)
def test_a_token_leaves_this_machine_only_with_encryption(tmp_path, monkeypatch, endpoint, is_sent, where):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/absent")
    for name, value in SETTINGS[where].items():
        monkeypatch.setenv(name, value.format(directory=tmp_path))
    file = tmp_path / {"cache": "cache/huggingface", "default": ".cache/huggingface"}.get(where, "") / "token"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("hf_secret\n", "utf-8")
    sent = []

    class Remote:
        def __init__(self, _address, authorization):
            sent.append(authorization)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, _consume):
            raise MissingError

    monkeypatch.setattr(huggingface, "Http", Remote)
    message = "not found on the Hugging Face Hub" if is_sent else "would be sent without encryption. Use an https URL"
    with pytest.raises(BentoError, match=message):
        huggingface.pin("a/b", endpoint=endpoint)
    assert sent == ["Bearer hf_secret"] * is_sent
