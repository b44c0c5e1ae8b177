"""The manifest: what it says of files, its text, and the identity that follows from it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from rules_bento.base.errors import BentoError
from rules_bento.bentos.sources import tree_manifest
from rules_bento.bentos.sources.tree_manifest import TreeEntry, TreeManifest, content_version

TREE = TreeManifest.of([
    TreeEntry.of_bytes("src/run.sh", b"#!/bin/sh\n"),
    TreeEntry.of_link("src/link", "run.sh"),
    TreeEntry.of_bytes("README.md", b"hello\n"),
    TreeEntry.of_bytes("src/é \u2028.txt", b""),
])  # fmt: skip


def test_text() -> None:
    assert TREE.to_json() == (
        "[\n"
        '{"path":"README.md","size":6,"mode":"0644",'
        '"blake3":"8e4c7c1b99dbfd50e7a95185fead5ee1448fa904a2fdd778eaf5f2dbfd629a99"},\n'
        '{"path":"src/link","link":"run.sh"},\n'
        '{"path":"src/run.sh","size":10,"mode":"0755",'
        '"blake3":"bc1f407a11c9377c8b9b13f956b279c8462775105eb958fc9ae3c40de87cc96e"},\n'
        '{"path":"src/é \u2028.txt","size":0,"mode":"0644",'
        '"blake3":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"}\n'
        "]\n"
    )
    assert TreeManifest.of([]).to_json() == "[]\n"


@pytest.mark.parametrize("tree", [TREE, TreeManifest.of([])])
def test_text_is_read_back(tree: TreeManifest) -> None:
    assert TreeManifest.from_json(tree.to_json(), "m.json") == tree


def test_machine_code_is_reported_and_does_not_change_the_tag(tmp_path: Path) -> None:
    content = b"\x7fELF\2\1\1" + bytes(9) + b"\3\0\267\0"
    (tmp_path / "a.so").write_bytes(content)
    tree = TreeManifest.of([TreeEntry.of_file("a.so", str(tmp_path / "a.so"), "srcs")])
    assert '"machine":"arm64"' in tree.to_json()
    assert TreeManifest.from_json(tree.to_json(), "m.json").under("src").entries[0].machine == "arm64"
    assert tree.identity() == TreeManifest.of([TreeEntry.of_bytes("a.so", content)]).identity()
    assert tree == TreeManifest.of([TreeEntry.of_bytes("a.so", content)])


@pytest.mark.parametrize("text", ["", "{}x", "[1]", '["a"]', '[{"path":"a"}]', '[{"path":"a","mode":"rw","size":1}]'])
def test_text_of_something_else(text: str) -> None:
    with pytest.raises(BentoError, match=r"^m\.json: invalid manifest \(.*\)\. Build the target again\.$"):
        TreeManifest.from_json(text, "m.json")


def test_two_entries_at_one_path() -> None:
    with pytest.raises(BentoError, match=r"^two files have the path a\. Remove or exclude one"):
        TreeManifest.of([TreeEntry.of_bytes("a", b""), TreeEntry.of_link("a", "b")])


def test_under() -> None:
    source = TreeManifest.of([TreeEntry.of_bytes("b", b"1"), TreeEntry.of_link("a", "b")]).under("src")
    assert source == TreeManifest.of([TreeEntry.of_bytes("src/b", b"1"), TreeEntry.of_link("src/a", "b")])


def test_identity_is_what_the_docstring_says() -> None:
    digests = {entry.path: entry.blake3 for entry in TREE.entries}
    fields = ["bento-tree-1", "f", "README.md", digests["README.md"], "l", "src/link", "run.sh"]
    fields += ["x", "src/run.sh", digests["src/run.sh"], "f", "src/é \u2028.txt", digests["src/é \u2028.txt"]]
    assert TREE.identity() == blake3("".join(f"{field}\0" for field in fields).encode()).digest()
    assert TREE.identity().hex() == "c33b03ca1c3b1d292c57d82bd57ebfc0843ad9d634ff75a47d4e2194c26a6b87"


names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=6)
entries = st.one_of(
    st.builds(TreeEntry.of_bytes, names, st.binary(max_size=4).map(lambda data: b"#!" + data)),
    st.builds(TreeEntry.of_bytes, names, st.binary(max_size=4)),
    st.builds(TreeEntry.of_link, names, names),
)
trees = st.lists(entries, max_size=4, unique_by=lambda entry: entry.path).map(TreeManifest.of)


@given(one=trees, other=trees)
def test_identity_tells_trees_apart(one: TreeManifest, other: TreeManifest) -> None:
    assert (one.identity() == other.identity()) is (one == other)
    assert TreeManifest.from_json(one.to_json(), "m.json") == one


def test_no_path_holds_a_nul() -> None:
    with pytest.raises(BentoError, match="NUL"):
        TreeManifest.of([TreeEntry.of_link("a\0b", "c")]).identity()


def test_version() -> None:
    assert content_version(bytes(32)) == "a" * 32
    assert content_version(bytes(range(32))) == "aaaqeayeaudaocajbifqydiob4ibceqt"
    version = content_version(TREE.identity())
    assert re.fullmatch(r"[a-z2-7]{32}", version)
    assert re.fullmatch(r"[a-z0-9]([-._a-z0-9]*[a-z0-9])?", version)  # BentoML's own test of a version


@pytest.mark.parametrize(
    ("content", "mode"),
    [(b"#!/bin/sh\n", 0o755), (b"\x7fELF\x02", 0o755), (b" #!/bin/sh\n", 0o644), (b"#", 0o644), (b"", 0o644)],
)
@pytest.mark.parametrize("on_disk", [0o444, 0o555, 0o600, 0o777])
def test_mode_follows_from_the_content_only(tmp_path: Path, content: bytes, mode: int, on_disk: int) -> None:
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "a").chmod(on_disk)
    entry = TreeEntry.of_file("bin/a", str(tmp_path / "a"), "//svc:bento")
    assert entry == TreeEntry.of_bytes("bin/a", content)
    assert entry.mode == mode


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 5000])
def test_large_files_hash_as_small_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(tree_manifest, "_PIECE", 100)
    content = b"#!" + bytes(size)
    (tmp_path / "a").write_bytes(content)
    assert TreeEntry.of_file("a", str(tmp_path / "a"), "//svc:bento") == TreeEntry.of_bytes("a", content)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the peak")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """The process itself says its peak: for getrusage the one of its parent counts."""
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(400 << 20)
    program = """
import sys
sys.path[:0] = sys.argv[2:]
from rules_bento.bentos.sources.tree_manifest import TreeEntry
TreeEntry.of_file("weights", sys.argv[1], "//svc:bento")
print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "weights"), *sys.path]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(told.split()[1]) < 60 << 10  # in KiB


def test_large_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_manifest, "_PIECE", 2)
    (tmp_path / "a").write_bytes(b"123")
    monkeypatch.setattr(os, "readv", lambda _file, _buffers: 0)
    with pytest.raises(BentoError, match="changed during the build"):
        TreeEntry.of_file("a", str(tmp_path / "a"), "//svc:bento")


def test_file_that_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"12")
    monkeypatch.setattr(os, "read", lambda _file, _size: b"123")
    with pytest.raises(BentoError, match=r"^a \(from //svc:bento\) changed during the build\. Run the build again\.$"):
        TreeEntry.of_file("a", str(tmp_path / "a"), "//svc:bento")
