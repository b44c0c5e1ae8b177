"""Packages that rules_python installed: their METADATA, and the hashes and extras in the lock."""

import json
import re

import pytest
from rules_bento.actions import subcommands
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages import lock_format

LOCK = f"""\
--index-url https://index.example/simple
uvicorn[standard]==0.54 \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}
    # via -r requirements.in
numpy==2.4.6 ; python_version < "3.12" --hash=sha256:{"c" * 64}
numpy==2.5.5 ; python_version >= "3.12" --hash=sha256:{"d" * 64}
plain==1
"""


@pytest.fixture
def describe(tmp_path):
    """Returns the lock entry of an installed package."""

    def describe(name, version, *requires):
        metadata = tmp_path / f"{name}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        metadata.write_text("\n".join([*lines, *(f"Requires-Dist: {text}" for text in requires), "", "Text"]), "utf-8")
        output = tmp_path / "entry.json"
        subcommands.run(["describe_installed", "--metadata", str(metadata), "--output", str(output)])
        return json.loads(output.read_text("utf-8"))

    return describe


def complete(tmp_path, *entries, text=LOCK):
    (tmp_path / "lock.txt").write_text(text, "utf-8")
    return lock_format.complete_installed(entries, tmp_path / "lock.txt", "//:lock.txt")


def test_the_lock_adds_hashes_and_extras(describe, tmp_path):
    extra = "uvloop>=0.15 ; sys_platform != 'win32' and extra == 'standard'"
    [entry] = complete(tmp_path, describe("uvicorn", "0.54.0", "click>=7", extra))
    assert entry["dependencies"] == [{"name": "click", "specifier": ">=7"}]
    assert [edge["name"] for edge in entry["extras"]["standard"]] == ["uvloop"]
    assert sorted(entry["files"].values()) == ["a" * 64, "b" * 64]
    assert lock_format.with_installed_extras(["uvicorn"], [entry]) == ["uvicorn[standard]"]
    assert lock_format.with_installed_extras(["numpy"], [entry]) == ["numpy", "uvicorn[standard]"]


def test_the_version_selects_the_line(describe, tmp_path):
    [entry] = complete(tmp_path, describe("numpy", "2.5.5"))
    assert list(entry["files"].values()) == ["d" * 64]


@pytest.mark.parametrize(("name", "version"), [("numpy", "2.6"), ("plain", "1"), ("absent", "1")])
def test_a_version_without_hashes_is_rejected(describe, tmp_path, name, version):
    with pytest.raises(
        BentoError, match=rf"requirements: //:lock.txt doesn't contain {name}=={re.escape(version)} with"
    ):
        complete(tmp_path, describe(name, version))


@pytest.mark.parametrize("option", ["--extra-index-url https://other.example/simple", "-f https://other.example/"])
def test_an_index_of_unknown_packages_is_rejected(tmp_path, option):
    flag = option.partition(" ")[0]
    with pytest.raises(BentoError, match=rf"requirements: //:lock.txt:1: {flag} isn't supported with packages of"):
        complete(tmp_path, text=f"{option}\n{LOCK}")
