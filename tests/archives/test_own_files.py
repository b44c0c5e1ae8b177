"""Nothing outside of a directory is written or removed, whatever the names, digests, and links in it."""

import os
import stat
from pathlib import Path

import pytest
from rules_bento.base import own_files
from rules_bento.base.archives import archive
from rules_bento.base.archives.atomic import atomic_dir, atomic_file, replace_file
from rules_bento.base.archives.tarstream import Member
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import blob_path
from rules_bento.base.own_files import TreeWriter, digest_path, own_directory, remove
from rules_bento.bentos.sources import snapshot

HEX = "0123456789abcdef" * 4
DIGESTS = ["", HEX[:-1], f"{HEX}0", HEX.upper(), f"{HEX}\n", f" {HEX}", f"/{HEX}", f"{HEX}/..", "../" * 20 + "a" * 4]
DIGESTS += [
    f"{HEX[:-1]}/",
    f"{HEX[:-1]}\0",
    f"{HEX[:-1]}g",
    f"sha256:../{HEX}",
    f"sha256/../:{HEX}",
    "sha256:/etc/passwd",
]
DIGESTS += [
    f"sha512:{HEX}",
    f"md5:{HEX}",
    f"{HEX[:-1]}\N{FULLWIDTH DIGIT ONE}",
    f"{HEX[:-1]}\N{ARABIC-INDIC DIGIT ONE}",
]
OUTSIDE = [
    "",
    "/",
    "/abs",
    "..",
    "../up",
    "a/../../up",
    "a/..",
    ".",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "//a",
    "nul\0",
    "d/nul\0/x",
]
INSIDE = [
    "a",
    "A",
    "..a",
    "...",
    "a\\..\\..\\up",
    "C:\\up",
    "~",
    "-rf",
    "a b",
    "line\nbreak",
    "\x1b[2J",
    "\u202eup",
    "é",
    "x" * 255,
]
INSIDE += ["\udce9", "d/e/f", "%2e%2e/up", "\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/up", "con", "a.part"]


@pytest.fixture
def place(tmp_path):
    """The directory to write to. Next to it is what a name or link could reach."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/file").write_bytes(b"important")
    directory = tmp_path / "own/directory"
    directory.mkdir(parents=True)
    yield directory
    assert {path.name for path in tmp_path.iterdir()} == {"victim", "own"}
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["directory"]
    assert [path.name for path in (tmp_path / "victim").iterdir()] == ["file"]
    assert (tmp_path / "victim/file").read_bytes() == b"important"
    assert stat.S_IMODE((tmp_path / "victim").stat().st_mode) == 0o755 & ~umask()


def umask():
    value = os.umask(0)
    os.umask(value)
    return value


@pytest.mark.parametrize("digest", DIGESTS)
def test_what_is_no_digest_makes_no_path(place, digest):
    for make in (lambda: digest_path(place, digest), lambda: blob_path(digest)):
        with pytest.raises(BentoError, match="isn't a digest"):
            make()


def test_a_digest_is_the_name_of_a_file(place):
    assert digest_path(place, HEX) == place / HEX
    assert digest_path(place, f"sha256:{HEX}", ".json") == place / f"{HEX}.json"
    assert blob_path(f"sha256:{HEX}") == f"blobs/sha256/{HEX}"
    assert blob_path(f"sha512:{HEX * 2}") == f"blobs/sha512/{HEX * 2}"


WAYS = {
    "file": lambda tree, name: tree.file(name, [b"x"]),
    "directory": lambda tree, name: tree.directory(name, 0o700),
    "link": lambda tree, name: tree.link(name, "x"),
    "copy": lambda tree, name: tree.copy(name, Path(__file__)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("name", OUTSIDE, ids=ascii)
def test_a_name_that_could_lead_outside_is_refused(place, name, way):
    with TreeWriter(place) as tree, pytest.raises(BentoError, match="isn't relative and normalized"):
        way(tree, name)
    assert not list(place.iterdir())


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("name", INSIDE, ids=ascii)
def test_every_other_name_is_in_the_directory(place, name, way):
    with TreeWriter(place) as tree:
        way(tree, name)
        if way is not WAYS["directory"]:
            with pytest.raises(FileExistsError):
                way(tree, name)
    assert [path.name for path in place.iterdir()] == [name.partition("/")[0]]
    assert os.path.lexists(place / name)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("link", ["a", "a/b", "a/b/c"])
@pytest.mark.parametrize("target", ["victim", "victim/file", "missing"])
def test_no_link_is_followed(tmp_path, place, way, link, target):
    """In place of a parent, or of the file."""
    (place / link).parent.mkdir(parents=True, exist_ok=True)
    (place / link).symlink_to(tmp_path / target)
    with TreeWriter(place) as tree, pytest.raises(OSError, match="File exists|Not a directory|symbolic links"):
        way(tree, "a/b/c")
    with TreeWriter(place) as tree:
        tree.file("other/file", [b"x"])
        with pytest.raises(OSError, match="File exists|Not a directory|symbolic links"):
            way(tree, "a/b/c")
        tree.file("after", [b"x"])  # after an error, paths begin at the directory again
    assert (place / "after").is_file()


def test_the_directory_itself_is_no_link(tmp_path, place):
    (place / "link").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="Not a directory|symbolic links"):
        TreeWriter(place / "link")


def test_files_have_modes_and_contents(place):
    before = set(Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").is_dir() else None
    with TreeWriter(place / "new/directory") as tree:
        tree.file("a/b", [b"1", memoryview(b"2")], 0o755)
        tree.file("a/c", iter([b""]))
        tree.directory("a/d/e", 0o750)
        tree.copy("x", place / "new/directory/a/b")
        tree.link("a/l", "../x")
    root = place / "new/directory"
    modes = {name: stat.S_IMODE((root / name).stat().st_mode) for name in ("a/b", "a/c", "a/d/e", "x")}
    assert modes == {"a/b": 0o755, "a/c": 0o666 & ~umask(), "a/d/e": 0o750, "x": 0o755}
    assert (root / "a/l").read_bytes() == b"12"
    assert before is None or set(Path("/proc/self/fd").iterdir()) == before


def test_a_temporary_directory_belongs_to_the_user_alone(tmp_path, monkeypatch):
    with own_directory("x-", tmp_path) as directory:
        assert directory.parent == tmp_path
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        (directory / "link").symlink_to(tmp_path)
        (directory / "a").write_text("")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(BentoError, match="other users can change it. Set TMPDIR"), own_directory("x-", tmp_path):
        pass
    monkeypatch.undo()
    monkeypatch.setattr(own_files.Path, "lstat", lambda _: Path("/").stat())
    with pytest.raises(BentoError, match="other users can change it. Set TMPDIR"), own_directory("x-", tmp_path):
        pass


def test_removal_follows_no_link(tmp_path, place):
    (place / "link").symlink_to(tmp_path / "victim")
    (place / "tree/below").mkdir(parents=True)
    (place / "tree/below/link").symlink_to(tmp_path / "victim")
    (place / "file").write_bytes(b"")
    for name in ("link", "tree", "file", "missing"):
        remove(place / name)
        remove(place / name, ignores_errors=True)
    assert not list(place.iterdir())


def test_an_output_replaces_a_link_or_refuses_it(tmp_path, place):
    for name in ("file", "victim"):
        (place / name).symlink_to(tmp_path / "victim" if name == "victim" else tmp_path / "victim/file")
        with atomic_file(place / name) as file:
            file.write(b"new")
        assert not (place / name).is_symlink()
    (place / "link").symlink_to(tmp_path / "victim/file")
    with pytest.raises(BentoError, match="symbolic link, which can't be overwritten"):
        replace_file(place / "link", b"new")
    with pytest.raises(OSError, match="Not a directory"), atomic_dir(place / "link"):
        pass


def test_a_file_stays_in_the_directory_that_was_opened(tmp_path, place):
    """If a link replaces the directory while the file is written."""
    directory = place / "out"
    directory.mkdir()
    with atomic_file(directory / "file") as file:
        file.write(b"new")
        directory.rename(place / "moved")
        directory.symlink_to(tmp_path / "victim")
    assert (place / "moved/file").read_bytes() == b"new"


def test_errors_of_an_output_name_its_path(place):
    (place / "file").write_bytes(b"")
    with pytest.raises(OSError, match="Not a directory") as caught, atomic_file(place / "file/below"):
        pass
    assert Path(caught.value.filename).parent == place / "file"
    (place / "directory").mkdir()
    with pytest.raises(IsADirectoryError) as caught, atomic_file(place / "directory"):
        pass
    assert Path(caught.value.filename).parent == place
    assert caught.value.filename2 == str(place / "directory")
    assert {path.name for path in place.iterdir()} == {"file", "directory"}


@pytest.mark.parametrize("path", ["../../victim/file", "/abs", "a/../../../victim/new", "link/new", "link/file"])
def test_trees_of_archives_and_sources_stay_in_their_directory(tmp_path, place, path):
    (place / "link").symlink_to(tmp_path / "victim")
    with pytest.raises((BentoError, OSError)):
        archive.write_directory(place, [Member.inline(path, b"x")._replace(contents=iter([b"x"]))])
    with pytest.raises((BentoError, OSError)):
        snapshot.copy([snapshot.DeclaredFile(path, __file__, "")], place)
    with pytest.raises((BentoError, OSError)):
        snapshot.copy([snapshot.DeclaredFile(path, "", "", link="x")], place)


@pytest.mark.parametrize("ignores_errors", [False, True])
def test_deep_directories_are_removed(tmp_path, ignores_errors):
    """As a project can have, and `rmtree` of Python before 3.13 calls itself for each."""

    def fill(directory):
        with TreeWriter(directory) as writer:
            writer.file("/".join(["a"] * 1500), [b""])

    fill(tmp_path / "made")
    remove(tmp_path / "made", ignores_errors=ignores_errors)
    with own_directory(parent=tmp_path) as directory:
        fill(directory / "copy")
    assert [*tmp_path.iterdir()] == []
