"""Packages that rules_python installed: their METADATA, and the hashes and extras in the lock."""

import base64
import hashlib
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


@pytest.mark.parametrize(
    ("files", "changed"),
    [
        ({}, ""),
        ({"acme/a.py": "A = 2\n"}, "acme/a.py"),  # pip.override(patches = ...)
        ({"acme/new.py": ""}, "acme/new.py"),  # copy_files of an annotation
        ({"acme/a.py": None}, "acme/a.py"),  # srcs_exclude_glob of an annotation
        ({"acme/n.so": None}, "acme/n.so"),
        ({"acme/sub/__init__.py": "", "acme/a.pyc": "", "acme-1.dist-info/INSTALLER": "x"}, ""),  # of rules_python
        ({"acme-1.dist-info/RECORD": None, "acme/a.py": "A = 2\n"}, ""),  # built from source
    ],
)
def test_files_that_differ_from_the_index_are_rejected(tmp_path, files, changed):
    a = base64.urlsafe_b64encode(hashlib.sha256(b"A = 1\n").digest()).rstrip(b"=").decode()
    record = f"acme/a.py,sha256={a},6\nacme/n.so,sha256=x,1\nacme/a b.txt,sha256=y,1\nacme-1.dist-info/RECORD,,\n"
    record += f"acme-1.data/scripts/s,sha256=z,1\nacme/__init__.pyc,,\nacme-1.data/purelib/acme/p.py,sha256={a}=,6\n"
    own = {"acme-1.dist-info/RECORD": record, "acme-1.dist-info/METADATA": "Name: acme\nVersion: 1\n"}
    texts = {**own, "acme/a.py": "A = 1\n", "acme/p.py": "A = 1\n", "acme/n.so": "n"} | files
    words = ["--metadata", str(tmp_path / "acme-1.dist-info/METADATA"), "--root", "../r+/"]
    for path, text in texts.items():
        if text is not None:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text, "utf-8")
            short = f"../r+/site-packages/{path}"
            words += ["--other", short] if path.endswith(".so") else ["--file", short, str(tmp_path / path)]
    subcommands.run(["describe_installed", *words, "--output", str(tmp_path / "entry.json")])
    entry = json.loads((tmp_path / "entry.json").read_text("utf-8"))
    assert entry["changed"] == changed
    assert entry["modules"] == ["acme"]
    lock = f"acme==1 --hash=sha256:{'a' * 64}\n"
    if not changed:
        assert "changed" not in complete(tmp_path, entry, text=lock)[0]
        return
    with pytest.raises(BentoError, match=rf"^requirements: rules_python changes {changed} of acme==1, .*1\+company\.1"):
        complete(tmp_path, entry, text=lock)
