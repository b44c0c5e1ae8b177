"""Images as the rules' actions build them, and the Bentos that all fronts build."""

import itertools
import json
import sys
from pathlib import Path

from bento_cli.store.export import walk
from rules_bento.actions.subcommands import run
from rules_bento.base.archives.archive import write_part
from rules_bento.images import plan
from rules_bento.images.layers.members import LARGE_LAYERS, bento_order
from rules_bento.images.registry.layout import Layout
from rules_bento.images.wheels import bytecode

from tests.helpers.store_support import model_files
from tests.sharing.image_support import DEBIAN, module, sha

PROGRAM = Path(bytecode.__file__).with_name("bytecode_program.py")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9999999\n"


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
