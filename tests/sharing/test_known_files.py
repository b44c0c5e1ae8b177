"""Digests of files that a build keeps for the next one."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from bento_cli.sharing import known_files
from blake3 import blake3
from rules_bento.base.errors import BentoError
from rules_bento.bentos.sources import snapshot, tree_manifest

TOKEN = b"AKIA" + b"IOSFODNN7QZKWPTR"  # of the size of OLD, and found by the search for secrets
OLD, NEW = b"x = 1234567890123456"[:20], b"x = 6543210987654321"[:20]
LATER = 10 * 10**9


class Project:
    """A directory with the files `a` and `b`, and with the record of a build."""

    def __init__(self, directory, monkeypatch):
        self.top, self.record, self.cache = directory / "project", directory / "cache/record", directory / "cache"
        (self.top / "d").mkdir(parents=True)
        for name in ("d/a", "d/b"):
            (self.top / name).write_bytes(OLD)
        self.path, self.status = self.top / "d/a", (self.top / "d/a").stat()
        self.opened, self._monkeypatch, self._open = [], monkeypatch, tree_manifest.open_below
        self.time = time.time_ns()
        monkeypatch.setattr(tree_manifest, "open_below", self.open)
        monkeypatch.setattr(time, "time_ns", lambda: self.time)

    def open(self, path, below):
        self.opened.append(path)
        return self._open(path, below)

    def restore_times(self):
        os.utime(self.path, ns=(self.status.st_atime_ns, self.status.st_mtime_ns))

    def build(self, *, finds_secrets=True):
        """Return the digests of a build, and the names of the files that it reads."""
        self.opened.clear()
        kept = known_files.load(self.record)
        files = [*snapshot.walk(str(self.top))]
        found = known_files.read(files, kept, finds_secrets=finds_secrets)
        known_files.store(self.record, found.known)
        digests = {path: entry.blake3 or entry.link for path, entry in found.entries.items()}
        self.suspects = set(found.suspects)
        return digests, {Path(path).name for path in self.opened}


@pytest.fixture
def project(tmp_path, monkeypatch):
    made = Project(tmp_path, monkeypatch)
    made.time += LATER
    assert made.build()[1] == {"a", "b"}
    made.time += LATER
    assert made.build()[1] == set()
    return made


def content(project):
    """Return what a build must have of the project."""
    walked = snapshot.walk(str(project.top))
    return {each.path: each.link or blake3(Path(each.source).read_bytes()).hexdigest() for each in walked}


def overwrite(project):
    project.path.write_bytes(NEW)
    project.restore_times()


def write_in_place(project):
    with project.path.open("r+b") as file:
        file.write(NEW)
    project.restore_times()


def map_and_write(project):
    import mmap

    with project.path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[:] = NEW
        mapped.flush()
    project.restore_times()


def rename_over(project):
    other = project.path.with_name("other")
    other.write_bytes(NEW)
    other.replace(project.path)
    project.restore_times()


def link_over(project):
    other = project.top.with_name("other")
    other.write_bytes(NEW)
    project.path.unlink()
    project.path.hardlink_to(other)
    project.restore_times()


def write_through_hard_link(project):
    other = project.top.with_name("other")
    other.hardlink_to(project.path)
    other.write_bytes(NEW)
    project.restore_times()


def swap(project):
    one, two, between = project.path, project.path.with_name("b"), project.path.with_name("c")
    two.write_bytes(NEW)
    one.rename(between), two.rename(one), between.rename(two)
    project.restore_times()


def swap_directories(project):
    copy = project.top.with_name("copy")
    copy.mkdir()
    for name in ("a", "b"):
        (copy / name).write_bytes(NEW)
    project.path.parent.rename(project.top.with_name("before"))
    copy.rename(project.top / "d")
    project.restore_times()


def link_to_another_file(project):
    (project.top / "d/b").write_bytes(NEW)
    project.path.unlink()
    project.path.symlink_to("b")


def replace_project(project):
    project.top.rename(project.top.with_name("before"))
    (project.top / "d").mkdir(parents=True)
    for name in ("a", "b"):
        (project.top / "d" / name).write_bytes(NEW)
    project.restore_times()


def pretend(project, **fields):
    """Change the file, and let its status be that of before, but for some fields."""
    status, original = project.path.stat(), os.lstat
    given = SimpleNamespace(**{name: getattr(status, name) for name in dir(status) if name.startswith("st_")} | fields)
    project.path.write_bytes(NEW)
    project._monkeypatch.setattr(os, "lstat", lambda path: given if path == str(project.path) else original(path))


def set_the_clock_back(project):
    pretend(project)
    project.time -= LATER


def change_in_the_same_tick(project):
    """A file changes, is read, and changes again with equal times."""
    project.path.write_bytes(OLD[::-1])
    project.time = project.path.stat().st_ctime_ns + 1
    project.build()
    pretend(project)


def move_to_another_file_system(project):
    pretend(project, st_dev=project.status.st_dev + 1)


def change_mode(project):
    pretend(project, st_mode=project.status.st_mode ^ 0o100)


def edit_record(project, change):
    written, files = known_files.load_record(project.record)
    status, _, others = files["d/a"].partition(":")
    files["d/a"] = f"{change(status)}:{others}"
    known_files.write_record(project.record, [written, files])


def damage_record(project):
    project.path.write_bytes(NEW)
    edit_record(project, lambda _: known_files._text(project.path.lstat()))
    data = project.record.read_bytes()
    project.record.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])


def give_record_to_another_user(project):
    overwrite(project)
    edit_record(project, lambda _: known_files._text(project.path.lstat()))
    project._monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)


def truncate_and_extend(project):
    os.truncate(project.path, 0)
    os.truncate(project.path, len(OLD))
    project.restore_times()


def copy_with_times(project):
    import shutil

    other = project.top.with_name("other")
    other.write_bytes(NEW)
    os.utime(other, ns=(project.status.st_atime_ns, project.status.st_mtime_ns))
    shutil.copy2(other, project.path)


def set_times_to_the_future(project):
    project.path.write_bytes(NEW)
    os.utime(project.path, ns=(project.time * 2, project.time * 2))


def remove_and_write(project):
    """Often with the same inode."""
    project.path.unlink()
    project.path.write_bytes(NEW)
    project.restore_times()


def append(project):
    with project.path.open("ab") as file:
        file.write(NEW)
    project.restore_times()


WAYS = [
    overwrite, write_in_place, map_and_write, rename_over, link_over, write_through_hard_link, swap, swap_directories,
    link_to_another_file, replace_project, set_the_clock_back, change_in_the_same_tick, move_to_another_file_system,
    change_mode, damage_record, give_record_to_another_user, truncate_and_extend,
    copy_with_times, set_times_to_the_future, remove_and_write, append,
]  # fmt: skip


@pytest.mark.parametrize("change", WAYS)
def test_a_change_is_seen(project, change):
    """However a file is changed, an image has its content."""
    change(project)
    assert project.build()[0] == content(project)


def test_files_that_have_just_changed_are_read_again(tmp_path, monkeypatch):
    project = Project(tmp_path, monkeypatch)
    project.time += 10**9
    assert [project.build()[1] for _ in range(2)] == [{"a", "b"}, {"a", "b"}]
    project.time += LATER
    assert [project.build()[1] for _ in range(2)] == [{"a", "b"}, set()]


def test_secrets_are_found_again(project):
    """A file with a possible secret isn't kept, and no file of a build without the search is taken for searched."""
    project.path.write_bytes(TOKEN)
    project.restore_times()
    assert project.build(finds_secrets=False)[1] == {"a"}
    assert project.build(finds_secrets=False)[1] == set()
    for _ in range(2):
        assert project.build()[1] == {"a"}
        assert project.suspects == {"d/a"}
    assert project.build(finds_secrets=False)[1] == {"a"}


def test_what_is_not_a_file_is_an_error(project):
    project.path.unlink()
    os.mkfifo(project.path)
    with pytest.raises(BentoError, match="is a special file"):
        project.build()
