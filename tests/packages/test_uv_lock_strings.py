"""Each string of a uv.lock has a shape where the lock is read. The judge of real forms is uv itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.lock_format import read_uv_lock

UV = os.environ["RULES_BENTO_UV"]
SHA, COMMIT = "ab" * 32, "a" * 40
REGISTRY = '{ registry = "https://index.example/simple" }'
# A lock with each kind of source. Edits replace parts of it.
LOCK = f"""\
version = 1
revision = 3
requires-python = ">=3.11"
[manifest]
members = ["proj", "member"]
[[package]]
name = "proj"
version = "0"
source = {{ virtual = "." }}
dependencies = [
    {{ name = "al-pha", extra = ["fast"], marker = "sys_platform == 'linux'" }},
    {{ name = "beta", version = "2024.7.1", source = {REGISTRY} }},
    {{ name = "gamma" }}, {{ name = "delta" }}, {{ name = "eps" }}, {{ name = "zeta" }}, {{ name = "member" }},
    {{ name = "tree" }},
]
[package.dev-dependencies]
dev = [{{ name = "gamma" }}]
[package.metadata]
requires-dist = [{{ name = "al-pha", extras = ["fast"], specifier = ">=1" }}]
provides-extras = ["more"]
[package.metadata.requires-dev]
dev = [{{ name = "gamma" }}]
[[package]]
name = "al-pha"
version = "1.0"
source = {REGISTRY}
sdist = {{ url = "https://f.example/Al.Pha-1.0.tar.gz", hash = "sha256:{SHA}", size = 5 }}
wheels = [
    {{ url = "https://f.example/x/Al_pha-1.0-1build-cp311-abi3-any.whl", hash = "sha256:{SHA}", size = 5 }},
    {{ url = "https://f.example/al_pha-1.0-py2.py3-none-any.whl?a=b#c", hash = "sha512:{SHA * 2}" }},
]
[package.optional-dependencies]
fast = [{{ name = "gamma" }}]
[[package]]
name = "beta"
version = "2024.7.1"
source = {REGISTRY}
wheels = [{{ url = "https://f.example/beta-2024.07.01%2Bcu124-py3-none-any.whl", hash = "sha256:{SHA}" }}]
[[package]]
name = "gamma"
version = "1!2.0+cu1"
source = {{ registry = "../links" }}
sdist = {{ path = "gamma-1!2.0+cu1.zip" }}
wheels = [{{ path = "sub/gamma-1!2.0+cu1-py3-none-any.whl" }}]
[[package]]
name = "delta"
version = "1"
source = {{ path = "wheels/delta-1-py3-none-any.whl" }}
wheels = [{{ filename = "delta-1-py3-none-any.whl", hash = "sha256:{SHA}" }}]
[[package]]
name = "eps"
version = "1"
source = {{ url = "https://h.example/a/Eps_main.tar.bz2", subdirectory = "a/b" }}
sdist = {{ hash = "sha256:{SHA}" }}
[[package]]
name = "zeta"
version = "1"
source = {{ git = "https://g.example/zeta.git?subdirectory=a%2Fb&rev=main#{COMMIT}" }}
[[package]]
name = "member"
version = "1"
source = {{ editable = "member" }}
[[package]]
name = "tree"
source = {{ directory = "../t r\u00e9e" }}
"""
PROJECT = '[project]\nname = "proj"\nversion = "0"\nrequires-python = ">=3.11"\n'


def uv_accepts(directory: Path, text: str) -> bool:
    """Whether uv reads the lock. It compares nothing with the project, and requests nothing."""
    (directory / "uv.lock").write_text(text, "utf-8")
    words = [UV, "export", "-q", "--frozen", "--offline", "--no-emit-local", "--python", sys.executable, "--no-config"]
    environment = {"UV_CACHE_DIR": str(directory / "cache"), "PATH": os.environ["PATH"], "HOME": str(directory)}
    done = subprocess.run(words, cwd=directory, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0 or "Failed to parse" in done.stderr or "unsupported schema" in done.stderr, done.stderr
    return done.returncode == 0


def problem(text: str) -> str:
    try:
        read_uv_lock(text, "uv.lock")
    except BentoError as error:
        return str(error)
    return ""


def edited(*edits: tuple[str, str]) -> str:
    text = LOCK
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text


WHEEL, SDIST = "al_pha-1.0-py2.py3-none-any.whl", "Al.Pha-1.0.tar.gz"
NAME, EXTRA, DEV = '"al-pha"', '"fast"', "dev = [{"
VERSION = 'name = "al-pha"\nversion = "1.0"'
HASH = f'{SDIST}", hash = "sha256:{SHA}"'
URL = f"https://f.example/{WHEEL}?a=b#c"
GIT = f"https://g.example/zeta.git?subdirectory=a%2Fb&rev=main#{COMMIT}"
MEMBER, LINKS = 'editable = "member"', 'registry = "../links"'
SCHEMA = "version = 1\nrevision = 3"
# By the string that is replaced: strings that uv and rules_bento accept, and strings that both reject.
BOTH = {
    WHEEL: (
        ["al_pha-1.0.0-py3-none-any.whl", "al__pha-1.0-py3-none-any.whl", "AL.PHA-1.0-py3-none-any.whl", "al_pha-v1.0-py3-none-any.whl",
         "al_pha-1.0+x.1-py3-none-any.whl", "al_pha-1.0%2Bx-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
         "al_pha-01.0-py3-none-any.whl", "al_pha-0!1.0-1.x-py3-none-any.whl", "%61l_pha-1.0-py3-none-any.whl"],
        ["al-pha-1.0-py3-none-any.whl", "al_pha-1.1-py3-none-any.whl", "al_pha-1.0.post0-py3-none-any.whl", "al_pha-1.0-py3-none-any.zip",
         "al_pha-1.0-py3-none.whl", "al_pha-1.0-a-b-py3-none-any.whl", "al_pha-1.0-py3%2F..-none-any.whl", "al_pha-1.0-py3-none-any%00.whl",
         "al_pha-1.0-py3-none-an y.whl", "al_pha-1.0-py3-none-é.whl", "al_pha-1.0-py3-none-any..x.whl", "al_pha-1.0_1-py3-none-any.whl",
         "al_pha-1.0-1~-py3-none-any.whl", "al_pha-1.0-py3-none-any.WHL", "", "..", "%2e%2e", "a%2Fal_pha-1.0-py3-none-any.whl"],
    ),
    SDIST: ([f"Foo_1.{end}" for end in ("tar.xz", "tgz", "tar.zst", "tbz", "tar.lzma", "zip", "tar.bz2")] + ["x%20y.zip", "é.zip", "main"], []),
    NAME: ([], ["-al", "al-", "", "../x", "/etc/x", "al pha", "al\\npha", "al\\u0000", "é", ".", "..", "al/pha", "a\\\\b", "~", "$(id)", "-r"]),
    VERSION: (["1.0.0", "v1.0", "01.0"], ["", "x", "../1", "/1", "1..0", "1\\n2", "1\\u0000", "$(id)", "1 ; x", "1.0-1", "1.1", "1.0+x", "1.0alpha1", "\u0661"]),
    HASH: ([f"blake2b:{SHA}", "md5:" + "a" * 32, "sha384:" + "a" * 96], ["", "sha256", SHA, f"SHA256:{SHA}", "sha1:" + "a" * 40, "/etc", "../x:y", "sha256:",
         "sha256:/etc", "sha256:../..", f"sha256:{SHA}\\n", f"sha256:{SHA}0", "md5:../x", "sha256:\\u0000"]),
    EXTRA: (["Fast", "fa_st", "a.b"], ["-fast", "a b", "", "../x", "é", "a]", "a\\n", "."]),
    DEV: (['"a.b" = [{'], ['"-dev" = [{', '"a b" = [{', '"" = [{', '"../x" = [{', '"a\\n" = [{']),
    URL: (
        [f"HTTPS://f/{WHEEL}", f"http://f:80/{{a}}/|^/é/a b/{WHEEL}", f"https://u:p@f/{WHEEL}"],
        ["https://f.example/", "https://f.example/?", "https://f.example/x.exe", "/etc/passwd", "../x", "", "file:///etc/passwd"],
    ),
    GIT: (
        [f"http://g/x#{COMMIT}", f"ssh://git@g/x.git#{COMMIT}", f"file:///x#{COMMIT}"],
        ["https://g/x", "https://g/x#main", "https://g/x#" + "a" * 41, "https://g/x#" + "a" * 64, f"git+https://g/x#{COMMIT}", f"git@g:x#{COMMIT}",
         f"--upload-pack=x#{COMMIT}", f"x#{COMMIT}", "", f"ext::id#{COMMIT}"],
    ),
    MEMBER: (["", "..", "/srv/é a", "a//b", "~", "-x", "C:/a"], []),
    LINKS: (["", "..", "/srv/é a", "a//b", "~", "-x", "C:/a", "http://h/x"], []),
    SCHEMA: (["version = 1", "version = 1\nrevision = 99"], ["", "version = 2", "version = 0", "version = true", "version = 1.0", 'version = "1"', "version = -1"]),
    'name = "beta"\nversion = "2024.7.1"\n': ([], ['name = "beta"\n']),
    'wheels = [{ filename = "delta-1-py3-none-any.whl", ': ([], ["wheels = [{ "]),
    'filename = "delta-1': ([], ['filename = "../delta-1', 'filename = "/delta-1']),
    'members = ["proj"': ([], ['members = ["../p"']),
}  # fmt: skip
# Strings that uv reads, but doesn't write, or that are of no use in it: installations fail.
OURS = {
    WHEEL: ["other-1.0-py3-none-any.whl"],
    SDIST: ["..", "%2e%2e", ".", "a%2Fb.zip", "%2Fetc%2Fx.zip", "a%00.zip", "a%0A.zip", "a%5Cb.zip", "a" * 300],
    NAME: ["Al-pha", "al_pha", "al--pha", "al.pha", "a" * 300],
    VERSION: ["1.0 ", "1.0\\n"],
    HASH: [f"sha256:{SHA.upper()}"],
    URL: [f"file:///x/{WHEEL}", f"s3://b/{WHEEL}", WHEEL, f"/etc/{WHEEL}", f"https://f/\\\\/{WHEEL}", f"https://f/\\u0000/{WHEEL}", f"https://f/\\n/{WHEEL}"],
    GIT: ["https://g/x#" + "A" * 40],
    MEMBER: ["a\\\\b", "a\\u0000", "a\\nb", "https://x/y", "a" * 5000],
    LINKS: ["a\\\\b", "a\\u0000", "a\\nb", "ftp://x/y"],
    'filename = "delta-1': ['filename = "other-1'],
}  # fmt: skip


def replaced(old: str, new: str) -> str:
    """The lock with a string in place of another one, which can be a part of a line."""
    values = {NAME: '"{}"', VERSION: 'name = "al-pha"\nversion = "{}"', HASH: f'{SDIST}", hash = "{{}}"', EXTRA: '"{}"'}
    values |= {MEMBER: 'editable = "{}"', LINKS: 'registry = "{}"'}
    more = [("fast = [", f'"{new}" = [')] if old == EXTRA else []
    return edited((old, values.get(old, "{}").replace("{}", new)), *more)


CASES = {(old, new): (True, True) for old, (accepted, _) in BOTH.items() for new in accepted}
CASES |= {(old, new): (False, False) for old, (_, rejected) in BOTH.items() for new in rejected}
CASES |= {(old, new): (True, False) for old, strings in OURS.items() for new in strings}


def test_uv_is_the_judge_of_the_strings_of_a_lock(tmp_path):
    (tmp_path / "pyproject.toml").write_text(PROJECT, "utf-8")
    assert uv_accepts(tmp_path, LOCK), "what is edited is sound before"
    assert not problem(LOCK)
    found = {case: (uv_accepts(tmp_path, replaced(*case)), not problem(replaced(*case))) for case in CASES}
    assert {case: each for case, each in found.items() if each != CASES[case]} == {}
    assert len(CASES) > 170


@pytest.mark.parametrize(
    "case", [case for case, (_, ours) in CASES.items() if not ours], ids=lambda case: ascii(case)[:60]
)
def test_a_message_names_the_lock_and_a_remedy(case):
    message = problem(replaced(*case))
    assert message.startswith("uv.lock: ")
    assert message.isprintable()
    assert message.endswith(("again.", "this version."))
    assert len(message) < 500
