"""Each front builds the same image and reports the same problems: rules, by the actions' subcommands, and the commands."""

import ast
import json
import re
from pathlib import Path

import pytest
from bento_cli.cli import status
from rules_bento.actions.subcommands import run
from rules_bento.base.formats.oci import digest_of
from rules_bento.images import plan
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.reference import Reference

from tests.helpers.made_wheels import Maker
from tests.helpers.store_support import DAY_1, model_files
from tests.sharing.front_support import CASES, Rules, libraries, rules_told
from tests.sharing.image_support import DEBIAN, STATUS, add, locked, make_base, read
from tests.sharing.support import other_machine, own_home

__all__ = ["own_home"]

HUB = "org/bert@" + "c" * 40


def constants(path):
    """The constants of a Starlark file that are literals, or concatenations of them."""
    found = {}
    for node in ast.parse(Path(path).read_text("utf-8")).body:
        if isinstance(node, ast.Assign):
            expression = ast.Expression(node.value)
            try:
                found[node.targets[0].id] = eval(compile(expression, path, "eval"), {"__builtins__": {}}, dict(found))
            except (NameError, TypeError):
                continue
    return found


def test_the_constants_are_those_of_starlark():
    layers, models = constants("private/layers.bzl"), constants("private/model_entry.bzl")
    names = ("BENTO", "ENVIRONMENT", "HOME", "USER", "WEIGHTS")
    assert {name: layers[name] for name in names} == {name: getattr(plan, name) for name in names}
    assert (models["_WEIGHTS"], models["_NAMING"]) == (plan.WEIGHTS_SUFFIXES, plan.LINK_READERS)
    text = Path("private/model_entry.bzl").read_text("utf-8")
    assert f"default = {plan.MAX_WEIGHTS_LAYERS + 1},\n" in text
    assert 'attr.string_list(default = ["3000/tcp"]' in Path("rules/bento_image.bzl").read_text("utf-8")


@pytest.mark.parametrize("hugging_face", ["", HUB])
def test_the_digest_is_that_of_the_rules(hugging_face, local, wheels, bento, store, tmp_path):
    """With a large wheel, small wheels, excluded files, and two models, one from the Hugging Face Hub."""
    base, out = make_base(tmp_path / "base"), tmp_path / "out"
    models = {"bert:v1": model_files("bert:v1"), "gen:v1": model_files("gen:v1", payload=b"more")}
    add(store, tmp_path, locked(wheels, options="--no-index"), models=models)
    backend, words = ["--backend", "native"], ["--exclude", "tiny:/tiny/tests/"]
    words += ["--hugging-face", f"bert={HUB}"] if hugging_face else []
    bento("containerize", "nat", *backend, "--base", f"oci:{base}", "--output", f"oci:{out}", *words)
    found = Layout.open(out).find()
    rules = Rules(tmp_path / "rules", base)
    rules.environment()
    paths = {
        name: next(wheels.glob(f"{name.replace('-', '_')}-*")) for name in ("large", "acme-tools", "bentoml", "tiny")
    }
    rules.wheels({"large": paths.pop("large")}, {})
    rules.wheels(paths, {"tiny": ["/tiny/tests/"]})
    described = [
        rules.model(store.models.get(f"{name}:v1").path, name, hugging_face if name == "bert" else "")
        for name in ("bert", "gen")
    ]
    digest = rules.image(store.bentos.get("nat"), described, DAY_1)
    assert [json.loads(Path(layer).read_text())["digest"] for layer in rules.layers] == [
        layer.digest for layer in found.layers()
    ]
    assert digest == found.descriptor.digest
    with other_machine(base, wheels, store.home.root) as build_again:
        home = ["--home", store.home.root.name]
        assert build_again(*home, "containerize", "nat", *backend, "--base", f"oci:{base.name}", *words) == digest
    env = read(out)[0]["config"]["Env"]
    assert ("HF_HUB_OFFLINE=1" in env) is bool(hugging_face)
    assert any("huggingface/hub/models--org--bert" in name for name in read(out)[2][5]) is bool(hugging_face)
    [sbom] = Layout.open(out).referrers(digest, "application/vnd.cyclonedx+json")
    names = {each["name"] for each in json.loads(Layout.open(out).read(sbom.layers()[0]))["components"]}
    assert names == {"base", "libc6", "libgomp1", "acme-tools", "bentoml", "bert", "gen", "large", "nat", "tiny"}


def test_a_wheel_that_a_bento_includes_requires_its_packages_directly(local, wheels, bento, store, tmp_path, capsys):
    maker = Maker("acme")
    maker.files[f"{maker.dist_info}/METADATA"] += b"Requires-Dist: gitpython\n"
    acme, git = maker.write(wheels), Maker("gitpython").write(wheels)
    text = locked(wheels, ["bentoml", "gitpython"], "--no-index") + f"./wheels/{acme.name}\n".encode()
    add(store, tmp_path, text, files={f"src__wheels/{acme.name}": acme.read_bytes()})
    base = make_base(tmp_path / "base", DEBIAN)
    words = ["--backend", "native", "--base", f"oci:{base}", "--output", f"oci:{tmp_path / 'out'}"]
    told = bento("containerize", "nat", *words, code=status.ERROR)
    assert "gitpython: the package runs git at its import" in told
    for file, content in ("base.json", {"architecture": "amd64", "os": "linux", "env": {}}), ("libraries.json", ["x"]):
        (tmp_path / file).write_text(json.dumps(content))
    words = ["--base", "BASE", "--base-config", tmp_path / "base.json", "--base-libraries", tmp_path / "libraries.json"]
    words += ["--python-version", "3.11", "--output", tmp_path / "checked"]
    words += [word for path in (acme, git) for word in ("--wheel", path.name, "--libraries", libraries(tmp_path, path))]
    assert run(["check_image", "--target", "//:image", *map(str, words)]) == 0
    assert rules_told(capsys, "check_image", *words, "--own", acme.name).startswith("gitpython: the package runs git")


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"entry point"}))
def test_each_check_of_the_rules_is_one_of_the_commands(name, local, wheels, bento, store, tmp_path, capsys):
    """The same problem in the same words, with a remedy that works."""
    case = CASES[name]
    for package, files in case.wheels:
        Maker(package).add(files).write(wheels)
    names = ["bentoml", "large", *(package.replace("_", "-") for package, _ in case.wheels)]
    add(store, tmp_path, locked(wheels, names, "--no-index"), models=case.models, **case.fields)
    base = make_base(tmp_path / "base", case.base)
    words = ["--backend", "native", "--base", f"oci:{base}", "--output", f"oci:{tmp_path / 'out'}"]

    def options(texts):
        return [word for text in texts for word in (f"--{text}",)]

    told = bento("containerize", "nat", *words, *options(case.opt), code=status.ERROR)
    told = told.removeprefix("bento: ").replace(f"oci:{base}", "BASE").replace("--size-limit:", "size_limit:")
    entry = store.bentos.get("nat")
    config = tmp_path / "base.json"
    config.write_text(json.dumps({"architecture": "amd64", "os": "linux", "env": {}}))
    common = ["--base", "BASE", "--base-config", config]
    output = ["--output", tmp_path / "checked"]
    if case.action == "check_image":
        below = tmp_path / "libraries.json"
        below.write_text(json.dumps([path.rpartition("/")[2] for path in case.base if ".so" in path]))
        made = [next(wheels.glob(f"{each.replace('-', '_')}-*")) for each in names]
        more = ["--python-version", "3.11", "--glibc", "2.36", "--base-libraries", below]
        more += [word for path in made for word in ("--wheel", path.name, "--libraries", libraries(tmp_path, path))]
        expected = rules_told(capsys, "check_image", *common, *output, *more)
    elif case.action == "check_system":
        system = tmp_path / "system.json"
        packages = [("libc6", "2.36", "amd64", [], ""), ("libgomp1", "12", "amd64", [], "")]
        system.write_text(json.dumps({"ids": ["debian"], "packages": packages}))
        more = ["--base-system", system, "--bento-yaml", entry.path / "bento.yaml", "--image", "image"]
        expected = rules_told(capsys, "check_system", *common, *output, *more)
    elif case.action == "image":
        outputs = [word for flag in ("config", "manifest", "digest") for word in (f"--{flag}", tmp_path / flag)]
        more = ["--bento-yaml", entry.path / "bento.yaml", "--created", DAY_1, "--environment", "/e", "--user", "1:1"]
        expected = rules_told(capsys, "image", "--base-config", config, *more, *outputs)
    elif case.action == "model":
        [model] = entry.models
        files = [path for path in store.models.get(model).path.rglob("*") if path.is_file()]
        more = [word for path in files for word in ("--source", path, path.name, f"//:{path.name}")]
        expected = rules_told(capsys, "model", *more, "--description", tmp_path / "model.json")
    else:
        layer = tmp_path / "layer.json"
        layer.write_text(
            json.dumps({"media_type": "", "digest": "", "size": 3 << 20, "diff_id": "", "name": "large 1.0"})
        )
        expected = rules_told(capsys, "check_size", *output, "--layer", layer, "--size-limit", "1000000")
    where = case.problem if name != "command" else f"nat:v1: {case.problem}"
    assert told.startswith(where), told
    assert expected.startswith(case.problem), expected
    assert case.remedies[0] in expected
    assert case.remedies[1] in told
    assert "ignore_" not in told
    assert not (tmp_path / "out").exists()
    if case.ignore:
        if name == "size":
            case_options = options([case.ignore])
        else:
            separate = case.ignore.split(" ") if name == "needs" else [case.ignore]
            case_options = options([*case.opt, *separate])
        bento("containerize", "nat", *words, *case_options)


def test_an_image_for_several_platforms(local, wheels, bento, store, tmp_path, server, registries: Registries):
    """The index lists both images, each with an SBOM, and equal to an image that is built alone."""
    add(store, tmp_path, locked(wheels, options="--no-index"))
    for architecture in ("amd64", "arm64"):
        files = DEBIAN | {"var/lib/dpkg/status": STATUS.format("libc6", f"2.36-{architecture}").encode()}
        make_base(tmp_path / architecture, files, architecture=architecture)
    both = tmp_path / "both"
    both.mkdir()
    entries = []
    for architecture in ("amd64", "arm64"):
        (tmp_path / architecture / "blobs/sha256").rename(both / architecture)
        entries += json.loads((tmp_path / architecture / "index.json").read_text())["manifests"]
    (both / "blobs/sha256").mkdir(parents=True)
    for path in [*both.glob("a*/*")]:
        path.rename(both / "blobs/sha256" / path.name)
    (both / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    (both / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    alone, platforms = [], ["--platform", "linux/amd64", "--platform", "linux/arm64"]
    for platform in platforms[1::2]:
        out = tmp_path / platform.replace("/", "-")
        words = ["--backend", "native", "--base", f"oci:{both}", "--platform", platform, "--output", f"oci:{out}"]
        bento("containerize", "nat", *words)
        alone.append(Layout.open(out).find().descriptor.digest)
    name = f"{server.host}/x/nat:v1"
    words = ["--backend", "native", "--base", f"oci:{both}", *platforms, "-t", name]
    bento("containerize", "nat", *words, "--push", "--output", f"oci:{tmp_path / 'out'}", "--sbom", "spdx")
    index = Layout.open(tmp_path / "out").find()
    assert index.is_index
    assert [child.digest for child in index.children()] == alone
    repository = registries.repository(Reference.parse(name))
    assert repository.get_manifest("v1").descriptor.digest == index.descriptor.digest
    for digest in alone:
        [sbom] = Layout.open(tmp_path / "out").referrers(digest, "application/spdx+json")
        assert [each.digest for each in repository.referrers(digest)] == [sbom.descriptor.digest]
    server.assert_sound()
    message = "--load: a container engine runs one platform."
    (local / "podman").write_text("#!/bin/sh\nexit 0\n")
    (local / "podman").chmod(0o755)
    assert message in bento("containerize", "nat", *words, "--load", code=status.ERROR)


def test_soci_is_an_index_of_the_large_layers(local, wheels, bento, store, tmp_path):
    import os

    [old] = wheels.glob("large-*")
    old.unlink()
    Maker("large").add({"large/__init__.py": b"", "large/data": os.urandom(11 << 20)}).write(wheels)
    add(store, tmp_path, locked(wheels, options="--no-index"))
    base = make_base(tmp_path / "base")
    words = ["--backend", "native", "--base", f"oci:{base}", "--soci"]
    bento("containerize", "nat", *words, "--output", f"oci:{tmp_path / 'out'}")
    layout = Layout.open(tmp_path / "out")
    index = layout.find()
    rules = Rules(tmp_path / "rules", base)
    rules.environment()
    paths = {
        name: next(wheels.glob(f"{name.replace('-', '_')}-*")) for name in ("large", "acme-tools", "bentoml", "tiny")
    }
    rules.wheels({"large": paths.pop("large")}, {})
    rules.wheels(paths, {})
    assert rules.image(store.bentos.get("nat"), [], DAY_1, soci=True) == index.descriptor.digest
    image, soci = index.children()
    manifest = layout.manifest(image.digest)
    assert json.loads(manifest.content)["annotations"]["com.amazon.soci.index-digest"] == soci.digest
    [ztoc] = layout.manifest(soci.digest).layers()
    assert digest_of(layout.blob(ztoc.digest).read_bytes()) == ztoc.digest
    assert re.fullmatch("sha256:[0-9a-f]{64}", ztoc.annotations["com.amazon.soci.image-layer-digest"])
