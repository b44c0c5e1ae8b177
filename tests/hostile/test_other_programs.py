"""What other programs make of a layout, a lock, or a project that this one accepts: git, uv, pip, Bazel, and Go's readers.

Each reader's answer is held to what is handed on, whatever the input was: known places are tested where they are read.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import click
import pytest
from bento_cli.cli.groups import COMMANDS
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.schema import without_nulls
from rules_bento.bentos.packages import lock_with_uv
from rules_bento.images.registry import descriptor as oci

from tests.hostile import readers
from tests.hostile.mutations import changed_value

# Layouts: podman, skopeo, and containerd read JSON as Go does.

_LISTS = ("manifests", "layers", "config", "digest", "size", "mediaType", "platform", "os", "architecture")
_PLATFORM = ("os", "architecture")


def go_json(text: bytes) -> Any:
    """A document as Go reads it into a struct: without regard to case, where the last of several counts."""

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {
            next((name for name in _LISTS if name.casefold() == key.casefold()), key): value for key, value in pairs
        }

    return json.loads(text, object_pairs_hook=fields)


def with_a_field_again(document: Any, random: Random) -> bytes:
    """The document with a field that is there twice, in one of its spellings."""
    text = json.dumps(document)
    name = random.choice([name for name in _LISTS if f'"{name}"' in text] or ["digest"])
    other = random.choice((name, name.upper(), name.title(), name.replace("s", "\u017f"), name[:-1] + name[-1].upper()))
    value = random.choice(("[]", "null", "1", '"x"', "{}", f'"sha256:{"e" * 64}"'))
    place = random.choice([match.start() for match in re.finditer("{", text)] or [0])
    return f"{text[: place + 1]}{json.dumps(other)}: {value}{', ' if text[place + 1] != '}' else ''}{text[place + 1 :]}".encode()


BLOB = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": f"sha256:{'a' * 64}", "size": 3}
MANIFEST = {"schemaVersion": 2, "config": {**BLOB, "size": 4}, "layers": [BLOB, {**BLOB, "size": 5}]}
INDEX = {"schemaVersion": 2, "manifests": [{**BLOB, "platform": {"os": "linux", "architecture": "arm64"}}, BLOB]}


@pytest.mark.parametrize("document", [INDEX, MANIFEST])
def test_a_layout_is_the_same_to_programs_in_go(document):
    random = Random(1)
    accepted = 0
    for _ in range(2000):
        text = with_a_field_again(changed_value(document, random) if random.random() < 0.3 else document, random)
        try:
            manifest = oci.Manifest.read(text, "", "index.json")
        except BentoError:
            continue
        accepted += 1
        theirs = without_nulls(go_json(text))
        key = "manifests" if manifest.is_index else "layers"
        ours = manifest.children() if manifest.is_index else manifest.layers()
        assert [each.digest for each in ours] == [each["digest"] for each in theirs.get(key) or ()], text
        for our, their in zip(ours, theirs.get(key) or (), strict=True):
            platform = their.get("platform") or {}
            assert [our.platform.get(name) for name in _PLATFORM] == [platform.get(name) for name in _PLATFORM], text
        assert manifest.is_index or manifest.config.digest == theirs["config"]["digest"], text
    assert accepted, "some are accepted, or nothing is compared"


# Locks: `git fetch ADDRESS COMMIT`, a line of requirements for uv and pip, strings of BUILD files.

HOSTILE = [
    "--upload-pack=touch x", "ext::sh -c id", "a\nb", "a\u2028b", "$(id)", 'a"b', "../x", "1.0\nevil @ https://x/y.tar.gz",
    '1", tags = ["no-sandbox"], x = "y', "ssh://-oProxyCommand=id/x", "1.0 --index-url https://x", "refs/heads/main",
]  # fmt: skip
LOCK = {
    **readers.LOCK,
    "packages": [
        *readers.LOCK["packages"],
        {
            "name": "built",
            "version": "1.0",
            "dependencies": [],
            "files": {},
            "source": {"git": "https://g.example/built", "commit": "a" * 40, "subdirectory": "sub"},
        },
    ],
}
_WORD = re.compile(r"(?!-)[A-Za-z0-9][A-Za-z0-9._+!-]*")


def places(value: Any) -> list[tuple[Any, Any]]:
    """Where strings are in a document, values and keys."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys if isinstance(value[key], str) or isinstance(key, str)] + [
        place for key in keys for place in places(value[key])
    ]


def check_handed_on(package: dict[str, Any]) -> None:
    """What a package of a lock is to git, uv, pip, and Bazel."""
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", package["name"]), "a name of a target and of a repository"
    assert _WORD.fullmatch(package["version"]), "a line of requirements, and a string of BUILD files"
    for file in package["files"]:
        assert _WORD.fullmatch(file), "a name in a folder, and a label"
    source = package.get("source", {})
    if "git" in source:
        assert re.match(r"(https?|ssh|file)://(?!-)|[A-Za-z0-9_.]+@(?!-)", source["git"]), (
            "no transport that runs programs"
        )
        assert not re.search(r"[\s\x00-\x1f]|://[^/]*@?-o|@-", source["git"])
        assert re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", source["commit"]), "not a branch, and no option"
        subdirectory = source.get("subdirectory", "x")
        assert not subdirectory.startswith(("/", "-")) or ".." in subdirectory.split("/")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_strings_of_a_lock_cannot_become_options_or_lines(hostile, tmp_path):
    path = tmp_path / "requirements.lock.json"
    count = len(places(LOCK))
    assert count > 10
    for number in range(count):
        document = json.loads(json.dumps(LOCK))
        owner, key = places(document)[number]
        if isinstance(owner[key], str):
            owner[key] = hostile
        else:
            owner[hostile] = owner.pop(key)
        path.write_text(json.dumps(document))
        try:
            packages = lock_with_uv.normalize(path, uv=Path("uv-is-not-asked"), requires_python=">=3.10")["packages"]
        except BentoError as error:
            assert "\n" not in str(error)
            continue
        for package in packages:
            check_handed_on(package)


# Projects: no command starts a program of the project, or imports its modules, wherever PATH leads.

PROGRAMS = (
    *("bazel", "bentoml", "buildah", "buildctl", "docker", "git", "nerdctl", "pip", "podman", "python", "python3"),
    *("ssh", "uv"),
)
MODULES = ("bentoml", "bentoml_cli", "json", "pip", "rules_bento", "sitecustomize", "tempfile", "usercustomize", "yaml")


@pytest.fixture
def project(tmp_path):
    """A project with programs and modules that leave a mark, also in its environment and its tools."""
    ran, root = tmp_path / "ran", tmp_path / "project"
    for directory in (root, root / ".venv/bin", root / "tools", root / "bin"):
        directory.mkdir(parents=True)
        for name in PROGRAMS:
            (directory / name).write_text(f"#!/bin/sh\necho {directory.name}/{name} >> {ran}\n")
            (directory / name).chmod(0o755)
    for name in MODULES:
        (root / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write('{name}.py\\n')\n")
    (root / "service.py").write_bytes(readers.SERVICE.encode() if isinstance(readers.SERVICE, str) else readers.SERVICE)
    (root / "bentofile.yaml").write_text('service: "service:Svc"\ninclude: ["service.py"]\n')
    (root / "MODULE.bazel").write_text(
        'bazel_dep(name = "rules_bento", version = "0.1.0")\n'
        'tools = use_extension("@rules_bento//toolchains:extensions.bzl", "bento_tools")\n'
        'tools.python(interpreter = "./python3")\n'
    )
    return root, ran


def commands() -> list[list[str]]:
    """Each command with arguments that name the project, or a Bento that is not there."""
    lines: dict[tuple[str, ...], None] = {}  # without repetitions, which commands without arguments would have
    for name, command in COMMANDS.walk():
        positional = [param for param in command.params if isinstance(param, click.Argument)]
        for values in (["." for _ in positional], ["hi:v1" for param in positional if param.required]):
            lines[tuple(name.split() + values)] = None
    return [*map(list, lines)]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_no_command_starts_a_program_of_the_project(project, words, tmp_path):
    root, ran = project
    home = tmp_path / "home"
    variables = {
        "HOME": str(tmp_path),
        "BENTOML_HOME": str(home),
        "PATH": os.pathsep.join([".", "", "bin", ".venv/bin", "/usr/bin", "/bin"]),
        # As with a console script: the folder that it is started in is not searched for modules.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    start = (
        "import sys; sys.path[:1] = []; sys.argv[0] = 'bento'; from bento_cli.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", start, *words],
        cwd=root,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert not ran.exists(), f"{ran.read_text()}{done.stderr}"
    assert "Traceback" not in done.stderr
