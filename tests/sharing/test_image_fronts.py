"""Each front builds the same image and reports the same problems: rules, by the actions' subcommands, and the commands."""

import ast
import itertools
import json
import re
import sys
from pathlib import Path

import pytest
from bento_cli.cli import status
from bento_cli.store.export import walk
from rules_bento.actions.subcommands import run
from rules_bento.base.archives.archive import write_part
from rules_bento.base.formats.oci import digest_of
from rules_bento.images import plan
from rules_bento.images.layers.members import LARGE_LAYERS, bento_order
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.reference import Reference
from rules_bento.images.wheels import bytecode

from tests.helpers.made_wheels import Maker
from tests.helpers.store_support import DAY_1, model_files
from tests.sharing.support import nobody, other_machine
from tests.sharing.test_native import DEBIAN, STATUS, add, locked, make_base, module, read, sha

__all__ = ["nobody"]

PROGRAM = Path(bytecode.__file__).with_name("bytecode_program.py")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9999999\n"
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


class Rules:
    """Runs the subcommands with the arguments of the rules' actions."""

    def __init__(self, directory, base, python="3.11"):
        self.directory, self.layers, self.counter, self.python = directory, [], itertools.count(), python
        directory.mkdir()
        layout = Layout.open(base)
        manifest = layout.find()
        config = json.loads(layout.blob(manifest.config.digest).read_bytes())
        variables = dict(text.split("=", 1) for text in config["config"]["Env"])
        self.config = self.file("base.json", json.dumps({
            "architecture": config["architecture"], "os": "linux", "env": variables,
            "digest": manifest.descriptor.digest, "origin": "",
        }))  # fmt: skip
        for number, layer in enumerate(manifest.layers()):
            fields = {"media_type": layer.media_type, "digest": layer.digest, "size": layer.size}
            fields |= {"diff_id": config["rootfs"]["diff_ids"][number], "name": f"base layer {number}"}
            self.layers.append(self.file(f"base-{number}.json", json.dumps(fields)))

    def file(self, name, content):
        path = self.directory / name
        path.write_text(content)
        return str(path)

    def run(self, name, *words):
        assert run([name, "--target", "//:image", *map(str, words)]) == 0

    def layer(self, name, *words):
        stem = self.directory / str(next(self.counter))
        self.run(name, "--compression", "gzip", "--output", stem, "--description", f"{stem}.json", *words)
        self.layers.append(f"{stem}.json")

    def wheels(self, group, excluded):
        venv = ["--prefix", plan.ENVIRONMENT, "--python-version", self.python, "--user", plan.USER]
        flags = {
            path: ["--wheel", path, "--locked", sha(path)]
            + [word for pattern in excluded.get(name, ()) for word in ("--exclude", json.dumps(pattern))]
            for name, path in group.items()
        }
        if len(group) == 1:
            [(name, path)] = group.items()
            self.layer("wheel_layer", *venv, "--name", f"{name} 1.0", *flags[path])
            return
        parts = []
        for number, path in enumerate(group.values()):
            part = self.directory / f"part-{number}"
            outputs = ["--output", part, "--listing", f"{part}.json"]
            self.run("wheel_part", *venv, "--compression", "gzip", *outputs, *flags[path])
            parts += ["--part", f"{part}.json", part]
        self.layer("join_layers", *venv, "--name", f"{len(group)} small packages", *parts)

    def bytecode(self, group, mode="unchecked-hash"):
        venv = ["--prefix", plan.ENVIRONMENT, "--python-version", self.python, "--user", plan.USER]
        words = []
        for path in group.values():
            part = self.directory / f"{path.name}.bytecode"
            self.run(
                "bytecode_part", *venv, "--wheel", path, "--locked", sha(path), "--bytecode", mode,
                "--interpreter", sys.executable, "--program", PROGRAM, "--compression", "gzip", "--output", part,
                "--listing", f"{part}.json",
            )  # fmt: skip
            words += ["--part", f"{part}.json", part]
        title = f"{len(group)} small packages" if len(group) > 1 else f"{next(iter(group))} 1.0"
        self.layer("join_layers", *venv, "--name", f"bytecode of {title}", *words)

    def model(self, path, name, hugging_face):
        """A model with one file of weights, as `bento_model` declares its layers."""
        fields = self.file(f"{name}-fields.json", json.dumps({"hugging_face": hugging_face} if hugging_face else {}))
        files = sorted(file for file in path.rglob("*") if file.is_file())
        sources = {file: [file, f"m/{file.relative_to(path)}", f"//m:{file.name}"] for file in files}
        given = [word for file in files for word in ("--source", *sources[file])]
        written = {flag: self.directory / f"{name}.{flag}" for flag in ("description", "manifest", "model_yaml")}
        outputs = [word for flag, file in written.items() for word in (f"--{flag.replace('_', '-')}", file)]
        place = ["--package", "m", "--user", plan.USER, "--directory", plan.BENTO]
        place += ["--weights", f"{plan.WEIGHTS}/{name}"]
        self.run("model", "--package", "m", "--fields", fields, "fields", *given, *outputs)
        weights = [file for file in files if file.suffix in plan.WEIGHTS_SUFFIXES]
        for file in weights:
            self.layer("weights_layer", *place, "--source", *sources[file])
        words = [word for file in files if file not in weights for word in ("--source", *sources[file])]
        words += [word for file in weights for word in ("--weights-file", "", *sources[file][1:])]
        words += [word for flag, file in written.items() for word in (f"--written-{flag.replace('_', '-')}", file)]
        self.layer("model_layer", *place, *words)
        return written["description"]

    def program(self, name, files):
        """The layers of a program, as `python_image` declares them. Returns its tag."""
        words = [word for path, source in files.items() for word in ("--dependency", source, path, f"//:{path}")]
        large = [str(self.directory / f"large-{number}") for number in range(LARGE_LAYERS)]
        words += [word for stem in large for word in ("--large", stem, f"{stem}.json")]
        outputs = {name: self.directory / f"program.{name}" for name in ("digest", "tag")}
        words += [word for name, path in outputs.items() for word in (f"--{name}", path)]
        self.layers += [f"{stem}.json" for stem in large]
        self.layer("program_layer", "--directory", "/app", "--name", name, "--platform", "linux_amd64", *words)
        return outputs["tag"].read_text()

    def environment(self):
        self.layer(
            "environment_layer", "--prefix", plan.ENVIRONMENT, "--python", "/usr/local/bin/python3", "--python-version",
            self.python, "--home", plan.HOME, "--user", plan.USER,
        )  # fmt: skip

    def soci(self):
        """The arguments for a SOCI index of the layers above the base."""
        words = ["--soci", self.directory / "soci", "--index", self.directory / "index"]
        for layer in self.layers[1:]:
            files = ["--layer", layer, "--layer", layer.removesuffix(".json")]
            self.run("layer_ztoc", *files, "--output", f"{layer}.ztoc", "--description", f"{layer}.ztoc.json")
            words += ["--ztoc", f"{layer}.ztoc.json"]
        return words

    def image(self, entry, models, created, soci=False):
        files = [member for member in walk(entry.path, "", skip="models") if not member.is_directory]
        described = [word for model in models for word in ("--model", model)]
        parts = [word for part in ("metadata", "sources") for word in ("--part", self.directory / part)]
        for part, is_source in zip(parts[1::2], (False, True), strict=True):
            chosen = [file for file in files if file.path.startswith("src/") is is_source]
            write_part(part, sorted(chosen, key=bento_order))
        self.layer("bento_layer", "--directory", plan.BENTO, "--user", plan.USER, *parts, *described)
        outputs = [self.directory / name for name in ("config", "manifest", "digest")]
        words = [word for path in outputs for word in (f"--{path.name}", path)]
        words += [word for layer in self.layers for word in ("--layer", layer)]
        self.run(
            "image", "--bento-yaml", entry.path / "bento.yaml", "--base-config", self.config, "--bento", plan.BENTO,
            "--environment", plan.ENVIRONMENT, "--home", plan.HOME, "--compression", "gzip", "--created", created,
            "--user", f"{plan.USER}:{plan.USER}", "--port", "3000/tcp", *words, *described, *(self.soci() if soci else []),
        )  # fmt: skip
        return outputs[2].read_text().strip()


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


def rules_told(capsys, name, *words):
    assert run([name, "--target", "//:image", *map(str, words)]) == 1
    return capsys.readouterr().err.removeprefix("//:image: ")


def libraries(directory, wheel):
    """The output of `wheel_libraries`."""
    path = directory / f"{wheel.name}.json"
    assert run(["wheel_libraries", "--target", "//:image", "--wheel", str(wheel), "--output", str(path)]) == 0
    return path


class Case:
    """An image with a problem: its wheels, models, and fields, and the action that reports it, with its arguments."""

    def __init__(self, action, problem, remedies, *, wheels=(), models=None, base=DEBIAN, opt=(), ignore="", **fields):
        self.action, self.problem, self.remedies = action, problem, remedies
        self.wheels, self.models, self.base, self.opt, self.ignore = wheels, models, base, opt, ignore
        self.fields = fields


COMPILED = DEBIAN | {"lib/libc.so.6": b"\x7fELF"}
CASES = {
    "needs": Case(
        "check_image", "triton: the package compiles C code, but BASE and the layers lack gcc, Python.h, stdio.h.",
        ('set ignore_libraries = ["Python.h", "gcc", "stdio.h"]', "--ignore-library=gcc --ignore-library=stdio.h"),
        wheels=[("triton", {"triton/__init__.py": ""})], ignore="ignore-library=gcc ignore-library=stdio.h ignore-library=Python.h",
    ),
    "library": Case(
        "check_image", "quick-1.0-py3-none-any.whl: quick/_q.so needs libstdc++.so.6, which neither BASE nor another package provides.",
        ('set ignore_libraries = ["libstdc++.so.6"]', "add --ignore-library=libstdc++.so.6"),
        wheels=[("quick", {"quick/__init__.py": "", "quick/_q.so": module("_q")})], base=COMPILED, ignore="ignore-library=libstdc++.so.6",
    ),
    "glibc": Case(
        "check_image", "newer-1.0-py3-none-any.whl: newer/_n.so uses functions of glibc 2.38, but BASE has 2.36.",
        ("Use an older wheel of newer, or a newer base.",) * 2,
        wheels=[("newer", {"newer/_n.so": module("_n", "GLIBC_2.38")})], base=COMPILED | {"lib/libstdc++.so.6": b""},
    ),
    "shared files": Case(
        "check_image", "cv and cv-headless: both packages install cv/core.py, with different contents.",
        ('set exclude = {"cv": ["/cv/core.py"]} of bento.pypi', "add --exclude=cv:/cv/core.py"),
        wheels=[("cv", {"cv/core.py": "1", "cv.py": ""}), ("cv_headless", {"cv/core.py": "2", "h.py": ""})], ignore="exclude=cv:/cv/core.py",
    ),
    "system package": Case(
        "check_system", "the Bento requires the system package ffmpeg, but BASE and the layers lack the package.",
        ('set ignore_system_requirements = ["ffmpeg"]', "add --ignore-requirement=ffmpeg"),
        docker={"system_packages": ["ffmpeg", "libgomp1"]}, ignore="ignore-requirement=ffmpeg",
    ),
    "distribution": Case(
        "check_system", "the Bento requires the distribution alpine, but BASE is debian.",
        ('set ignore_system_requirements = ["distro"]', "add --ignore-requirement=distro"),
        docker={"distro": "alpine"}, ignore="ignore-requirement=distro",
    ),
    "CUDA": Case(
        "check_system", "the Bento requires CUDA 12.4 (docker.cuda_version), but BASE and the packages contain no known CUDA version.",
        ('set ignore_system_requirements = ["cuda"]', "add --ignore-requirement=cuda"),
        docker={"cuda_version": "12.4"}, ignore="ignore-requirement=cuda",
    ),
    "command": Case(
        "image", "the image of the Bento runs 'echo hi' (setup_script, run or run_script), but",
        ('set ignore_system_requirements = ["echo hi"]', "add --ignore-requirement='echo hi'"),
        image={"commands": ["echo hi"]}, ignore="ignore-requirement=echo hi",
    ),
    "weights": Case(
        "model", "gen:v1: weights.bin is a pointer of Git LFS, not the file.", ("Run `git lfs pull`, or remove the file.",) * 2,
        models={"gen:v1": model_files("gen:v1", payload=POINTER)},
    ),
    "size": Case("check_size", "size_limit: the image has ", ("Remove one of these layers, or raise the limit.",) * 2, opt=["size-limit=1"], ignore="size-limit=9"),
    # A Bento has no entry point, so this case isn't one of `bento containerize`.
    "entry point": Case(
        "check_image", "serve: the entry point runs this program, but neither BASE, the packages, nor the files of the image contain the program.",
        ('Correct entrypoint, or add a package or layer that contains serve. If a volume contains serve, set ignore_libraries = ["serve"].',
         "Correct --entrypoint, which needs no `uv run`, or add a package that contains serve to the lock. If a volume contains serve, add --ignore-library=serve."),
        base=COMPILED, opt=["entrypoint=serve --port 80"], ignore="ignore-library=serve",
    ),
}  # fmt: skip


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
