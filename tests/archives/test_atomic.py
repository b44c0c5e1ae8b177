"""Files and folders in the making: nobody can be written through, nothing is left, nothing is there before it is whole."""

import os
import re
import signal
import stat
import subprocess
import sys

import pytest
from rules_bento.base.archives import atomic
from rules_bento.base.archives.atomic import atomic_dir, atomic_file, is_unfinished, replace_file, write_pieces
from rules_bento.base.errors import BentoError
from rules_bento.base.net.download import open_partial


@pytest.fixture(params=["nameless", "named"])
def making(request, monkeypatch):
    """Both ways to make a file."""
    if request.param == "named":
        monkeypatch.setattr(atomic, "_open_unnamed", lambda *_: None)
    elif sys.platform != "linux":
        pytest.skip("only Linux has files without a name")
    return request.param


def names_in(directory):
    return [path.name for path in directory.iterdir()]


@pytest.mark.usefixtures("making")
def test_a_file_has_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "a"
    for text in (b"one", b"two"):
        with atomic_file(path) as file:
            file.write(text)
            assert not path.exists() or path.read_bytes() == b"one"
        assert path.read_bytes() == text
    assert names_in(tmp_path) == ["a"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.usefixtures("making")
def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match="stop"), atomic_file(path) as file:
        file.write(b"after")
        file.flush()
        raise ValueError("stop")
    with pytest.raises(OSError, match="No such file") as caught, atomic_file(tmp_path / "no/a"):
        pass
    assert is_unfinished(caught.value.filename, tmp_path / "no/a")
    assert not is_unfinished(caught.value.filename, path)
    assert names_in(tmp_path) == ["a"]
    assert path.read_bytes() == b"before"


@pytest.mark.usefixtures("making")
def test_nothing_is_written_through_a_link(tmp_path, monkeypatch):
    """Even by one who knows the name, which nobody can."""
    victim, shared = tmp_path / "victim", tmp_path / "shared"
    victim.write_bytes(b"important")
    shared.mkdir()
    monkeypatch.setattr(os, "urandom", bytes)
    (shared / f".{bytes(12).hex()}.part").symlink_to(victim)
    with pytest.raises(FileExistsError), atomic_file(shared / "out") as file:
        file.write(b"other bytes")
    assert victim.read_bytes() == b"important"
    (shared / "out").symlink_to(victim)
    monkeypatch.undo()
    with atomic_file(shared / "out") as file:
        file.write(b"other bytes")
    assert victim.read_bytes() == b"important"
    assert not (shared / "out").is_symlink()


@pytest.mark.usefixtures("making")
def test_a_full_disk_leaves_the_files_of_users_unchanged(tmp_path, full_disk):
    path = tmp_path / "a"
    path.write_bytes(b"before")
    with full_disk(100), pytest.raises(BentoError, match="a: cannot write the file: File too large"):
        replace_file(path, b"after" * 100)
    assert path.read_bytes() == b"before"
    replace_file(path, b"after")
    assert path.read_bytes() == b"after"
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(BentoError, match="link: the path is a symbolic link, which can't be overwritten"):
        replace_file(tmp_path / "link", b"other")
    assert (path.read_bytes(), sorted(names_in(tmp_path))) == (b"after", ["a", "link"])


def test_a_download_is_not_written_through_a_link(tmp_path):
    """Its name has to be known, so that another run goes on."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"important")
    (tmp_path / ".a.part").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"), open_partial(tmp_path / "a") as file:
        file.write(b"other bytes")
    assert victim.read_bytes() == b"important"
    assert not (tmp_path / "a").exists()
    (tmp_path / ".a.part").unlink()
    with pytest.raises(ValueError, match="stop"), open_partial(tmp_path / "a") as file:
        file.write(b"one, ")
        raise ValueError("stop")
    with open_partial(tmp_path / "a") as file:
        file.write(b"two")
    assert (tmp_path / "a").read_bytes() == b"one, two"


def test_names_in_progress_are_not_told_from_the_process(tmp_path):
    names = set()
    for _ in range(2):
        with atomic_dir(tmp_path / "a") as directory:
            names.add(directory.name)
            (directory / "b").write_bytes(b"")
            assert re.fullmatch(r"\.[0-9a-f]{24}\.part", directory.name)
            assert is_unfinished(str(directory / "b"), tmp_path / "a")
        (tmp_path / "a/b").unlink()
    assert len(names) == 2
    with pytest.raises(ValueError, match="stop"), atomic_dir(tmp_path / "c"):
        raise ValueError("stop")
    assert names_in(tmp_path) == ["a"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files without a name")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_leaves_nothing(tmp_path, number):
    program = """
import sys, time
from pathlib import Path
from rules_bento.base.archives.atomic import atomic_file
with atomic_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("writes", flush=True)
    time.sleep(60)
"""
    paths = os.pathsep.join(["py", *sys.path])
    command = [sys.executable, "-c", program, str(tmp_path / "a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": paths}) as process:
        assert process.stdout.readline() == b"writes\n"
        process.send_signal(number)
    assert process.returncode == -number
    assert not names_in(tmp_path)


def test_pieces_are_written_completely(tmp_path, monkeypatch):
    """Even if the system writes only a part of them, as a pipe or a full disk does."""
    writev = os.writev
    monkeypatch.setattr(os, "writev", lambda file, pieces: writev(file, [b"".join(pieces)[:5]]))
    with atomic_file(tmp_path / "a") as file:
        file.write(b"before,")
        write_pieces(file, [b"", b"one", memoryview(b"two, three"), b"", b"end"])
        file.write(b", after")
    assert (tmp_path / "a").read_bytes() == b"before,onetwo, threeend, after"
