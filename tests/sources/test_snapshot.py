"""Which files get into a Bento: BentoML's golden matrix, placement, and what is refused."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.build_options.bentofile import unmatched_patterns
from rules_bento.bentos.build_options.options import BuildOptions
from rules_bento.bentos.sources.snapshot import DeclaredFile, digest, place, require_kept, select, walk

MATRIX = json.loads((Path(__file__).parents[1] / "golden" / "include_matrix.json").read_text(encoding="utf-8"))


def write(root: Path, path: str, content: bytes = b"") -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


@pytest.fixture
def matrix_tree(tmp_path: Path) -> Path:
    for path in (*MATRIX["tree_files"], "bentofile.yaml"):
        write(tmp_path, path)
    for directory in MATRIX["tree_empty_dirs"]:
        (tmp_path / directory).mkdir()
    for path, target in MATRIX["tree_symlinks"].items():
        (tmp_path / path).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize("case", MATRIX["cases"], ids=lambda case: case["id"])
def test_golden_matrix(case: dict[str, Any], matrix_tree: Path) -> None:
    for path, text in case.get("bentoignore", {}).items():
        write(matrix_tree, path, text.encode())
    selection = select(
        list(walk(str(matrix_tree))),
        case.get("include", ["*"]),
        case.get("exclude", []),
        src_layout=case.get("python", {}).get("is_src_layout", False),
    )
    expected = set(case["files"])
    if case["bentofile_yaml"] == "generated":
        expected.remove("bentofile.yaml")
    assert [file.path for file in selection.kept] == sorted(expected)
    assert {file.path: file.link for file in selection.kept if file.link} == case["symlinks"]


def test_matrix_reads_declared_ignore_files_only(matrix_tree: Path) -> None:
    write(matrix_tree, ".bentoignore", b"*.csv\n")
    files = list(walk(str(matrix_tree)))
    without = [file for file in files if file.path != ".bentoignore"]
    assert "data.csv" in {file.path for file in select(without).kept}
    assert "data.csv" not in {file.path for file in select(files).kept}


def declared(path: str, origin: str = "//svc:bento", **changes: Any) -> DeclaredFile:
    return DeclaredFile(path, changes.pop("source", f"svc/{path}"), origin, **changes)


def kept(*files: DeclaredFile, **lists: Any) -> list[str]:
    return [file.path for file in select(files, **lists).kept]


def test_order_is_that_of_utf8() -> None:
    names = ["b", "a/b", "a-b", "é", "\U0001f600", "\ufb01", "B", "a b"]
    assert kept(*map(declared, names)) == sorted(names, key=str.encode)


def test_no_pattern_applies_to_dependencies(tmp_path: Path) -> None:
    write(tmp_path, ".bentoignore", b"lib/\n")
    always = ["lib/.DS_Store", "lib/.git/HEAD", "lib/__pycache__/a.pyc", "lib/venv/lib/a.txt"]
    files = [
        *(declared(path, "//lib", filtered=False) for path in always),
        declared(".bentoignore", source=str(tmp_path / ".bentoignore")),
        declared("lib/a.py", "//lib", filtered=False),
        declared("lib/b.py"),
        declared("lib/__pycache__/b.pyc"),
        declared("x/.bentoignore", "//lib", filtered=False, source="nowhere"),
    ]
    assert kept(*files, include=["x"], exclude=["lib/"]) == sorted([*always, "lib/a.py", "x/.bentoignore"])


@pytest.mark.parametrize(
    ("one", "other", "exclude", "paths"),
    [
        (declared("a.py"), declared("a.py", "//other:bento", source="svc/a.py"), [], ["a.py"]),
        (declared("a.py"), declared("a.py", "//lib", source="lib/a.py", filtered=False), ["a.py"], ["a.py"]),
        (declared("A.py"), declared("a.py"), [], ["A.py", "a.py"]),
    ],
    ids=["one source twice", "one of two is kept", "case"],
)
def test_two_files_can_have_equal_names(one, other, exclude, paths) -> None:
    assert kept(one, other, exclude=exclude) == paths


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([declared("a.py"), declared("a.py", "//lib", source="lib/a.py")], r"two files have the path a\.py .*: svc/a\.py \(from //svc:bento\) and lib/a\.py \(from //lib\)\. Remove"),
        ([declared("a"), declared("a-b"), declared("a/b/c", "//lib")], r"a \(from //svc:bento\) is a file, but a/b/c \(from //lib\) requires a directory with this path\. Rename"),
        ([declared("/etc/passwd")], r"//svc:bento declares '/etc/passwd', which is absolute or outside"),
        ([declared("a/../../b")], r"//svc:bento declares 'a/\.\./\.\./b', which is absolute or outside"),
        ([declared("./a")], r"declares '\./a'.* relative path without '\.' and '\.\.'"),
        ([declared("a//b")], r"declares 'a//b'"),
        ([declared("")], r"declares ''"),
        ([declared("caf\udce9.py")], r"declares 'caf\\udce9\.py', which isn't valid UTF-8\. Rename or"),
        ([declared("a\nb.py")], r"declares 'a\\nb\.py', which contains a line break"),
        ([declared("l", link="a\udce9")], r"declares 'l -> a\\udce9', which isn't valid UTF-8"),
        ([declared("l", link="/etc/passwd")], r"l \(from //svc:bento\) is a link to '/etc/passwd', .* absolute"),
        ([declared("a/l", link="../../b")], r"a/l .* is a link to '\.\./\.\./b', which .* outside the Bento\. Replace"),
        ([declared("l", link="..")], r"which is absolute or outside"),
        ([declared("bml/bin/python", link="/usr/bin/python3"), declared("bml/pyvenv.cfg")], r"bml is a virtual environment\. .* add the line `bml/` to \.bentoignore"),
        ([declared("l", link="")], r"which is absolute or outside"),
        ([declared("l", link="gone")], r"l .* is a link to 'gone', but gone is missing\. Add gone .*, or exclude"),
        ([declared("l", link="m"), declared("m", link="l")], r"is a circular link to '.'\. Exclude"),
        ([declared("l", link="l")], r"circular"),
        ([declared(".bentoignore"), declared(".bentoignore", "//b", source="b")], r"two files have .*bentoignore"),
        ([declared(".bentoignore", link="/etc/passwd")], r"\.bentoignore .* is a link to '/etc/passwd', .* absolute"),
        ([declared(".bentoignore", link="a"), declared("a", link="/x")], r"a .* is a link to '/x', .* absolute"),
        ([declared(".bentoignore", link="a"), declared("a", link="a")], r"\.bentoignore .* which doesn't exist"),
        ([declared(".bentoignore", link="a/b")], r"\.bentoignore .* which doesn't exist\. Replace the link with a file"),
        ([declared(".bentoignore", source="nowhere")], r"\.bentoignore \(from //svc:bento\) can't be read: No such"),
        ([declared(".bentoignore", source=".")], r"\.bentoignore .* can't be read: not a regular file"),
    ],
)  # fmt: skip
def test_rejected_files(files: list[DeclaredFile], message: str) -> None:
    with pytest.raises(BentoError, match=message):
        select(files)


@pytest.mark.parametrize("name", ["caf\udce9.py", "a\nb.py"])
def test_bad_names_may_be_excluded(name: str) -> None:
    assert kept(declared(name), declared("a"), exclude=["*.py"]) == ["a"]


@pytest.mark.parametrize(
    ("files", "exclude"),
    [
        ([declared("a/l", link="../b"), declared("b")], []),
        ([declared("l", link="m"), declared("m", link="./b"), declared("b")], []),
        ([declared("l", link="b"), declared("b")], ["b"]),  # as the golden matrix has it
        ([declared("l", link="venv/bin/python")], []),
    ],
)
def test_links_inside(files: list[DeclaredFile], exclude: list[str]) -> None:
    assert kept(*files, exclude=exclude) == sorted({file.path for file in files} - {*exclude})


def test_ignore_file_that_is_not_utf8(tmp_path: Path) -> None:
    write(tmp_path, ".bentoignore", b"caf\xe9\n")
    with pytest.raises(BentoError, match=r"\.bentoignore \(from .*\) isn't valid UTF-8\. Save the file as UTF-8"):
        select(list(walk(str(tmp_path))))


def test_unreadable_patterns_name_their_place(tmp_path: Path) -> None:
    write(tmp_path, "pkg/.bentoignore", b"*.csv\n!\n")
    with pytest.raises(BentoError, match=r"^line 2 of pkg/\.bentoignore: invalid pattern '!': "):
        select(list(walk(str(tmp_path))))
    with pytest.raises(BentoError, match=r"^pattern 1 of exclude: invalid pattern 'a\\\\': "):
        select([], exclude=["a\\"])
    with pytest.raises(BentoError, match=r"^include: '\.\./lib' is outside the build context\. Use a parent directory"):
        select([], include=["*.py", "../lib"])


@pytest.mark.parametrize(
    ("include", "idle"),
    [
        (["*"], []),
        (["*.py", "data/**", "gone.py"], [3]),
        (["./service.py", "/service.py", "Service.py"], [1, 3]),
        (["*.pt", "# a comment", "", "!*.pt", "data", "data/", "service.py/"], [1, 4, 7]),
        (["[ab]bc", "data/*.csv", "*.csv"], [1]),
        (["lib.py"], [1]),
    ],
)
def test_patterns_of_include_that_match_nothing(include: list[str], idle: list[int]) -> None:
    """What exclude drops was matched; of dependencies from elsewhere no pattern decides."""
    files = [declared("service.py"), declared("data/a.csv"), declared("lib.py", filtered=False)]
    selection = select(files, include=include, exclude=["*.csv"])
    assert [rule.number for rule in selection.idle] == idle


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("./secret.key", "secret.key"),
        ("./", "*"),
        ("!./secret.key", "!secret.key"),
        ("lib\\private", "lib/private"),
        ("lib//private/", "lib/private/"),
        ("lib/./private", "lib/private"),
        ("secret.key/", "secret.key"),
        ("secret.key  # of the team", "secret.key"),
        ("'secret.key'", "secret.key"),
        ("  secret.key", "secret.key"),
        ("secrt.key", "secret.key"),
        ("Secret.key", "secret.key"),
        ("privat/", "private/"),
        ("tests/", ""),
        ("lib\\none", ""),
        ("[!", None),  # not a pattern
        ("__pycache__/", None),  # always excluded
        ("*.py[cod]", None),
        ("*.key", None),
        ("lib", None),
    ],
)
def test_patterns_that_exclude_nothing(tmp_path: Path, pattern: str, hint: str | None) -> None:
    """BentoML accepts them in silence, and the file that was meant is in the Bento."""
    paths = ["service.py", "secret.key", "lib/private/a.txt"]
    for path in paths:
        write(tmp_path, path)
    (tmp_path / ".bentoignore").write_text(f"# mine\n{pattern}\n")
    for where, selection in (
        (".bentoignore:2", select(list(walk(str(tmp_path))))),
        ("exclude[1]", select(list(map(declared, paths)), exclude=["# mine", pattern])),
    ):
        notes = unmatched_patterns(selection, BuildOptions(), "the project")
        if hint:
            assert notes == [f"{where}: {pattern!r} matches no file in the project. Did you mean {hint!r}?"]
        elif hint == "":
            origin = where.partition(":")[0].partition("[")[0]
            assert notes == [f"{origin}: no file in the project matches {pattern!r}."]
        else:
            assert notes == []


@pytest.mark.parametrize("lines", ["*.log\n*$py.class\n.mypy_cache\n", "a\nb\nc\nd\ne\nf\n"])
def test_ignore_files_from_templates_are_not_reported(tmp_path: Path, lines: str) -> None:
    """Most public projects have one."""
    write(tmp_path, "service.py")
    (tmp_path / ".bentoignore").write_text(lines)
    assert unmatched_patterns(select(list(walk(str(tmp_path)))), BuildOptions(), "srcs") == []
    (tmp_path / ".bentoignore").write_text(f"{lines}./service.py\n")
    [note] = unmatched_patterns(select(list(walk(str(tmp_path)))), BuildOptions(), "srcs")
    assert note.endswith("'./service.py' matches no file in srcs. Did you mean 'service.py'?")
    selection = select([declared("service.py")], exclude=lines.split())
    assert unmatched_patterns(selection, BuildOptions(), "srcs")[0].startswith("exclude: no file in srcs matches '")


def test_unused_patterns_of_nested_ignore_files(tmp_path: Path) -> None:
    """A pattern of a file that another list excludes, and a pattern that another one cancels, aren't unused."""
    for name in "abd":
        write(tmp_path, f"pkg/{name}.txt")
    (tmp_path / "pkg/.bentoignore").write_text("b.txt\nc.txt\n./d.txt\na.txt\n!a.*\n!e.txt\n")
    selection = select(list(walk(str(tmp_path))), include=["pkg/", "!pkg/b.txt"], exclude=["b.*", "!b.py"])
    assert unmatched_patterns(selection, BuildOptions(), "srcs") == [
        "pkg/.bentoignore:3: './d.txt' matches no file in srcs. Did you mean 'd.txt'?",
        "pkg/.bentoignore: no file in srcs matches 'c.txt'.",
    ]


def test_many_patterns_that_match_nothing_are_reported_in_time() -> None:
    patterns = [f"data/{number:05}/*.csv" for number in range(2_000)] + ["x" * 100_000]
    files = [declared(f"data/{number}.csv") for number in range(200)]
    before = time.process_time()
    notes = unmatched_patterns(select(files, include=patterns), BuildOptions(), "srcs")
    assert time.process_time() - before < 5
    assert len(notes) == 21
    assert re.fullmatch(r"include: no file in srcs matches 'data/00020/\*.csv', .*, or 1976 more patterns\.", notes[-1])
    notes = unmatched_patterns(select(files, exclude=patterns), BuildOptions(), "srcs")
    assert time.process_time() - before < 5
    assert [note.partition("'")[0] for note in notes] == ["exclude: no file in srcs matches "]


def test_src_layout_rejects_what_it_would_overwrite() -> None:
    with pytest.raises(BentoError, match=r"two files have the path a\.py"):
        select([declared("a.py"), declared("src/a.py")], src_layout=True)
    dependency = declared("src/a.py", "//lib", filtered=False)
    assert [file.path for file in select([dependency], src_layout=True).kept] == ["src/a.py"]


def test_require_kept() -> None:
    selection = select([declared("service.py"), declared("old.py")], exclude=["*.txt", "old*"])
    what = "service 'service:Iris'"
    assert require_kept(selection, ["service/__init__.py", "service.py"], what=what).path == "service.py"
    message = rf"^{what} requires old\.py \(from //svc:bento\), but pattern 2 of exclude \('old\*'\) excludes"
    with pytest.raises(BentoError, match=message):
        require_kept(selection, ["old.py", "old/__init__.py"], what=what)
    with pytest.raises(BentoError, match=r"requires new\.py or new/__init__\.py, which isn't declared\. Add the file"):
        require_kept(selection, ["new.py", "new/__init__.py"], what=what)
    selection = select([declared("src/old.py"), declared("lib/old.py")], exclude=["old.py"], src_layout=True)
    with pytest.raises(
        BentoError, match=rf"^{what} requires src/old\.py \(from //svc:bento\), but pattern 1 of exclude"
    ):
        require_kept(selection, ["old.py"], what=what)


@pytest.mark.parametrize(
    ("short_path", "build_ctx", "expected"),
    [
        ("svc/a.py", "svc", "a.py"),
        ("svc/a.py", "svc/", "a.py"),
        ("svc/a.py", "", "svc/a.py"),
        ("svc/a.py", ".", "svc/a.py"),
        ("svc/lib/src/pkg/a.py", "svc", "lib/src/pkg/a.py"),
        ("../foo+/svc/a.py", "../foo+/svc", "a.py"),
        ("../foo+/svc/a.py", "../foo+", "svc/a.py"),
    ],
)
def test_place(short_path: str, build_ctx: str, expected: str) -> None:
    assert place(short_path, build_ctx=build_ctx, attribute="srcs", label="//svc:bento") == expected


@pytest.mark.parametrize(
    ("short_path", "build_ctx", "attribute", "message"),
    [
        ("lib/a.py", "svc", "srcs", r"^//svc:bento: srcs contains 'lib/a\.py', which is outside the .*context 'svc'\. Set build_ctx .* deps"),
        ("svc2/a.py", "svc", "data", r"^//svc:bento: data contains 'svc2/a\.py', which is outside"),
        ("../foo+/a.py", "", "srcs", r"^//svc:bento: srcs contains '\.\./foo\+/a\.py', which is outside"),
        ("/etc/passwd", "", "data", r"^//svc:bento: data contains '/etc/passwd', which is absolute"),
        ("svc/../../a.py", "", "srcs", r"^//svc:bento: srcs contains 'svc/\.\./\.\./a\.py', which is absolute or"),
        ("../foo+", "", "data", r"contains '\.\./foo\+'"),
        ("a.py", "/svc", "srcs", r"^build_ctx: '/svc' is absolute or outside the repository\. Use a"),
        ("a.py", "svc/..", "srcs", r"^build_ctx: 'svc/\.\.' is"),
        ("a.py", "../foo+/..", "srcs", r"^build_ctx: '\.\./foo\+/\.\.' is"),
        ("svc/a.py", "../foo+/svc", "srcs", r"srcs contains 'svc/a\.py', which is outside the build context '\.\./foo"),
    ],
)  # fmt: skip
def test_rejected_places(short_path: str, build_ctx: str, attribute: str, message: str) -> None:
    with pytest.raises(BentoError, match=message):
        place(short_path, build_ctx=build_ctx, attribute=attribute, label="//svc:bento")


def test_walk_of_odd_entries(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "in").symlink_to("./a")
    write(tmp_path, "a")
    write(tmp_path, "venv/a")
    os.mkfifo(tmp_path / "pipe")
    os.close(os.open(os.fsencode(tmp_path) + b"/caf\xe9", os.O_CREAT))
    files = {file.path: file.link for file in walk(str(tmp_path))}
    assert files == {"gone": "nowhere", "round": "round", "in": "./a", "a": None, "pipe": None, "caf\udce9": None}
    assert kept(*walk(str(tmp_path)), include=["in", "a"]) == ["a", "in"]
    for include, message in (("gone", "nowhere is missing"), ("round", "circular"), ("caf*", "isn't valid UTF-8")):
        with pytest.raises(BentoError, match=message):
            select(list(walk(str(tmp_path))), [include])
    with pytest.raises(BentoError, match=r"pipe \(from .*\) is a special file"):
        digest(select(list(walk(str(tmp_path))), ["pipe"]).kept)


def test_walk_of_no_directory(tmp_path: Path) -> None:
    write(tmp_path, "a")
    for directory, remark in ((tmp_path / "a", "Not a directory"), (tmp_path / "b", "No such file or directory")):
        with pytest.raises(BentoError, match=rf"{directory}: cannot read the directory: {remark}"):
            list(walk(str(directory)))


def test_walk_follows_a_linked_root(tmp_path: Path) -> None:
    write(tmp_path, "real/pkg/a.py")
    (tmp_path / "linked").symlink_to("real")
    assert [file.path for file in walk(str(tmp_path / "linked"))] == ["pkg/a.py"]


def test_digest_does_not_depend_on_order_or_place(tmp_path: Path) -> None:
    for directory in ("one", "two"):
        for index in range(20):
            write(tmp_path, f"{directory}/pkg_{index % 3}/m{index}.py", b"x" * index)
        (tmp_path / directory / "link").symlink_to("pkg_0/m0.py")
    (tmp_path / "two/pkg_0/m0.py").chmod(0o700)
    files = [list(walk(str(tmp_path / directory))) for directory in ("one", "two")]
    one, two = digest(select(files[0]).kept), digest(select(files[1][::-1]).kept)
    assert one == two
    assert len(one.entries) == 21


@pytest.mark.parametrize("end", ["\n", "\r\n"])  # with core.autocrlf
def test_a_pointer_of_git_lfs_is_rejected(end: str, tmp_path: Path) -> None:
    """Bentos and programs have a digest, and so do files of `--file`."""
    pointer = f"version https://git-lfs.github.com/spec/v1{end}oid sha256:{'a' * 64}{end}size 5{end}"
    (tmp_path / "large.bin").write_text(pointer + " " * 1024)  # not a pointer
    (tmp_path / "notes.txt").write_text(f"A pointer: {pointer}")
    digest(walk(str(tmp_path)))
    (tmp_path / "model.bin").write_bytes(pointer.encode())
    with pytest.raises(BentoError, match=r"^model.bin \(from .*\) is a pointer of Git LFS.* Run `git lfs pull`, or"):
        digest(walk(str(tmp_path)))


def test_digest_of_a_directory(tmp_path: Path) -> None:
    message = r"data \(from //svc:bento\) is a directory, not a regular file\. Replace or exclude data\."
    with pytest.raises(BentoError, match=message):
        digest([declared("data", source=str(tmp_path))])


def test_digest_of_what_is_gone(tmp_path: Path) -> None:
    with pytest.raises(BentoError, match=r"a \(from //svc:bento\) can't be read at .*/a: No such file or directory\."):
        digest([declared("a", source=str(tmp_path / "a"))])
