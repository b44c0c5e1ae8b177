"""bento-proof proves images with what projects can add, and says what it doesn't prove."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from tests.proof_program.program import export, requires_programs, running
from tests.sharing.debian_support import build
from tests.sharing.image_support import BACK, make_base

pytestmark = requires_programs
OK, ERROR, FOUND, UNPROVEN = 0, 1, 3, 5
BACK_END = """
import os, zipfile
def build_wheel(directory, settings=None, metadata=None):
    files = {"web/__init__.py": "def main(): ...\\n", "web/data.txt": open("data.txt").read()}
    files["web-1.0.dist-info/METADATA"] = "Metadata-Version: 2.1\\nName: web\\nVersion: 1.0\\n"
    files["web-1.0.dist-info/WHEEL"] = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files["web-1.0.dist-info/entry_points.txt"] = "[console_scripts]\\nweb = web:main\\n"
    files["web-1.0.dist-info/RECORD"] = "".join(f"{path},,\\n" for path in files)
    with zipfile.ZipFile(os.path.join(directory, "web-1.0-py3-none-any.whl"), "w") as wheel:
        for path, text in files.items(): wheel.writestr(path, text)
    return "web-1.0-py3-none-any.whl"
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    with running(tmp_path_factory.mktemp("program")) as found:
        yield found


@pytest.fixture
def prove(program, tmp_path):
    """Return a function that proves an image, after a review of its settings."""

    def run(*words, out="out", base="base", reviews=True):
        words = [f"oci:{tmp_path / out}", "--base", f"oci:{tmp_path / base}", "--python", sys.executable, *words]
        if reviews:
            _, text = program.run(*words)
            settings = [each["expect"] for each in json.loads(text)]
            (tmp_path / "expect.json").write_text(json.dumps(settings[0]))
            words += ["--expect", tmp_path / "expect.json"]
        return program.run(*words)

    return run


def test_added_files_and_writable_directories_are_proven(project, bento, prove, tmp_path):
    (project / "conf=a/deep").mkdir(parents=True)
    (project / "conf=a/deep/x.sh").write_text("#!/bin/sh\n")
    (project / "conf=a/deep/x.sh").chmod(0o755)
    (project / "conf=a/link").symlink_to("deep/x.sh")
    table = 'env = { MODE = "a=b" }\nwritable = ["/srv/k=v"]\nfiles = { "/srv/k=v" = "conf=a", "/opt/main.py" = "main.py" }\n'
    path = project / "pyproject.toml"
    path.write_text(f"{path.read_text()}[tool.bento.image]\n{table}")
    build(bento, project, tmp_path, "--no-bytecode")
    words = ["--lock", export(project), "--file", project, "/app/_main", "--writable", "/srv/k=v"]
    words += ["--file", project / "conf=a", "/srv/k=v", "--file", project / "main.py", "/opt/main.py"]
    code, text = prove(*words)
    assert code == OK, text
    assert "Env MODE" in prove(*words, reviews=False)[1]
    (project / "conf=a/deep/x.sh").write_text("#!/bin/ed\n")
    code, text = prove(*words)
    assert code == FOUND and "srv/k=v/deep/x.sh" in text and "has other contents than in" in text


def test_a_package_is_proven(machine, bento, prove, tmp_path):
    project = machine({"data.txt": "1"}, "tiny", pyproject=BACK.format("") + 'backend-path = ["."]\n')
    (project / "back.py").write_text(BACK_END)
    make_base(tmp_path / "base")
    words = ("--no-bytecode", "--entrypoint", "web")
    bento("image", project, "--base", f"oci:{tmp_path / 'base'}", "--output", f"oci:{tmp_path / 'out'}", *words)

    def wheel():
        uv = os.environ["RULES_BENTO_UV"]
        subprocess.run(
            [uv, "build", "--wheel", "-qo", tmp_path / "dist", "--offline", "-p", sys.executable, project], check=True
        )
        return "--wheel", tmp_path / "dist/web-1.0-py3-none-any.whl"

    code, text = prove("--lock", export(project), *wheel())
    assert code == OK, text
    (project / "data.txt").write_text("2")
    code, text = prove("--lock", export(project), *wheel())
    assert code == FOUND and "web/data.txt" in text and "has other contents than in" in text


def test_other_sources_are_not_built(machine, case, program):
    other = '[project]\nname = "other"\nversion = "1"\n' + BACK.format("")
    sources = '[tool.uv.sources]\nother = { path = "other" }\n'
    project = machine({"other/pyproject.toml": other, "main.py": ""}, "tiny", "other", pyproject=sources)
    words = [f"oci:{case.out}", "--base", f"oci:{case.base}", "--python", sys.executable, "--lock", export(project)]
    code, told = program.run(*words)
    assert code == ERROR and told.startswith("error: uv: ")


def test_a_program_reaches_no_network_and_writes_to_its_directory_only(tmp_path):
    box = pytest.importorskip("bento_proof.box")
    words = ["sh", "-c", f"ls / /dev/shm; cut -f 1 /proc/net/route; touch {tmp_path}/made"]
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:  # where a sandbox or a cache can be
        listed = box.run(words, None, {str(tmp_path): tmp_path}).decode().split()
        assert Path(file.name).name in listed
    assert (tmp_path / "made").exists() and "usr" in listed and "eth0" not in listed
    with pytest.raises(Exception, match="Read-only file system"):
        box.run(["sh", "-c", "touch /usr/made"], None, {str(tmp_path): tmp_path})


def test_wheels_without_their_hashes_are_not_installed(case, program, tmp_path):
    words = [
        f"oci:{case.out}",
        "--base",
        f"oci:{case.base}",
        "--python",
        sys.executable,
        "--lock",
        tmp_path / "lock.txt",
    ]
    for text, right in (
        ("alpha==1.0\nbeta==1.0\n", ERROR),
        (f"alpha==1.0 --hash=sha256:{'0' * 64}\n", ERROR),
    ):
        (tmp_path / "lock.txt").write_text(text)
        code, told = program.run(*words)
        assert code == right, told


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_two_models_cannot_have_one_file(names):
    """A link is as good as the file of a model, unless another model's link leads to the same file."""
    sources = pytest.importorskip("bento_proof.sources")
    from bento_proof.model import HOME, USER, Expected, Member

    models, target = f"{HOME}/bento/models", f"{HOME}/weights/x"
    files = {f"{models}/{name}": Expected(Member("file", 0o644, USER, name), "models", name) for name in names}
    links = [(1, path, Member("link", 0o777, USER, "../../weights/x")) for path in files]
    found = sources.with_links(files, links)
    wrong = [path for _, path, link in links if found[path].difference(link)]
    assert found[target].member.what == names[0] and wrong == [f"{models}/{names[1]}"]


@pytest.mark.parametrize(
    "text", ["/tmp/x", "/home/bentoml/weights/b", "a", "./b", "../weights/b", "c/../b", "../../../tmp/x"]
)
def test_a_link_of_a_model_leads_only_to_the_file_that_is_judged(text):
    sources = pytest.importorskip("bento_proof.sources")
    from bento_proof.model import HOME, USER, Expected, Member

    path = f"{HOME}/weights/a"
    files = {path: Expected(Member("file", 0o644, USER, "hash"), "models", "sums")}
    for right, words in ((False, text), (True, "b"), (True, "../huggingface/b")):
        link = Member("link", 0o777, USER, words)
        found = sources.with_links(files, [(1, path, link)])
        assert (found[path].difference(link) == "") is right, words


def test_a_directory_is_no_file_of_a_model():
    judge = pytest.importorskip("bento_proof.judge")
    from bento_proof.base import Base
    from bento_proof.model import HOME, USER, Expected, Member, Report

    path, report = f"{HOME}/weights/a", Report("")
    files = {path: Expected(Member("file", 0o644, USER, "hash"), "models", "sums")}
    wanted = judge.Wanted(judge.Environment(), files, [], set(), False, {})
    judge.Judge(Base(None, None, {}, {}), wanted, report).run([(0, path, Member("directory", 0o755, USER))])
    assert (0, path, "is a directory, but sums has a file") in report.findings


@pytest.mark.parametrize("name", ["Env FORWARDED_ALLOW_IPS", "Labels x", "config Cmd", "config ExposedPorts"])
@pytest.mark.parametrize("value", ["*", True, ["*"], {"*": True}])
def test_a_reviewed_value_allows_no_other(name, value):
    config = pytest.importorskip("bento_proof.config")
    from bento_proof.model import Report

    first, second = Report(""), Report("")
    config.check({name: value}, {}, {}, first, complete=False)
    stated = json.loads(json.dumps(first.expect))
    assert stated or first.findings
    config.check({name: "evil"}, {}, stated, second, complete=True)
    assert second.findings


@pytest.mark.parametrize(
    "name", ["OPENSSL_CONF", "PERL5OPT", "GUNICORN_CMD_ARGS", "CUDA_INJECTION64_PATH", "SSL_CERT_FILE"]
)
def test_variables_that_select_code_are_not_offered_for_review(name):
    config = pytest.importorskip("bento_proof.config")
    from bento_proof.model import Report

    report = Report("")
    config.check({f"Env {name}": "x"}, {}, {}, report, complete=False)
    assert report.findings and not report.expect


def test_a_shared_file_is_of_a_wheel_or_a_script_of_uv_whatever_record_says(tmp_path):
    packages = pytest.importorskip("bento_proof.packages")
    from bento_proof.base import Base

    def row(path, text):
        return f"{path},sha256={urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},4\n"

    top, tool = tmp_path / "app/.venv", "../../../bin/tool"
    site = top / f"lib/python3.{sys.version_info.minor}/site-packages"
    for name in ("a", "b", "evil"):
        own, cached = row("shared.py", name), tmp_path / "cache/archive-v0" / name
        own += row(tool, name) if name == "evil" else ""
        for place, record in ((site, own + row(tool, name)), (cached, own)):
            (place / f"{name}-1.dist-info").mkdir(parents=True)
            (place / f"{name}-1.dist-info/RECORD").write_text(record)
        (cached / "shared.py").write_text(name.replace("evil", "c"))
    (top / "bin").mkdir()
    for path in (site / "shared.py", site / tool):
        path.write_text("a")
    base = Base(None, None, {}, {}, minor=sys.version_info.minor)
    members = packages._read(top, tmp_path / "cache", set(), base).members
    for path in ("bin/tool", os.path.relpath(site / "shared.py", top)):
        expected = members[f"app/.venv/{path}"]
        for text in ("a", "b", "evil"):
            member = expected.member._replace(what=hashlib.sha256(text.encode()).hexdigest())
            assert (expected.difference(member) == "") is (text != "evil"), path


def test_a_base_is_unpacked_only_in_its_directory(tmp_path):
    base = pytest.importorskip("bento_proof.base")
    from tests.proofs.image_attacks import _BASE, _ENV

    (tmp_path / "outside").mkdir()
    (tmp_path / "work").mkdir()
    make_base(tmp_path / "base", _BASE | {"srv": str(tmp_path / "outside"), "srv/link": "x"}, _ENV)
    base.read_base(f"oci:{tmp_path / 'base'}", "linux/amd64", tmp_path / "work")
    assert not [*(tmp_path / "outside").iterdir()]


def test_without_isolation_nothing_runs(monkeypatch):
    box = pytest.importorskip("bento_proof.box")
    monkeypatch.setattr(box.shutil, "which", lambda *_, **__: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Exception, match="Install the package bubblewrap"):
        box.run(["true"], None, {})
