"""Strings of locks have shapes: each form of a lock is held to them where it is read, here and in Starlark."""

import json
import random
from pathlib import Path

import pytest
from packaging.version import InvalidVersion, Version
from rules_bento.base.formats import shapes

from tests.packages import starlark_files

SHAPES = starlark_files.load("private/repositories/lock_shapes.bzl")
H, COMMIT = "ab" * 32, "a" * 40

# By kind: strings of that shape, and strings of another one.
STRINGS = {
    "name": (["a", "numpy", "a1-b2-c", "3to2"], ["", "A", "a_b", "a.b", "-a", "a-", "a--b", "a b", "a\nb", "é", "../x", "a" * 129]),
    "extra": (["a", "grpc-reflection", "all_extras", "A.b"], ["", "-a", "a-", "a b", 'a"b', "a]b", "a\n"]),
    "version": (
        ["1", "3.10", "1!2.0", "2.6.0+cu124", "1.0a1", "1.0b2.post3.dev4", "1.0.post1", "1.0.dev0", "1.0rc1", "v1.0", "1.0-1",
         "2024.07.01", "1.0.0+ubuntu-1.2", "1.0alpha", "1.0-alpha.2", "1.0_rc_1", "1.0.rev3", "1.0-r4", "1.0preview1"],
        ["", "x", "1.", ".1", "1..0", "1.0+", "1.0+a+b", "1.0+a..b", "1 .0", '1"', "1\n2", "$(id)", "../1", "9" * 300, "1.0 ; x",
         "!1", "a!1", "1.0zeta", "1.0post1dev2x", "1.0dev1a1", "1.0\n", "\u0661.0"],
    ),
    "range": (
        ["", ">=3.10", ">=3.9, <3.13", "==3.11.*", "~=3.10", "!=3.12.1,>=3.10", "===3.11", "!=3.9.*", ">= 3.8"],
        [">3.8.*", "~=3", ">=3+a", "==3a1.*", "3.10", ">=", ">=3.10,", ">=3.10 ", "=>3", ">=3.10\n", ">=3;x", ">=3 <4"],
    ),
    "file": (
        ["idna-3.10-py3-none-any.whl", "torch-2.6.0+cu124-cp311-cp311-linux_x86_64.whl", "a-1!2.0-py3-none-any.whl",
         "torch-2.6.0%2Bcu124-cp311-cp311-linux_x86_64.whl", "a-1.0-1build-py3-none-any.whl", "a.zip", "A_b-1.tar.gz"],
        ["", ".whl", "a.exe", "../a.whl", "a/b.whl", "a\\b.whl", "a.whl\n", 'a".whl', "-a.whl", "a%2fb.whl", "a b.whl",
         "a$(id).whl", "a\0.whl", "a" * 260 + ".whl", ".a.whl", "é.whl"],
    ),
    "index": (["1", "12"], ["", "a", "-1", "1.0", "1\n", "9" * 9]),
    "sha256": ([H], ["", "zz", H[:-1], H + "0", H.upper(), H[:-1] + "\n"]),
    "commit": ([COMMIT, H], ["", ".", "main", COMMIT[:-1], COMMIT.upper(), "-" + COMMIT[1:], COMMIT + "\n"]),
    "url": (
        ["https://a.example/x.whl", "http://127.0.0.1:80/x?y=z#sha256=1", "https://[::1]:8080/x", "https://a"],
        ["", "file:///etc/passwd", "ftp://a/x", "https://", "https:///x", "https://u:p@a/x", "https://u@a/x", "https://-a/x",
         "https://a/x y", "https://a/x\n", 'https://a/"', "https://a:b/x", "https://a:/x", "HTTPS://a/x", "-https://a/x",
         "https://a/{x}", "https://a/\\x"],
    ),
    "page": (
        ["https://a.example/whl/cpu/torch/", "http://127.0.0.1:80/a", "https://[::1]:8080/x/", "https://a", "https://a/x%2B1.html"],
        ["", "https://a/x?token=1", "https://a/x#y", "https://u:p@a/x/", "https://u@a/x/", "file:///x/", "https://a/'x'",
         "https://a/$x/", "https://a/x y", "https://a/x\n", 'https://a/"', "ftp://a/x/", "https:///x/", "https://a/(x)", "https://a/;x"],
    ),
    "git": (
        ["https://g.example/a/b.git", "http://g/a", "ssh://git@g.example:22/a", "ssh://g/a", "git@g.example:a/b.git",
         "file:///srv/a", "https://g", "https://g/a@b/~c", "user.name@g:a"],
        ["", "--upload-pack=touch x", "-x", ".", "/srv/a", "ext::sh -c id", "ext::sh", "ssh://-oProxyCommand=id/x",
         "ssh://-x@g/a", "git@-oProxyCommand=id:a", "git@g:-a", "-x@g:a", "file://host/a", "file:/a", "https://u@g/a",
         "https://g/a b", "https://g/a\nb", "https://g/$(id)", "https://g/'a'", "git://g/a", "fd::7", "g:a", "git@g",
         "git@a:b://c", "ftp://g/a", "https://g/a?b", "https://g/a#b", "git@[::1]:a", "ssh://a@b@c/d"],
    ),
    "path": (
        ["a", "a/b", "python/pkg-1", ".a", "..a", "a..", "a/...", "_x"],
        ["", "/", "/a", "a/", "a//b", "..", ".", "a/..", "../a", "a/../b", "a/./b", "-a", "a/-b", "a\\b", "a b", "a\n", 'a"'],
    ),
    "marker": (
        ["", "python_version < '3.12'", "sys_platform == \"linux\"", "(os_name == 'a' or extra == 'b') and 'c' in platform_version",
         "'a' not in platform_release", "python_full_version>='3.9'and os_name!='x'", "python_version  <  '3'", "extra == ''",
         "'a'not  in os_name", "platform_machine === 'x'", "os_name == 'it is \"so\"'", " os_name == 'a' ", "(" * 32 + "extra == 'a'" + ")" * 32],
        [" ", "python_version", "python_version <", "< '3'", "()", "(extra == 'a'", "extra == 'a')", "extra = 'a'",
         "x == 'a'", "__import__('os').system('id') == ''", "extra == 'a' extra == 'b'", "extra == 'a' and", "extra == 'a",
         "extra == 'a'\nRequires-Dist: b", "extra == 'a' ; extra == 'b'", "extra == 'é'", "not extra == 'a'", "extra not 'a'",
         "extra notin 'a'", "extra not inx 'a'", "(" * 33 + "extra == 'a'" + ")" * 33, "(" * 5000,
         " or ".join(["extra == 'a'"] * 2000), "extra == 'a' andx extra == 'b'", "extrax == 'a'", "extra << 'a'", "os.name == 'a'"],
    ),
    "Debian name": (["libc6", "libstdc++6", "a.b-c", "0ad"], ["", "a", "A1", "-ab", "a_b", "../a", "a b", 'ab"', "ab\n"]),
    "Debian version": (["1", "2.41-12+deb13u4", "1:2.3~rc1-1", "20250419"], ["", ":1", "1:", "a:1", "1 2", '1"', "1\n", "-1", "1:2:3", "../1"]),
    "Debian file": (
        ["pool/main/g/glibc/libc6_2.41-12+deb13u4_amd64.deb", "a.deb", "pool/a_1%3a2_all.deb"],
        ["", ".deb", "/a.deb", "a", "../a.deb", "a/../b.deb", "a//b.deb", "a b.deb", 'a".deb', "a.deb\n", "-a.deb", "a/.deb", "https://a/b.deb"],
    ),
    "image": (["ghcr.io/a/b", "localhost:5000/a", "[::1]:80/a"], ["", "-a", "--option", "a b", "a\n", 'a"', "a@b", "$(id)"]),
    "model file": (["config.json", "a/b c.bin", "a+b", "..a", "a/...", "é.bin"], ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "a\nb", "a\0"]),
    "repository": (["gpt2", "a/b-c.d", "_a/_b"], ["", "a/b/c", "../a", "a/..", "-a/b", "a/-b", "a b", "a/b?x", "a/", "/a", "a..b", "a\n"]),
    "architecture": (["amd64", "arm64", "all", "kfreebsd-amd64"], ["", "../x", "AMD64", "a b", "-a", "a\n", 'a"']),
    "archive": (["debian", "debian-security"], ["", "x", "debian\n", "debian-"]),
}  # fmt: skip
# Of uv.lock and of debian.lock.json, which Starlark doesn't read; tests/packages/test_uv_lock_strings.py has more, and compares them with uv.
UV_STRINGS = {
    "wheel": (
        ["a-1-py3-none-any.whl", "A_b.c-1!2.0+cu1-1b-cp311.cp312-abi3-manylinux_2_17_x86_64.whl"],
        ["", ".whl", "a-1.whl", "../a-1-py3-none-any.whl", "a-1-py3-none-any.whl\n", "a-1-py3-none-a%2Fb.whl", "a-1-py3-none-é.whl"],
    ),
    "file name": (["a", "a b", "é.zip", "...", "..a", "-x", "a%2Fb", "a" * 255], ["", ".", "..", "a/b", "/a", "a\\b", "a\0", "a\n", "\x7f", "a" * 256]),
    "hash": ([f"sha256:{H}", f"sha512:{H * 2}", "md5:ab"], ["", H, f"sha256:{H[:-1]}", f"sha256:{H}\n", f"sha256:{H.upper()}", "sha256:../x", "md5:/x", "x:ab"]),
    "address": (["https://h/x", "HTTP://u:p@h:80/é a?b#c"], ["", "h", "/x", "file:///x", "ftp://h/x", "https:/x", "https://h/\0", "https://h/\n", "https://h\\x"]),
    "place": (["", ".", "../é a", "/x", "C:/x", "-x"], ["a\\b", "a\0", "a\n", "\x7f", "https://h", "s3://h", "a" * 5000]),
    "registry": (["", "../x", "https://h/simple"], ["ftp://h", "a\\b", "a\0", "https://h/\n"]),
    "Debian request": (["git", "libc6=2.41-12+deb13u4", "g++=4:14.2*"], ["", "-o", "git=", "git=-x", "git=1 2", "git/sid", "git=1\n", "Git"]),
    "date": (["20260131T201530Z"], ["", "2026-01-31", "20260131T201530", "20260131T201530Z/..", "20260131T201530Z\n"]),
    "git source": ([f"https://h/x?a=b#{COMMIT}", f"ssh://git@h/x#{COMMIT}"], ["", "https://h/x", "https://h/x#main", f"git@h:x#{COMMIT}", f"--x#{COMMIT}", f"ext::x#{COMMIT}"]),
}  # fmt: skip


# Strings that Starlark accepts: they aren't names of repositories or files, or flags.
QUOTED = {"Debian name": ["a"], "Debian version": [":1", "1:", "a:1", "1:2:3"]}


@pytest.mark.parametrize("kind", STRINGS)
def test_strings_have_shapes(kind):
    right, wrong = STRINGS[kind]
    assert [text for text in right if not shapes.matches(kind, text)] == []
    assert [text for text in wrong if shapes.matches(kind, text)] == []
    if kind in SHAPES["_KINDS"]:
        assert [text for text in right if not SHAPES["matches"](kind, text)] == []
        assert [text for text in wrong if SHAPES["matches"](kind, text)] == QUOTED.get(kind, [])


@pytest.mark.parametrize("kind", UV_STRINGS)
def test_strings_of_uv_have_shapes(kind):
    right, wrong = UV_STRINGS[kind]
    assert [text for text in right if not shapes.matches(kind, text)] == []
    assert [text for text in wrong if shapes.matches(kind, text)] == []


def test_the_cases_cover_each_kind_of_string():
    kinds = {*STRINGS, *UV_STRINGS, "line", "platform"}
    assert kinds == shapes._KINDS.keys() | shapes._GRAMMARS.keys()
    assert STRINGS.keys() > SHAPES["_KINDS"].keys()


@pytest.mark.parametrize("kind", SHAPES["_KINDS"])
def test_starlark_accepts_what_python_accepts(kind):
    """Pieces of right and of wrong strings, joined."""
    draw = random.Random(kind)
    texts = [text for text in (*STRINGS[kind][0], *STRINGS[kind][1]) if len(text) < 200]
    for _ in range(4000):
        one, other = draw.choice(texts), draw.choice(texts)
        joint = draw.choice(["", "", *"-_.!+:/@ '\"=()1a\n"])
        text = one[: draw.randint(0, len(one))] + joint + other[draw.randint(0, len(other)) :]
        if shapes.matches(kind, text):
            assert SHAPES["matches"](kind, text), (kind, text)


def test_versions_are_those_of_pep_440():
    draw = random.Random(440)
    pieces = ["0", "1", "12", ".", ".", "a", "b", "rc", "post", "dev", "-", "_", "!", "+", "v", "alpha"]
    found = 0
    for _ in range(20000):
        text = "".join(draw.choices(pieces, k=draw.randint(1, 7)))
        try:
            Version(text)
        except InvalidVersion:
            assert not shapes.matches("version", text)
            continue
        found += 1
        assert shapes.matches("version", text), text
    assert found > 1000


def test_the_locks_of_this_repository_have_shapes():
    locks = ["tests/requirements.lock.json", "tools/locks/tools.lock.json", "tools/locks/transports.lock.json"]
    for path in locks:
        lock = json.loads(Path(path).read_text("utf-8"))
        shapes.check(lock, shapes.LOCK, path, "")
    lock = json.loads(Path("tests/registry/debian.lock.json").read_text("utf-8"))
    shapes.check(lock, shapes.DEB_LOCK, "x", "")
    assert SHAPES["deb_lock_problem"](lock) is None


def test_an_absent_hub_has_labels():
    """Nothing fails while BUILD files are loaded, so that the target that writes the lock can be run."""
    names = {"Label": str}
    exec(starlark_files.load("private/repositories/absent.bzl")["_NO_REQUIREMENTS"], names)
    labels = [names["requirement"](name) for name in ("numpy", "Scikit-Learn", "a.b")]
    assert labels == ["//numpy", "//scikit_learn", "//a_b"]
    assert names["all_requirements"] == []


def test_text_of_build_files_is_quoted():
    names = starlark_files.load("private/repositories/build_text.bzl")
    hostile = '3.10", tags = ["no-sandbox"], x = "\n{version}'
    text = names["target_text"](
        "rule", {"chosen": names["select_text"]({"a": hostile}, hostile)}, version=hostile, more=[hostile]
    )
    found = {}
    calls = {
        "rule": lambda **values: found.update(values),
        "select": lambda cases, no_match_error: (cases, no_match_error),
    }
    exec(text, calls)
    chosen = {"@rules_bento//toolchains/platforms:is_a": hostile}
    assert found == {"version": hostile, "more": [hostile], "chosen": (chosen, hostile)}


def test_messages_have_no_secrets():
    shown = starlark_files.load("private/repositories/build_text.bzl")["without_secrets"]
    for text in (
        "https://u:s3cret@h.example/x?t=s3cret y",
        "`https://s3cret@h.example?s3cret`",
        "a https://h.example/a?b=s3cret, https://u:s3cr?s3cret@h.example/x",
        "plain",
    ):
        assert "s3cr" not in shown(text), shown(text)
        assert text == "plain" or "h.example" in shown(text)
    assert shown("git@g:a https://h/x#y z") == "git@g:a https://h/x#y z"
