"""Manifests for images of models: KServe's InferenceService, and volumes of a Deployment.

`inference_service.schema.json` has the fields that manifests use, of the schema in KServe 0.20.0's custom resource
definition (Apache License 2.0). It contains Kubernetes' own schema of Pods.
"""

import json
import re
from pathlib import Path

import pytest
import yaml
from rules_bento.actions.images import deployment
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode
from rules_bento.images.entrypoint import command

SCHEMA = json.loads(Path(__file__).with_name("inference_service.schema.json").read_text("utf-8"))
PREDICTOR = SCHEMA["properties"]["spec"]["properties"]["predictor"]
TYPES = {"array": list, "boolean": bool, "integer": int, "object": dict, "string": str}
DIGEST = "sha256:" + "0a" * 32
CONFIG = {"config": {"User": "1034:1034", "Entrypoint": command("/app/.venv"), "Env": ["BENTO_PATH=/b"]}}
BENTO = {
    "service": "s:S",
    "name": "chat",
    "version": "v1",
    "entry_service": "S",
    "services": [{"name": "S"}],
    "envs": [],
}


def errors(value, schema, where=""):
    """What the API server refuses: unknown fields (with strict validation), missing ones, wrong types and patterns."""
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, (int, str)):
            yield f"{where}: {value!r}"
        return
    if "type" in schema and (
        not isinstance(value, TYPES[schema["type"]]) or (value is True and schema["type"] != "boolean")
    ):
        yield f"{where}: {value!r} isn't of the type {schema['type']}"
    elif isinstance(value, dict) and "properties" in schema:
        yield from (f"{where}: {name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, field in value.items():
            if name not in schema["properties"]:
                yield f"{where}.{name} is unknown"
            else:
                yield from errors(field, schema["properties"][name], f"{where}.{name}")
    elif isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
        for name, field in value.items():
            yield from errors(field, schema["additionalProperties"], f"{where}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from errors(item, schema["items"], f"{where}[{number}]")
    elif isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{where}: {value!r} doesn't match"


class Rule:
    """The actions, over files."""

    def __init__(self, directory):
        self.directory = directory
        (directory / "digest").write_text(f"{DIGEST}\n")

    def described(self, tag):
        fields = {"tag": tag, "module": "", "creation_time": "", "blake3": "", "size": 0, "labels": {}}
        path = self.directory / f"{tag.replace(':', '-')}.json"
        path.write_text(json.dumps(fields))
        return str(path)

    def run(self, words):
        words = [*words, "--port", "0", "--openshift", "0", "--startup-timeout-seconds", "60"]
        words += [*([] if "--app-name" in words else ["--app-name", ""]), "--digest", str(self.directory / "digest")]
        if "--repository" not in words:
            words += ["--repository", "registry.example.com/chat"]
        words += ["--output", str(self.directory / "out.yaml")]
        deployment(decode(deployment, words))
        return list(yaml.safe_load_all((self.directory / "out.yaml").read_text("utf-8")))

    def inference_service(self, *tags, scheme="oci+native", words=()):
        models = [word for tag in tags for word in ("--model", self.described(tag))]
        [service] = self.run(["--kserve", scheme, "onnx", *models, *words])
        return service

    def bento(self):
        """The config and the bento.yaml of an image."""
        (self.directory / "config.json").write_text(json.dumps(CONFIG))
        (self.directory / "bento.yaml").write_text(yaml.safe_dump(BENTO))
        return [str(self.directory / "config.json"), str(self.directory / "bento.yaml")]

    def pod(self, mounted, images):
        """The Pod of a Bento with models that it mounts, and repositories of images to the models that they have."""
        words = ["--image", *self.bento()]
        words += [word for tag in mounted for word in ("--model", self.described(tag))]
        for repository, tags in images.items():
            for tag in tags:
                words += ["--model-image", self.described(tag), str(self.directory / "digest"), repository]
        return self.run(words)[0]["spec"]["template"]["spec"]


@pytest.fixture
def rule(tmp_path):
    return Rule(tmp_path)


@pytest.mark.parametrize("scheme", ["oci", "oci+native"])
def test_kserve_serves_the_image_that_was_built(rule, scheme):
    service = rule.inference_service("my_llm:v1", scheme=scheme)
    assert not list(errors(service, SCHEMA))
    assert service["metadata"]["name"] == "my-llm"
    predictor = service["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == f"{scheme}://registry.example.com/chat@{DIGEST}"
    assert predictor["model"]["modelFormat"] == {"name": "onnx"}


def test_the_repository_can_select_the_scheme_of_kserve(rule):
    fetched = ["--repository", "oci+fetch://registry.example.com/chat"]
    service = rule.inference_service("llm:v1", words=fetched)
    assert service["spec"]["predictor"]["model"]["storageUri"] == f"oci+fetch://registry.example.com/chat@{DIGEST}"
    with pytest.raises(BentoError, match="Remove base"):
        rule.inference_service("llm:v1", scheme="oci", words=fetched)
    with pytest.raises(BentoError, match="oci\\+fetch://"):
        rule.run(["--image", *rule.bento(), *fetched])


def test_the_schema_rejects_what_kserve_rejects(rule):
    service = rule.inference_service("llm:v1")
    service["spec"]["predictor"]["model"] = {"storageURI": "x", "modelFormat": {}}
    service["metadata"] = []
    assert sorted(errors(service, SCHEMA)) == [
        ".metadata: [] isn't of the type object",
        ".spec.predictor.model.modelFormat: name is missing",
        ".spec.predictor.model.storageURI is unknown",
    ]


def test_the_predictor_has_the_fields_of_the_file(rule, tmp_path):
    (tmp_path / "pod.yaml").write_text("runtimeClassName: nvidia\ntolerations: [{key: gpu, operator: Exists}]\n")
    words = ["--pod-spec", str(tmp_path / "pod.yaml"), "pod.yaml"]
    service = rule.inference_service("llm:v1", words=words)
    assert not list(errors(service, SCHEMA))
    predictor = service["spec"]["predictor"]
    fields = {"runtimeClassName": "nvidia", "tolerations": [{"key": "gpu", "operator": "Exists"}]}
    assert {key: value for key, value in predictor.items() if key != "model"} == fields


def test_the_container_of_a_predictor_has_gpus_and_arguments(rule, tmp_path):
    words = ["--pod-spec", str(tmp_path / "pod.yaml"), "pod.yaml"]
    own = {"resources": {"limits": {"nvidia.com/gpu": "1"}}, "args": ["--max_model_len=4096"], "runtime": "hf"}
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump({"model": own, "runtimeClassName": "nvidia"}))
    service = rule.inference_service("llm:v1", words=words)
    assert not list(errors(service, SCHEMA))
    model = service["spec"]["predictor"]["model"]
    uri = f"oci+native://registry.example.com/chat@{DIGEST}"
    assert model == {"modelFormat": {"name": "onnx"}, "storageUri": uri, **own}
    for text, message in (
        ("model: {storageUri: 's3://x'}", "pod_spec: the manifest sets storageUri of model"),
        ("model: {storage: {key: x}}", "pod_spec: the manifest sets storage of model"),
        ("model: bert", "pod_spec: model isn't an object"),
        ("resources: {limits: {nvidia.com/gpu: '1'}}", "Move resources below model, the container that serves"),
    ):
        (tmp_path / "pod.yaml").write_text(text)
        with pytest.raises(BentoError, match=message):
            rule.inference_service("llm:v1", words=words)


def test_an_inference_service_names_all_models_of_its_image(rule):
    service = rule.inference_service("b.c:v1", "a:v2", words=["--app-name", "both"])
    assert service["metadata"]["annotations"] == {"rules-bento/models": "b.c:v1, a:v2"}
    assert service["metadata"]["name"] == "both"


def test_an_inference_service_of_several_models_is_not_named_like_one_of_them(rule):
    with pytest.raises(BentoError, match="required for an image with 2 models. Set the InferenceService's name"):
        rule.inference_service("b.c:v1", "a:v2")
    assert rule.inference_service("b.c:v1")["metadata"]["name"] == "b-c"


def test_names_that_kubernetes_rejects_are_rejected(rule):
    with pytest.raises(BentoError, match="app_name: invalid name '7b'"):
        rule.inference_service("7b:v1")


def test_a_pod_mounts_images_of_models_where_the_bento_links_to(rule):
    pod = rule.pod(
        ["llm:v1", "tok:v2", "Ranker:v3"], {"r.example/both": ["llm:v1", "tok:v2"], "r.example/r": ["Ranker:v3"]}
    )
    assert not list(errors(pod, PREDICTOR))
    [container] = pod["containers"]
    images = {volume["name"]: volume["image"]["reference"] for volume in pod["volumes"] if "image" in volume}
    assert list(images.values()) == [f"r.example/both@{DIGEST}", f"r.example/r@{DIGEST}"], "one volume for one image"
    mounts = {
        mount["mountPath"]: images[mount["name"]] for mount in container["volumeMounts"] if mount["name"] in images
    }
    assert mounts == {
        "/mnt/models/llm": f"r.example/both@{DIGEST}",
        "/mnt/models/tok": f"r.example/both@{DIGEST}",
        "/mnt/models/Ranker": f"r.example/r@{DIGEST}",
    }
    assert all(mount["readOnly"] for mount in container["volumeMounts"] if mount["name"] in images)


@pytest.mark.parametrize(
    ("mounted", "images", "message"),
    [
        (
            ["a:v1", "b:v1"],
            {"r.example/a": ["a:v1"]},
            "models: no bento_model_image contains b:v1. Add a bento_model_image for each model",
        ),
        (["a:v1"], {"r.example/a": ["a:v2"]}, "models: no bento_model_image contains a:v1."),
        (["a:v1"], {"r.example/a": ["a:v1", "b:v1"]}, "models: the Bento doesn't use b:v1. Remove"),
        (
            ["a:v1"],
            {"r.example/a:latest": ["a:v1"]},
            "models: expected a repository without a tag or digest, got r.example/a:latest.",
        ),
    ],
)
def test_images_of_other_models_are_rejected(rule, mounted, images, message):
    with pytest.raises(BentoError, match=message):
        rule.pod(mounted, images)
