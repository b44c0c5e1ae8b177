"""`bento init`: writes what decides an image besides uv.lock, and nothing else."""

import json
import os
import re
import sys

import pytest
from bento_cli.cli import status
from bento_cli.sharing import native_base
from bento_cli.sharing.project_init import draft, edit
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.net import transfers
from rules_bento.images.registry import push_to_registry
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.reference import Reference

from tests.sharing.image_support import APP, DEBIAN, make_base

PATH = "PATH=/usr/local/bin:/usr/bin"
VALUES = {"base": "a:1", "entrypoint": "b 'c' \"d\"", "apt": ["e"], "env": {"F": "g\n", "H-I": "\\"}}
TABLE = '[tool.bento.image]\nbase = "old" # why\n# more\nwritable = ["/x"]\n'
FORMS = {
    "empty": "",
    "comments": "# a\n[project] # b\nname = 'x' # c\n\n\n# d\n",
    "no last newline": "[project]\nname = 'x'",
    "crlf": "# a\r\n[project]\r\nname = 'x'\r\n\r\n",
    "mixed": "# a\r\n[project]\nname = 'x'\r\n",
    "arrays of tables": "[[tool.uv.index]]\nurl = 'a'\n\n[[tool.uv.index]]\nurl = 'b' # c\n",
    "inline": "project = { name = 'x', urls = {a = 'b'} }\n",
    "dotted": "project.name = 'x'\ntool.uv.package = false\n",
    "dotted in a table": "[tool]\nuv.package = false\n",
    "inline tool": "tool = { uv = { package = false } }\n",
    "inline bento": "[tool.bento]\nimage = { base = 'old' }\n# end\n",
    "inline without image": "[tool]\nbento = { other = 1 } # x\n",
    "another bento": "[tool.bento.other]\nx = 1\n[tool.ruff]\ny = 2\n",
    "a table": TABLE,
    "a table above": f"[project]\nname='x'\n\n{TABLE}\n[tool.ruff]\nline-length = 99\n",
    "a table with crlf": f"{TABLE}\n[tool.ruff]\n".replace("\n", "\r\n"),
    "a dotted table": "[tool]\nbento.image.base = 'old'\nruff.x = 1\n",
    "strings": "a = '''\n[tool.bento.image]\n'''\nb = \"\"\"\\\n  c\"\"\"\n",
    "numbers": "a = 1_000\nb = 0xFF\nc = 1e3\nd = 1979-05-27T07:32:00Z\ne = inf\n",
    "keys": "\"a b\" = 1\n'c.d'.\"\" = [1,\n  2, # three\n]\n",
    "spaces": "   [  project  ]\n\tname\t=\t'x'   \n",
    "unicode": "# ☃\n[project]\ndescription = '\u00e9\U0001f40d'\n",
    "out of order": "[tool.bento.image]\nbase = 'old'\n[project]\nname = 'x'\n[tool.bento.other]\na = 1\n",
    "env below": "[tool.bento.image]\nbase = 'old'\n[tool.bento.image.files]\n'/a' = 'b'\n",
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_only_the_table_changes(name):
    """Each old line is in the new text in its order, except for the line of a replaced value."""
    text = FORMS[name]
    after = edit(text, VALUES, "x", "Dockerfile:3")
    expected = read_toml(text, "")
    expected.setdefault("tool", {}).setdefault("bento", {}).setdefault("image", {}).update(VALUES)
    assert read_toml(after, "") == expected
    is_replaced = any(word in text for word in ("old", "tool = {", "bento = {"))
    kept = [line.rstrip("\r\n") for line in text.splitlines() if not re.search(r"old|= {", line)]
    new = iter(after.splitlines())
    assert all(line in new for line in kept)
    assert after.startswith(text) or is_replaced
    if "\r\n" in text and "mixed" not in name:
        assert after.count("\r\n") == after.count("\n")
    assert ("# why" in after) == ("# why" in text)
    assert edit(after, VALUES, "x") == after


DOCKERFILE = """\
FROM python:3.11-slim
WORKDIR /app
RUN apt-get update && apt-get install -y ffmpeg gcc
COPY . .
RUN uv sync --locked
RUN npm ci
ENV LEVEL=info UV_LINK_MODE=copy
HEALTHCHECK CMD curl -f http://localhost:8000/ready
CMD ["uv", "run", "uvicorn", "main:app", "--host", "0.0.0.0"]
"""


@pytest.fixture
def base(server, registries, progress, tmp_path, monkeypatch):
    """Docker Hub's Python at a local registry. Returns a function that moves its tag, and returns the digest."""
    monkeypatch.setattr(native_base, "DEFAULT_BASE", f"{server.host}/library/python:{{}}-slim")

    def move(number):
        files = {**DEBIAN, "etc/number": b"%d" % number}
        root = Layout.open(make_base(tmp_path / f"base{number}", files, env=[PATH, f"NUMBER={number}"]))
        push_to_registry.push(
            root.pushable(), [Reference.parse(f"{server.host}/library/python:3.11-slim")], registries, progress
        )
        return root.find().descriptor.digest

    return move


def test_the_table_decides_the_image(base, machine, bento, tmp_path, server, monkeypatch):
    """The base, after its tag has moved, and the command, after the Dockerfile has another."""
    digest = base(1)
    project = machine({"main.py": APP, "Dockerfile": DOCKERFILE, ".python-version": "3.11"}, "fastapi", "uvicorn")
    before = (project / "pyproject.toml").read_bytes()
    told = bento("init", project, "--dry-run")
    assert (project / "pyproject.toml").read_bytes() == before
    assert f"python:3.11-slim@{digest}" in told
    told = bento("init", project, "--base", f"{server.host}/library/python:3.11-slim")  # also of the Dockerfile
    assert "--start /ready" in told
    assert "Dockerfile:6: RUN npm ci: run it before" in told
    after = (project / "pyproject.toml").read_text()
    assert after.startswith(before.decode())
    table = read_toml(after, "")["tool"]["bento"]["image"]
    assert table == {
        "base": f"{server.host}/library/python:3.11-slim@{digest}",
        "entrypoint": "uvicorn main:app --host 0.0.0.0",
        "apt": ["ffmpeg"],
        "env": {"LEVEL": "info"},
    }
    assert "# Dockerfile:9" in after
    bento("init", project)
    assert (project / "pyproject.toml").read_text() == after
    assert base(2) != digest
    (project / "Dockerfile").write_text("FROM x\nCMD other\n")
    (project / "pyproject.toml").write_text(after.replace('apt = ["ffmpeg"]\n', ""))
    told = bento("image", project, "--dry-run")
    assert f"Base: {server.host}/library/python@{digest}" in told
    assert "Command: uvicorn main:app --host 0.0.0.0" in told
    assert re.search(r"^program +to build +unknown$", told, re.M)
    assert re.search(r"^base +base +[0-9.]+ \w+$", told, re.M)
    bento("image", project, "--locked", "--output", f"oci:{tmp_path / 'out'}")
    image = Layout.open(tmp_path / "out").find()
    assert image.descriptor.annotations["org.opencontainers.image.base.digest"] == digest
    with monkeypatch.context() as context:
        context.setattr(native_base, "find_manifest", None)  # a base by digest in the cache asks no registry
        [shown] = json.loads(bento("image", project, "--dry-run", "-o", "json"))
    layers = {name: (state, size) for name, state, size in shown["layers"]}
    written = {each.digest: each.size for each in image.layers()}
    assert {state for state, _ in layers.values()} == {"base", "cache"}
    assert sum(size for _, size in layers.values()) == sum(written.values())
    assert {"fastapi==1.0", "uvicorn==1.0"} <= {*shown["packages"]}
    assert "_main/main.py" in shown["files"]
    told = bento("verify", "--rebuild", f"oci:{tmp_path / 'out'}", "--source", project)
    assert "0 findings" in told
    new = base(2)
    told = bento("lock", project, "--upgrade-base", "--explain")
    assert re.search(
        rf"^Before: {digest}\n  new +([0-9.]+ \w+)  layer\n  removed .*layer\nA server .* pulls \1\.$", told, re.M
    )
    assert f"python:3.11-slim@{digest}\nAfter:  {server.host}/library/python:3.11-slim@{new}\n" in told
    assert (project / "pyproject.toml").read_text() == after.replace('apt = ["ffmpeg"]\n', "").replace(digest, new)
    assert "Kept the base" in bento("lock", project, "--upgrade-base")


def test_a_base_that_is_gone_is_no_finding(machine, bento, tmp_path, server):
    project = machine(
        {"main.py": ""}, "tiny", pyproject=f'[tool.bento.image]\nbase = "{server.host}/gone:1@sha256:{"0" * 64}"\n'
    )
    make_base(tmp_path / "base")
    bento(
        "image",
        project,
        "--base",
        f"oci:{tmp_path / 'base'}",
        "--entrypoint",
        "python main.py",
        "--output",
        f"oci:{tmp_path / 'out'}",
    )
    told = bento("verify", "--rebuild", f"oci:{tmp_path / 'out'}", "--source", project, code=status.ERROR)
    assert "--base" in told
    assert "finding" not in told


def test_a_dockerfile_of_the_repository_copies_from_it(machine):
    lines = "FROM python:3.11-slim\nWORKDIR /app\nCOPY api/pyproject.toml ./\nCOPY data.csv /data.csv\nUSER a\nCMD main.py\n"
    repository = machine({"main.py": "", "Dockerfile": lines, "data.csv": "", ".git/HEAD": ""}, "tiny")
    (repository / "api").mkdir()
    for name in ("main.py", "Dockerfile", "pyproject.toml", "uv.lock"):
        (repository / name).rename(repository / "api" / name)
    found = draft(repository / "api", "", "", None)
    assert (found.notes, found.found["files"]) == ([], {"/data.csv": "../data.csv"})


CANARY = "https://user:login@127.0.0.1:9/secret"
HOSTILE_DOCKERFILES = [
    b"FROM " + CANARY.encode(), b"# syntax=" + CANARY.encode() + b"\nFROM a", f"FROM a\nADD {CANARY} /x".encode(),
    b"FROM a\nADD --checksum=sha256:0 git@host:x.git /x", b"FROM a\nONBUILD RUN touch ran\nONBUILD COPY secret /",
    b"FROM a\nRUN <<EOF\ntouch ran\nEOF\nCOPY <<A <<B /x/\n$(touch ran)\nA\nB", b"FROM a\nCOPY ../../secret /x",
    b"FROM a\nCOPY link /x\nCOPY link /y/", b"FROM a\nCOPY linked/secret /x", b"FROM a\nCOPY .git/config /x\nCOPY .GIT /y",
    b"FROM a\nCOPY --from=../secret / /", b'FROM a\nCOPY ["link", "/etc/passwd"]', b"ARG A=../secret\nFROM a\nARG A\nCOPY $A /x",
    b"ARG A=${A:-${A}}\nFROM $A", b"FROM a\r\nRUN touch ran\r\nCMD link\r\n", b"# escape=`\nFROM a\nRUN touch `\n ran",
    "FROM a\u2028RUN touch ran\u2029CMD\u0085x".encode(), b"\0FROM a\nCMD \0", b"\xff\xfeF\0", b"FROM a\nCMD " + b"a " * 200_000,
    b"FROM a\n" + b"RUN touch ran\n" * 20_000, b"FROM a\nCOPY " + b"api/" * 100_000 + b" /x", b"FROM a\n" + b"\n" * 200_000,
    b'FROM a\nENTRYPOINT ["sh", "link"]', b"FROM a\nENV PATH=$PATH LD_PRELOAD=/x\nENV A=$HOME", b"FROM a\nVOLUME /etc /proc ../..",
    b"FROM a\nWORKDIR ../../..\nCOPY . /\nCMD ./../secret", b'FROM a\nCMD ["--base", "oci:/etc"]', b"FROM a\nHEALTHCHECK CMD curl file:///secret",
    b"FROM a\nRUN apt-get install -y --allow-unauthenticated -o=x ./secret ../x=1 a;b",
]  # fmt: skip
HOSTILE_TABLES = [
    "base = 1", "base = ['a']", "base = 'oci:../secret'", "entrypoint = {}", 'entrypoint = "\'"', "apt = 'a'",
    "apt = ['-o=x']", "apt = [['a']]", "env = { 'A=B' = 'c' }", "env = { A = 1 }", "files = { '../x' = 'main.py' }", "writable = ['/etc/../..']",
    "hugging-face = ['x']", "push = true", "extra = 1", "group = [1]", "entrypoint = '" + "x" * 10**6 + "\"'", "a.b.c.d = 1",
    "env = " + "{ a = " * 200 + "1" + "}" * 200, "apt = " + "[" * 5000, "base = '\0'",
]  # fmt: skip


def test_hostile_files_run_open_and_request_nothing(machine):
    project = machine({"main.py": "", "api/x": "", ".git/config": CANARY}, "tiny")
    plain = (project / "pyproject.toml").read_text()
    (project.parent / "secret").write_text("secret")
    (project / "link").symlink_to("../secret")
    (project / "linked").symlink_to("..")
    seen, is_on, runs = (
        list[str](),
        [True],
        ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"),
    )

    def hook(event, words):
        if is_on[0] and event in runs:
            seen.append(event)
        elif is_on[0] and event == "open" and str(words[0]).startswith(f"{project.parent}/"):
            seen.append(os.path.relpath(words[0], project))

    sys.addaudithook(hook)
    own = {"pyproject.toml", "uv.lock", "Dockerfile", "main.py", ".python-version", ".gitignore", "."}
    own |= {".git/info/exclude", ".git/index", "../home/.cache/rules_bento"}
    try:
        for text in HOSTILE_DOCKERFILES:
            (project / "Dockerfile").write_bytes(text)
            seen.clear()
            try:
                found = draft(project, "", "", None)
            except BentoError as error:
                assert "Dockerfile: " in str(error), text[:99]
            else:
                assert "login" not in str(found.found), text[:99]
                assert {*found.found.get("files", {}).values()} <= {"main.py", "api", "api/x"}, text[:99]
            assert {*seen} <= own, text[:99]
        for table in HOSTILE_TABLES:
            (project / "pyproject.toml").write_text(f"{plain}\n[tool.bento.image]\n{table}\n")
            seen.clear()
            with pytest.raises(BentoError, match="pyproject.toml"):
                draft(project, "", "", None)
            assert {*seen} <= own, table[:99]
    finally:
        is_on[0] = False
    assert not (project / "ran").exists()


def test_a_dockerfile_names_no_file_outside_of_the_project(machine, bento, tmp_path, monkeypatch):
    """Neither a link in its place, nor COPY, nor its base, which gets no login: only the official Python is asked for."""
    lines = "FROM evil.example/python:3.11\nCOPY ../secret /a\nCOPY .git/config /b\nCOPY link /c\nVOLUME /proc/x\nCMD main.py\n"
    project = machine({"main.py": "", ".git/config": "login", "Dockerfile": lines}, "tiny")
    (tmp_path / "secret").write_text("secret")
    (project / "link").symlink_to(tmp_path / "secret")
    monkeypatch.setattr(native_base, "DEFAULT_BASE", "127.0.0.1:9/library/python:{}-slim")
    monkeypatch.setattr(transfers, "_FIRST_WAIT", 0.001)
    told = bento("init", project)
    assert "FROM evil.example/python:3.11: the base is 127.0.0.1:9/library/python:3.10-slim" in told
    assert "Run `bento init` again with access" in told
    text = (project / "pyproject.toml").read_text()
    table = read_toml(text, "")["tool"]["bento"]["image"]
    assert table == {"entrypoint": "main.py"}
    (project / "Dockerfile").unlink()
    (project / "Dockerfile").symlink_to(tmp_path / "secret")
    assert "link to a file outside" in bento("init", project, code=status.ERROR)
