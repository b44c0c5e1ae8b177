"""`bento patch`: patched images equal rebuilds, or are rejected, whatever the registry, the image, and the index state."""

import functools
import gzip
import io
import json
import os
import random
import re
import ssl
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from bento_cli.cli import status
from bento_cli.patches import image_patch
from bento_cli.patches.fleet_patch import Request, patch_images
from bento_cli.patches.image_patch import ImagePlanner
from bento_cli.patches.published_image import read_images
from bento_cli.sharing import native_build, start_option
from bento_cli.sharing.image_options import read_options
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import CONFIG, MANIFEST, SBOM_TYPES, Layer, digest_of, to_bytes
from rules_bento.base.net import host_settings, transfers
from rules_bento.base.net.transfers import Progress
from rules_bento.images.artifacts import artifact
from rules_bento.images.registry.blob_sources import BytesSource, FileSource, Pushable
from rules_bento.images.registry.descriptor import Descriptor, Manifest
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.push_to_registry import push, upload
from rules_bento.images.registry.reference import Reference

from tests.helpers.made_wheels import METADATA, Maker
from tests.registry import servers
from tests.registry.relay import DOWN, UP, Answer, Cut, Flip, Length, Relay
from tests.sharing.debian_support import SYSTEM
from tests.sharing.front_support import Rules, libraries
from tests.sharing.image_support import UV_BUILD, make_base, program_digest, sha
from tests.sharing.python_support import BASE, MINOR, PATH, VERSION, base_of
from tests.sharing.support import POINTS, killed

PYTHON = f"--bytecode-python={sys.executable}"


class Fleet:
    """A machine with a project, an index with several versions of `tiny`, a base, and a registry."""

    def __init__(self, bento, machine, wheels, tmp_path, server, name, store):
        self.bento, self.machine, self.wheels, self.directory, self.store = bento, machine, wheels, tmp_path, store
        self.image, self.base = (
            f"{server.host}/t/{name}",
            f"oci:{base_of(tmp_path / 'base', f'PYTHON_VERSION={VERSION}')}",
        )
        for version, requires in (("2.0", ""), ("3.0", "absent"), ("4.0", "large>1")):
            self.add("tiny", version, requires)
        self.add("fussy", "1.0", "tiny<2")

    def add(self, name, version, *requires):
        maker = Maker(name, version).add({f"{name}/__init__.py": f"V = {version!r}\n", f"{name}/tests/x.py": ""})
        lines = "".join(f"Requires-Dist: {each}\n" for each in requires if each)
        maker.add({f"{maker.dist_info}/METADATA": METADATA.format(name, version) + lines})
        return maker.write(self.wheels)

    def lock(self, project, *pins):
        words = [os.environ["RULES_BENTO_UV"], "lock", "-q", "--python", sys.executable]
        subprocess.run([*words, *(word for pin in pins for word in ("-P", pin))], cwd=project, check=True)

    def build(self, project, tag, *pins, options=()):
        self.lock(project, *pins)
        words = ["--base", self.base, "--push", "-t", f"{self.image}:{tag}", "-o", "json", *options]
        return json.JSONDecoder().raw_decode(self.bento("image", project, *words))[0]

    def patch(self, *words, code=status.OK, base=True):
        words = [*words, *(["--base", self.base] if base else []), "-o", "json"]
        return json.JSONDecoder().raw_decode(self.bento("patch", *words, code=code))[0]


default_tls_context = functools.cache(ssl.create_default_context)


@pytest.fixture
def fleet(bento, machine, wheels, tmp_path, server, name, store, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(host_settings, "tls_context", lambda _: default_tls_context())  # 0.1 s for each command
    return Fleet(bento, machine, wheels, tmp_path, server, name, store)


OPTIONS = (
    "--env",
    "LANG=C",
    "--env",
    "A=b=c",
    "--label",
    "a=b",
    "--file",
    "x.txt=/srv/x",
    "--exclude",
    "tiny:tiny/tests",
)
PACKAGE = f'[project.scripts]\nweb = "web:main"\n{UV_BUILD}'


@pytest.mark.parametrize(
    ("files", "pyproject", "options"),
    [
        ({"main.py": "import tiny\n"}, "", ("--compression", "zstd", PYTHON)),
        ({"main.py": "", "x.txt": "x"}, "", (*OPTIONS, "--platform", "linux/amd64", "--platform", "linux/arm64")),
        ({"src/web/__init__.py": "def main(): pass\n"}, PACKAGE, (PYTHON,)),
    ],
    ids=["bytecode and zstd", "options and two platforms", "package with bytecode"],
)
def test_a_patched_image_equals_a_rebuild(fleet, files, pyproject, options, monkeypatch):
    if "linux/arm64" in options:
        layout = fleet.directory / "base"
        entries = json.loads((layout / "index.json").read_text())["manifests"]
        make_base(layout, BASE, (PATH, f"PYTHON_VERSION={VERSION}"), "arm64")
        entries += json.loads((layout / "index.json").read_text())["manifests"]
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    monkeypatch.chdir(fleet.machine(files, "tiny", "large", "acme-tools", pyproject=pyproject, lock=False))
    before = fleet.build(".", "v1", "tiny==1.0", options=options)
    own = [PYTHON] if PYTHON in options else []
    [found] = fleet.patch("tiny==2.0", f"{fleet.image}:v1", "--suffix=-p1", *own)
    assert (found["status"], found["before"]) == ("patched", before["digest"]), found
    assert found["packages"] == [["tiny", "1.0", "2.0"]]
    after = fleet.build(".", "v2", "tiny==2.0", options=options)
    assert (after["digest"], after["sent"]) == (found["digest"], 0)


SERVICE = "import bentoml\n\n\n@bentoml.service\nclass Hi:\n    @bentoml.api\n    def hi(self, n: int) -> int:\n        return n\n"
BENTOFILE = "service: service:Hi\npython:\n  packages: [{}]\n"
CREATED = "--creation-time=2026-01-01T00:00:00+00:00"


def build_bento(fleet, tag, *options, build=()):
    """Build the Bento in the directory `hi`, and push its image."""
    out = fleet.bento("build", fleet.directory / "hi", CREATED, "--python-version", MINOR, *build)
    version = re.search(r"Built (hi:\w+)", out)[1]
    words = ("--base", fleet.base, "--push", "-t", f"{fleet.image}:{tag}", "-o", "json", *options)
    return json.JSONDecoder().raw_decode(fleet.bento("image", version, *words))[0]


def bento_project(fleet, packages, monkeypatch, files=()):
    """Write and lock a project of a Bento, whose sources include the lock."""
    monkeypatch.delenv("BENTO_NO_LOCK", raising=False)
    directory = fleet.directory / "hi"
    directory.mkdir()
    for path, text in {"service.py": SERVICE, "bentofile.yaml": BENTOFILE.format(packages), **dict(files)}.items():
        (directory / path).write_text(text)
    lock_bento(fleet, "tiny==1.0", *(["mac==1.0"] if "mac" in packages else []))
    return directory


def lock_bento(fleet, *pins):
    words = [word for pin in pins for word in ("--upgrade-package", pin)]
    fleet.bento("lock", fleet.directory / "hi", "--python-version", MINOR, *words)


@pytest.mark.parametrize(
    "options", [(PYTHON, "--file=x.txt=/srv/x"), ("--compression=zstd", "--exclude=tiny:tiny/tests")]
)
def test_an_image_of_a_bento_equals_a_rebuild(fleet, options, monkeypatch):
    """And it contains the Bento that `bento build` writes with the new lock, which is one of its sources.

    The lock also has a package of another platform.
    """
    fleet.add("mac", "1.0")
    fleet.add("mac", "2.0")
    packages = "tiny, large, bentoml, \"mac; sys_platform == 'darwin'\""
    monkeypatch.chdir(bento_project(fleet, packages, monkeypatch, {"x.txt": "x"}))
    before = build_bento(fleet, "v1", *options)
    own = [PYTHON] if PYTHON in options else []
    [found] = fleet.patch("tiny==2.0", "mac==2.0", f"{fleet.image}:v1", "--suffix=-p", *own)
    assert (found["status"], found["before"]) == ("patched", before["digest"]), found
    lock_bento(fleet, "tiny==2.0", "mac==2.0")
    after = build_bento(fleet, "v2", *options)
    assert (after["digest"], after["sent"]) == (found["digest"], 0)


BENTOS = {
    "a version": (
        {},
        "tiny, large, bentoml",
        ("--version=v1",),
        "the Bento's version isn't the digest of its contents",
    ),
    "a uv.lock": (
        {"uv.lock": "version = 1\n"},
        "tiny, large, bentoml",
        (),
        "only a build changes src/uv.lock in the Bento",
    ),
    "a pin": ({}, "tiny==1.0, large, bentoml", (), "requires tiny==1.0, but the image has 2.0"),
}


@pytest.mark.parametrize("case", BENTOS)
def test_a_bento_that_only_a_build_can_change_is_rejected(fleet, case, monkeypatch):
    files, packages, build, problem = BENTOS[case]
    bento_project(fleet, packages, monkeypatch)
    for path, text in files.items():
        (fleet.directory / "hi" / path).write_text(text)
    build_bento(fleet, "v1", build=build)
    [found] = fleet.patch("tiny==2.0", f"{fleet.image}:v1", "--suffix=-p", code=status.ERROR)
    assert problem in found["notes"][0] and at(fleet, "v1-p") == ""


def test_debian_packages_are_kept(fleet, mirror):
    fleet.base = f"oci:{make_base(fleet.directory / 'system', SYSTEM)}"
    project = fleet.machine({"main.py": ""}, "tiny", lock=False)
    mirror(project, ["vim"], "vim", "libvim")
    fleet.build(project, "v1", "tiny==1.0", options=("--apt=vim",))
    [found] = fleet.patch("tiny==2.0", f"{fleet.image}:v1", "--suffix=-p")
    assert fleet.build(project, "v2", "tiny==2.0", options=("--apt=vim",))["digest"] == found["digest"]


def push_python_image(fleet, registries, tag, files, names):
    """Push an image and SBOM that the actions of `python_image` write. Returns its digest."""
    layout = Path(fleet.base.removeprefix("oci:"))
    rules = Rules(fleet.directory / tag, layout, MINOR)
    paths = {name: next(fleet.wheels.glob(f"{name.replace('-', '_')}-{version}-*")) for name, version in names.items()}
    small = {name: paths[name] for name in sorted(paths) if name != "large"}
    rules.environment()
    for each in (groups := ({"large": paths["large"]}, small)):
        rules.wheels(each, {})
    for each in groups:
        rules.bytecode(each)
    program = rules.program("web", {path: Path(path) for path in files})
    env = {"PYTHONPATH": "/app/_main:/app/lib", "RUNFILES_DIR": "/app", "MODE": "x=y"}
    digest = program_digest(rules, program, ["/app/.venv/bin/python", "/app/_main/main.py"], "/app/_main", env)
    layers = [Layer.loads(Path(each).read_text()) for each in rules.layers]
    place, system = [rules.layers[0], Layout.open(layout).blob(layers[0].digest)], rules.directory / "system"
    rules.run("base_contents", "--layer", *place, "--libraries", rules.directory / "names", "--system", system)
    words = [word for name, path in paths.items() for word in ("--wheel", name, names[name], sha(path))]
    words += [word for path in paths.values() for word in ("--libraries", libraries(rules.directory, path))]
    rules.run(
        *("sbom", "--base-config", rules.config, "--base-system", system, "--bento-digest", rules.directory / "program.digest"),
        *("--created", "1980-01-01T00:00:00+00:00", "--digest", rules.directory / "digest", "--format", "cyclonedx"),
        *("--tag", rules.directory / "tag", "--program", "--output", rules.directory / "sbom", *words),
    )  # fmt: skip
    sources = {
        layer.digest: FileSource(Path(at).with_suffix("")) for layer, at in zip(layers, rules.layers, strict=True)
    }
    config = (rules.directory / "config").read_bytes()
    sources |= {layers[0].digest: FileSource(place[1]), digest_of(config): BytesSource(config)}
    manifest = Manifest.read((rules.directory / "manifest").read_bytes(), MANIFEST, "image")
    sbom, target = (rules.directory / "sbom").read_bytes(), Reference.parse(f"{fleet.image}:{tag}")
    push(Pushable(manifest, (), sources), [target], registries, Progress())
    blob = Descriptor.from_content(sbom, SBOM_TYPES["cyclonedx"])
    referrer = artifact.refer(manifest.descriptor, blob, sbom, {})
    push(referrer, [target.with_digest(referrer.root.descriptor.digest)], registries, Progress())
    return digest


def test_an_image_of_the_rules_equals_a_rebuild(fleet, registries, monkeypatch):
    """Whose base lacks bytecode of the standard library, which only the command adds."""
    files = {path: data for path, data in BASE.items() if not path.endswith(".pyc")}
    fleet.base = f"oci:{make_base(fleet.directory / 'rules-base', files, (PATH, f'PYTHON_VERSION={VERSION}'))}"
    monkeypatch.chdir(fleet.machine({"main.py": "import tiny\n", "data/x": "1"}, lock=False))
    before, after = (
        push_python_image(
            *(fleet, registries, f"of-{version}", ("main.py", "data/x")),
            {"acme-tools": "1.0", "large": "1.0", "tiny": version},
        )
        for version in ("1.0", "2.0")
    )
    repository = registries.repository(Reference.parse(fleet.image))
    rebuilt = repository.referrers(after)
    [found] = fleet.patch("tiny==2.0", f"{fleet.image}:of-1.0", "--suffix=-p", PYTHON)
    assert (found["status"], found["before"], found["digest"]) == ("patched", before, after)
    assert repository.referrers(after) == rebuilt  # the SBOM


@pytest.fixture
def published(fleet):
    """A fleet with one image, of two small packages and a large one."""
    fleet.project = fleet.machine({"main.py": "import tiny\n"}, "tiny", "large", "fussy", lock=False)
    fleet.build(fleet.project, "v1", "tiny==1.0")
    return fleet


REJECTED = {
    "tiny==2.0": "fussy 1.0 requires tiny<2, but the image has 2.0",
    "tiny==3.0": "tiny 3.0 requires absent, but the image lacks it",
    "tiny==4.0": "tiny 4.0 requires large>1, but the image has 1.0",
    "tiny==9.0": "the index lacks a wheel of the packages",
    "later==1.0": "",  # another package: unchanged
}


def test_broken_requirements_are_rejected_by_name(published):
    before = servers.tags(Reference.parse(published.image))
    for pin, problem in REJECTED.items():
        [found] = published.patch(pin, f"{published.image}:v1", "--suffix=-p", code=int(bool(problem)))
        assert (found["status"] == "rejected") == bool(problem) and problem in str(found["notes"]), found
    assert servers.tags(Reference.parse(published.image)) == before
    published.add("fussy", "2.0", "tiny>=2")
    words = ("tiny==4.0", "large==2.0", "fussy==2.0", f"{published.image}:v1")
    published.add("large", "2.0")
    [found] = published.patch(*words, "--dry-run")
    assert found["status"] == "would be patched" and len(found["packages"]) == 3 and found["bytes"]
    assert servers.tags(Reference.parse(published.image)) == before


class Copy:
    """A changed copy of the image `v1` and of its SBOM. `edit` changes its documents, and adds blobs.

    It has the methods of a repository, so a plan can read it before it is pushed.
    """

    def __init__(self, original, name, edit):
        self.original, self.registry, self.name, self.blobs, self.text = original, original.registry, name, [], ""
        old = original.get_manifest("v1")
        [listed] = original.referrers(old.descriptor.digest)
        [blob] = original.get_manifest(listed.digest).layers()
        self.manifest, self.config = json.loads(old.content), json.loads(original.read_blob(old.config))
        self.sbom, self.layers = json.loads(original.read_blob(blob)), self.manifest["layers"]
        self.history = [each["created_by"] for each in self.config["history"]]
        labels = self.config["config"]["Labels"]
        python = {key: labels.pop(key) for key in ("rules_bento.bytecode",) if key in labels}
        self.config["config"]["Labels"] = labels | {"copy": name} | python  # so that each copy has its own digest
        edit(self)
        self.blobs.append(to_bytes(self.config))
        self.manifest["config"] = Descriptor.from_content(self.blobs[-1], CONFIG).to_json()
        self.root = Manifest.read(to_bytes(self.manifest), MANIFEST, "forged")
        self.sbom["metadata"]["component"]["bom-ref"] = self.text or self.root.descriptor.digest
        sbom = json.dumps(self.sbom).encode()
        self.referrer = artifact.refer(
            self.root.descriptor,
            Descriptor.from_content(sbom, blob.media_type, artifact_type=blob.media_type),
            sbom,
            {},
        )
        self.by_digest = {digest_of(each): each for each in (*self.blobs, sbom)}

    def get_manifest(self, target):
        found = {each.descriptor.digest: each for each in (self.root, self.referrer.root)}
        return found.get(target) or self.root

    def referrers(self, digest):
        return [self.referrer.root.descriptor] if digest == self.root.descriptor.digest else []

    def read_blob(self, blob):
        return self.by_digest.get(blob.digest) or self.original.read_blob(blob)

    @contextmanager
    def open_blob(self, digest, start):
        if content := self.by_digest.get(digest):
            yield SimpleNamespace(status=206, pieces=lambda start: iter([content[start:]]))
        else:
            with self.original.open_blob(digest, start) as response:
                yield response

    def push(self, registries):
        for each in self.blobs:
            upload(self.original, digest_of(each), len(each), BytesSource(each), Progress())
        self.original.put_manifest(self.root, self.name)
        target = Reference.parse(str(self.original)).with_digest(self.referrer.root.descriptor.digest)
        push(self.referrer, [target], registries, Progress())


def problems(fleet, registries, edits, *words):
    """Why copies of the image `v1` are rejected, by name; "" for an accepted copy."""
    original = registries.repository(Reference.parse(fleet.image))

    def run(workspace):
        planner, found = ImagePlanner(workspace, {}, fleet.base), {}
        for number, (attack, edit) in enumerate(edits.items()):
            copy = Copy(original, f"x{number}", edit)
            try:
                [image] = read_images(SimpleNamespace(target="v1"), SimpleNamespace(repository=lambda _: copy))
                planner.read(image)
                found[attack] = ""
            except BentoError as error:
                found[attack] = str(error)
        return found

    options = {"base": [fleet.base], "bytecode-python": [sys.executable]}
    settings = read_options(options, (), is_delivered=False)
    return native_build.build("Reading", fleet.store.home.own, settings, run)


def component(parts, name):
    return next(each for each in parts.sbom["components"] if each["name"] == name)


def replace_layer(parts, at, change):
    """Replace a layer by another with the same name."""
    data = gzip.decompress(parts.original.read_blob(Descriptor.from_json(parts.layers[at], "layer")))
    new = change(data)
    assert new != data
    packed = gzip.compress(new, mtime=0)
    parts.blobs.append(packed)
    parts.layers[at] |= {"digest": digest_of(packed), "size": len(packed)}
    parts.config["rootfs"]["diff_ids"][at] = digest_of(new)


def name_version(version):
    def edit(parts):
        component(parts, "tiny").update({"version": version, "purl": f"pkg:pypi/tiny@{version}"})

    return edit


def name_package(name):
    return lambda parts: component(parts, "tiny").update({"name": name})


def label(key, text):
    def edit(parts):
        parts.config["config"]["Labels"][f"org.opencontainers.image.{key}"] = text
        parts.manifest["annotations"][f"org.opencontainers.image.{key}"] = text

    return edit


def small(parts):
    return next(at for at, each in enumerate(parts.history) if each.endswith("small packages"))


ATTACKS = {
    "code in a layer of packages": lambda parts: replace_layer(
        parts, small(parts), lambda data: data.replace(b"V = '1.0'", b"V = 'bad'")
    ),
    "environment": lambda parts: replace_layer(parts, 1, lambda data: data.replace(b"home = ", b"home =  ")),
    "recompressed": lambda parts: parts.layers[small(parts)].update(
        mediaType=parts.layers[1]["mediaType"].replace("gzip", "zstd")
    ),
    "version": name_version("2.0"),
    "no version": name_version(""),
    "option": name_version("1.0\n--index-url http://127.0.0.1:9/"),
    "direct": name_package("tiny @ file:///etc/passwd"),
    "other name": name_package("large"),
    "no name": name_package("-r"),
    "hash": lambda parts: component(parts, "tiny")["hashes"][0].update(content="0" * 64),
    "license": lambda parts: component(parts, "tiny").update(licenses=[{"expression": "MIT"}]),
    "missing system package": lambda parts: parts.sbom["components"].remove(component(parts, "libc6")),
    "no hash": lambda parts: component(parts, "tiny").pop("hashes"),
    "two hashes": lambda parts: component(parts, "tiny")["hashes"].insert(0, component(parts, "large")["hashes"][0]),
    "of another package": lambda parts: component(parts, "tiny").update(hashes=component(parts, "fussy")["hashes"]),
    "missing package": lambda parts: parts.sbom["components"].remove(component(parts, "tiny")),
    "shape": lambda parts: parts.sbom.update(components={"a": 1}),
    "of another image": lambda parts: setattr(parts, "text", "sha256:" + "1" * 64),
    "user": lambda parts: parts.config["config"].update(User="0"),
    "entry point": lambda parts: parts.config["config"].update(Entrypoint=["/bin/sh"]),
    "further setting": lambda parts: parts.config["config"].update(OnBuild=["RUN x"]),
    "no variables": lambda parts: parts.config["config"].update(Env=None),
    "variable without value": lambda parts: parts.config["config"].update(Env=["A"]),
    "names of layers": lambda parts: parts.config["history"].reverse(),
    "fewer layers": lambda parts: parts.config["rootfs"]["diff_ids"].pop(),
    "diff ID": lambda parts: parts.config["rootfs"]["diff_ids"].__setitem__(2, "sha256:" + "2" * 64),
    "path as base": label("base.name", "oci:/etc"),
    "name of the base": lambda parts: label("base.name", f"{parts.registry.host}/t/none")(parts),
    "digest of the base": label("base.digest", "sha256:" + "3" * 64),
    "other base": lambda parts: parts.layers[0].update(parts.layers[1]),
    "no title": lambda parts: parts.manifest.pop("annotations"),
    "created": lambda parts: parts.config.update(created=1),
}


def test_a_lying_image_is_rejected(published, registries):
    found = problems(published, registries, ATTACKS | {"none": lambda _: None})
    assert [name for name, problem in found.items() if not problem] == ["none"]
    assert not [problem for problem in found.values() if "Traceback" in problem or problem[-1:] not in (".", "")]
    original = registries.repository(Reference.parse(published.image))
    Copy(original, "x", ATTACKS["code in a layer of packages"]).push(registries)
    published.add("tiny", "1.1")
    before = servers.tags(Reference.parse(published.image))
    [found] = published.patch("tiny==1.1", f"{published.image}:x", "--suffix=-p", code=status.ERROR)
    assert "a build of the packages in the SBOM gives another digest (2 small packages)" in found["notes"][0]
    assert servers.tags(Reference.parse(published.image)) == before


def test_an_index_that_changes_between_requests_is_rejected(published, monkeypatch):
    wheel = published.add("tiny", "1.1")
    found = image_patch.best_wheel

    def change(*arguments):
        chosen = found(*arguments)
        if arguments[1] == "1.1":
            wheel.write_bytes(wheel.read_bytes() + b"x")
        return chosen

    monkeypatch.setattr(image_patch, "best_wheel", change)
    [told] = published.patch("tiny==1.1", f"{published.image}:v1", "--suffix=-p", code=status.ERROR)
    assert "tiny-1.1-py3-none-any.whl" in told["notes"][0] and at(published, "v1-p") == ""


def added(path, layer="web 1.0", **fields):
    """Add a member to a layer, by default that of the user's package."""

    def change(data):
        buffer = io.BytesIO()
        info = tarfile.TarInfo(path)
        for key, value in fields.items():
            setattr(info, key, value)
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            tar.addfile(info)
        return data.rstrip(b"\0") + bytes(-len(data.rstrip(b"\0")) % 512) + buffer.getvalue()

    def edit(parts):
        replace_layer(parts, parts.history.index(f"rules_bento: {layer}"), change)

    return edit


SITE = f"app/.venv/lib/python{MINOR}/site-packages"
PROJECT_ATTACKS = {
    "outside": added("usr/bin/python3"),
    "above": added(f"{SITE}/../../x"),
    "link": added(f"{SITE}/x.py", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "device": added(f"{SITE}/x", type=tarfile.CHRTYPE),
    "other package": added(f"{SITE}/evil-1.0.dist-info/METADATA"),
    "not UTF-8": added(f"{SITE}/web/\udcff.py"),
    "line break": added(f"{SITE}/web/a\nb.py"),
    "twice": added(f"{SITE}/web/__init__.py"),
}


def test_only_code_of_a_project_is_kept(fleet, registries):
    """Which `bento verify --rebuild` finds, as in the image before."""
    project = fleet.machine({"src/web/__init__.py": "def main(): pass\n"}, "tiny", pyproject=PACKAGE, lock=False)
    fleet.build(project, "v1", "tiny==1.0", options=(PYTHON,))
    fleet.add("tiny", "1.1")
    found = problems(fleet, registries, PROJECT_ATTACKS)
    assert [name for name, problem in found.items() if not problem] == []
    original = registries.repository(Reference.parse(fleet.image))

    def edit(copy):
        added(f"{SITE}/web/evil.py")(copy)
        copy.config["config"]["Env"].append("EVIL=1")

    Copy(original, "evil", edit).push(registries)
    assert fleet.patch("tiny==1.1", f"{fleet.image}:evil", "--suffix=-p", PYTHON)[0]["status"] == "patched"
    fleet.lock(project, "tiny==1.1")
    words = ("verify", f"{fleet.image}:evil-p", "--rebuild", "--source", project, "--base", fleet.base, PYTHON)
    told = fleet.bento(*words, code=status.FOUND)
    assert f"{SITE}/web/evil.py" in told and "EVIL" in told


def in_bento(old, new):
    return lambda parts: replace_layer(
        parts, parts.history.index("rules_bento: Bento"), lambda data: data.replace(old, new)
    )


def state_contents(parts):
    """State the digest of other sources, as if the Bento in the layer had it."""
    next(each for each in parts.sbom["components"] if each["bom-ref"].startswith("bento:"))["hashes"][0]["content"] = (
        "0" * 64
    )


HOME = "home/bentoml/bento"
BENTO_ATTACKS = {
    "code": in_bento(b"return n", b"return 1"),
    "lock": in_bento(b"tiny==1.0", b"tiny==1.1"),
    "service": in_bento(b"service: service:Hi", b"service: service:Ho"),
    "digest": state_contents,
    "outside": added("usr/bin/python3", "Bento"),
    "above": added(f"{HOME}/../../x", "Bento"),
    "link": added(f"{HOME}/src/x", "Bento", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "below a link": added(f"{HOME}/src/service.py/x", "Bento"),
    "device": added(f"{HOME}/src/x", "Bento", type=tarfile.CHRTYPE),
    "twice": added(f"{HOME}/bento.yaml", "Bento"),
    "further code": added(f"{HOME}/src/bentoml.py", "Bento"),
    "model": added(f"{HOME}/models/m/v1/model.yaml", "Bento"),
}


def test_a_bento_that_is_not_what_its_image_states_is_rejected(fleet, registries, monkeypatch):
    """And an index with other files of the old version, in which a lock would have other hashes."""
    bento_project(fleet, "tiny, large, bentoml", monkeypatch)
    build_bento(fleet, "v1")
    found = problems(fleet, registries, BENTO_ATTACKS | {"none": lambda _: None})
    assert [name for name, problem in found.items() if not problem] == ["none"]
    (fleet.wheels / "tiny-1.0-1-py3-none-any.whl").write_bytes(
        (fleet.wheels / "tiny-1.0-py3-none-any.whl").read_bytes()
    )
    monkeypatch.setenv("UV_CACHE_DIR", str(fleet.directory / "other-uv"))
    [told] = fleet.patch("tiny==2.0", f"{fleet.image}:v1", "--suffix=-p", code=status.ERROR)
    assert "the lock and the index have other files of tiny 1.0" in told["notes"][0] and at(fleet, "v1-p") == ""


def at(fleet, tag):
    """The digest of a tag, or ""."""
    reference = Reference.parse(f"{fleet.image}:{tag}")
    host = SimpleNamespace(port=int(reference.registry.rpartition(":")[2]))
    code, content = servers.get(host, f"/v2/{reference.repository}/manifests/{tag}")
    return digest_of(content) if code == 200 else ""


def test_tags_move_only_on_request(published, keys, tmp_path):
    """The signed images have a signature of them and of their SBOM."""
    image, old = published.image, at(published, "v1")
    published.add("tiny", "1.1")
    told = published.bento("patch", "tiny==1.1", f"{image}:v1", code=status.ERROR)
    assert "the patched images need tags. Add --suffix, --tag, or --move-tags." in told
    published.build(published.project, "other", "tiny==1.0", options=("--label", "a=b"))
    other = at(published, "other")
    [found] = published.patch("tiny==1.1", f"{image}:v1", "--tag=other", code=status.ERROR)
    assert "the tag other has another image. Choose another tag, or add --move-tags." in found["notes"][0]
    assert (at(published, "v1"), at(published, "other")) == (old, other)
    (tmp_path / "images").write_text(f"{image}:v1\n\n{image}:other\n{image}:none\n")
    told = published.patch("--affected", "tiny<1.1", "--from", tmp_path / "images", code=status.ERROR)
    assert [each["status"] for each in told] == ["affected", "affected", "rejected"]
    words = ("--move-tags", "--sign-key", keys[0])
    told = published.patch("tiny==1.1", "--from", tmp_path / "images", *words, code=status.ERROR)
    assert [each["status"] for each in told] == ["patched", "patched", "rejected"]
    assert {old, other}.isdisjoint({at(published, "v1"), at(published, "other")})
    for key, code in ((keys[1], status.OK), (keys[2], status.FOUND)):
        published.bento("verify", f"{image}:v1", f"{image}:other", "--sbom", "--key", key, code=code)
    told = published.patch("tiny==1.1", f"{image}:v1", f"{image}:other", "--suffix=-x")
    assert [each["status"] for each in told] == ["unchanged", "unchanged"]
    told = published.bento("patch", "--affected", "tiny<1.1", f"{image}:v1")
    assert "not affected" in told and at(published, "v1-x") == ""


@pytest.mark.parametrize("own", [(), (PYTHON,)], ids=["no bytecode", "bytecode"])
def test_a_new_base_equals_a_rebuild(fleet, registries, own, tmp_path):
    """The image's own base is in a registry, as bases are. The third base is for another Python."""
    minors = [MINOR, MINOR, "3.9"]
    bases = [f"{fleet.image}-base:{number}" for number in range(3)]
    for number, (base, minor) in enumerate(zip(bases, minors, strict=True)):
        files = {path.replace(MINOR, minor): data for path, data in BASE.items() if number or not path.endswith(".pyc")}
        files |= {"usr/local/bin/python3": f"python{minor}", "etc/fixed": base.encode()}
        variables = (PATH, f"PYTHON_VERSION={VERSION if minor == MINOR else '3.9.1'}")
        layout = make_base(tmp_path / f"base{number}", files, variables)
        push(Layout.open(layout).pushable(), [Reference.parse(base)], registries, Progress())
    project = fleet.machine({"main.py": "import tiny\n"}, "tiny", "large", lock=False)
    fleet.base = bases[0]
    fleet.build(project, "v1", "tiny==1.0", options=own or ("--no-bytecode",))
    [found] = fleet.patch("tiny==2.0", f"{fleet.image}:v1", "--suffix=-p", "--base", bases[1], *own, base=False)
    assert found["status"] == "patched" and found["base"].startswith(bases[1].rpartition(":")[0]), found
    fleet.base = bases[1]
    assert fleet.build(project, "v2", "tiny==2.0", options=own or ("--no-bytecode",))["digest"] == found["digest"]
    words = (f"{fleet.image}:v1", "--suffix=-q", "--base", bases[2], *own)
    assert f"has Python 3.9 instead of {MINOR}" in fleet.patch(*words, base=False, code=1)[0]["notes"][0]


def test_only_an_image_that_starts_gets_a_tag(published, monkeypatch):
    """The image starts from files of this machine, also if another machine built it."""
    image, measured = published.image, {"ready": "ended with status 0", "seconds": 1.0, "cpu_seconds": 1.0, "memory": 1}

    def stand_in(settings, layers, config, _scratch):
        assert settings["start"] == ["/x"] and [each.name for each in settings["start-env"]] == ["A"]
        assert json.loads(config)["config"]["Cmd"] and len(layers) >= 5
        for layer, path in layers:
            assert digest_of(path.read_bytes()) == layer.digest
            with tarfile.open(path) as tar:
                if any("tiny-1.2" in name for name in tar.getnames()):
                    raise BentoError("not ready", place="--start")
        return measured | {"layers": []}

    monkeypatch.setattr(start_option, "start", stand_in)
    monkeypatch.setenv("XDG_CACHE_HOME", str(published.directory / "other"))
    words = ("--suffix=-p", "--start=/x", "--start-env=A=b")
    for version in ("1.1", "1.2"):
        published.add("tiny", version)
    [found] = published.patch("tiny==1.2", f"{image}:v1", *words, code=status.ERROR)
    assert found["notes"] == ["--start: not ready"] and at(published, "v1-p") == ""
    [found] = published.patch("tiny==1.1", f"{image}:v1", *words)
    assert found["status"] == "patched" and "ended with status 0, and served nothing" in str(found["notes"])
    told = published.bento("image", f"{image}:v1-p", *words[1:], "-o", "json")
    assert json.loads(told)["startup"]["ready"] == "ended with status 0"
    told = published.bento("image", f"{image}:v1-p", *words[1:], "-t", "x", code=status.ERROR)
    assert "--image-tag is for builds" in told
    assert "Remove --label" in published.bento("image", f"{image}:v1", *words[1:], "--label=a=b", code=status.ERROR)


FAULTS = {
    "no permission": lambda request, *_: Answer(request, 403),
    "login": lambda request, *_: Answer(request, 401),
    "missing": lambda request, *_: Answer(request, 404),
    "too many": lambda request, *_: Answer(request, 429, "Retry-After: 0\r\n"),
    "error": lambda request, *_: Answer(request, 500),
    "created": lambda request, *_: Answer(request, 201),
    "cut answer": lambda _, _up, down: Cut(DOWN, down),
    "reset answer": lambda _, _up, down: Cut(DOWN, down, reset=True),
    "cut request": lambda _, up, _down: Cut(UP, up),
    "changed answer": lambda _, _up, down: Flip(DOWN, down),
    "other length": lambda request, *_: Length(request, -5),
}


def test_a_failing_registry_leaves_no_tag_of_a_part(published, registries, server, store, monkeypatch):
    """After a failure at any request, the tag is absent, or its image is complete, and the next run completes it."""
    monkeypatch.setattr(transfers, "_FIRST_WAIT", 0)
    old, name = at(published, "v1"), published.image.partition("/")[2]

    def patch(host, version):
        published.add("tiny", version)  # so that each patch has another layer
        options = {"base": [published.base], "insecure": [host]}
        request = Request({"tiny": version}, tag=f"p{version}")
        [found] = patch_images([f"{host}/{name}:v1"], request, options, home=store.home.own, signing=None)
        return found

    with Relay(server.port) as relay:
        assert patch(relay.host, "1.1").status == "patched"
    *_, sbom, _tag = (number for number, line in enumerate(relay.requests, 1) if re.match("PUT .*/manifests/", line))
    with Relay(server.port, [Answer(sbom, 403)]) as failing:
        assert (patch(failing.host, "1.2").status, at(published, "p1.2")) == ("rejected", "")
    sizes, statuses = (len(relay.requests), relay.carried(UP), relay.carried(DOWN)), set()
    for number, fault in enumerate(FAULTS.values()):
        part, version = (number * 5 % len(FAULTS) + 0.9) / len(FAULTS), f"1.2.{number}"
        with Relay(server.port, [fault(*(round(part * size) for size in sizes))]) as failing:
            outcome = patch(failing.host, version)
            assert failing.happened
        found = at(published, f"p{version}")
        complete = outcome.digest or patch(server.host, version).digest
        assert found in ("", complete) and at(published, f"p{version}") == complete and at(published, "v1") == old
        assert registries.repository(Reference.parse(published.image)).referrers(found or complete)
        statuses.add(outcome.status)
    assert statuses == {"patched", "rejected"}
    server.assert_sound()


def test_a_killed_patch_is_completed_by_the_next(published, registries, server, store):
    """A tag has no image of a part, whenever the command is killed."""
    chance, old, cut, name = random.Random(8), at(published, "v1"), 0, published.image.partition("/")[2]
    repository = registries.repository(Reference.parse(published.image))
    for version in (f"1.3.{number}" for number in range(POINTS // 4)):
        published.add("tiny", version)
        words = ["patch", f"tiny=={version}", "--base", published.base, f"--tag=p{version}"]
        with Relay(server.port, rate=1 << 20) as way:
            image = f"{way.host}/{name}:v1"
            cut += killed(chance, way, "--home", store.home.root, *words, image, "--insecure", way.host, size=30_000)
        if digest := at(published, f"p{version}"):
            assert all(repository.has_blob(each.digest, each.size) for each in repository.get_manifest(digest).blobs())
            assert repository.referrers(digest)
        [found] = published.patch(*words[1:], f"{published.image}:v1", base=False)
        assert (found["status"], found["digest"]) == ("patched", at(published, f"p{version}"))
        assert digest in ("", found["digest"]) and at(published, "v1") == old
    assert cut
