"""Sources of packages are asked for what builds them, before anything of ours is there to read them."""

import ast
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import tomli
from rules_bento.base.formats import MAX_BYTES

DIRECTORY = Path("toolchains/programs").absolute()
PROGRAM = DIRECTORY / "source_archive.py"
READERS = {"bz2", "gzip", "http.client", "lzma", "netrc", "pickle", "tarfile", "tomli", "zipfile", "zlib"}
READERS |= {"urllib.request"}
KNOWN = {
    "locate.py": {"http.client", "netrc", "urllib.request"},
    "pack_python.py": {"zipfile"},  # writes
    "source_archive.py": {"lzma", "tarfile", "tomli", "zipfile", "zlib"},
    "inspect_wheel.py": {"zlib"},
    "unpack_wheel.py": {"zipfile", "zlib"},
}
# An inline table over several lines is TOML 1.1.
ASKS = b'x = {\n}\n[build-system]\nrequires = ["Setup_Tools>=40", "wheel"]\n'


def asked(archive: Path, subfolder: str = ""):
    command = [sys.executable, "-I", "-S", PROGRAM, "requires", archive, subfolder, Path(tomli.__file__).parents[1]]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def tar_with(path: Path, content: bytes, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        entry = tarfile.TarInfo("odd-1/pyproject.toml")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return path


def zip_with(path: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("odd-1/pyproject.toml", content)
    return path


def test_the_names_that_a_source_needs_are_printed(tmp_path):
    for path in (tar_with(tmp_path / "a.tar.gz", ASKS), zip_with(tmp_path / "a.zip", ASKS)):
        assert json.loads(asked(path).stdout) == ["setup-tools", "wheel"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: tar_with(path / "a.tar.gz", b"#" * (MAX_BYTES + 1)), "exceeds the limit of 16777216 bytes"),
        (lambda path: zip_with(path / "a.zip", b"#" * (MAX_BYTES + 1)), "exceeds the limit of 16777216 bytes"),
        (lambda path: zip_with(path / "a.zip", ASKS, zipfile.ZIP_BZIP2), "unsupported compression"),
        (lambda path: tar_with(path / "a.tar.gz", b"build-system = 1"), "isn't a list of strings"),
        (lambda path: tar_with(path / "a.tar.gz", b"[build-system]\nrequires = [1]"), "isn't a list of strings"),
        (lambda path: tar_with(path / "a.tar.gz", b"x = " + b"[" * 100_000), "nested"),
        (lambda path: tar_with(path / "a.tar.gz", b"\xff"), "utf-8"),
        (lambda path: cut(tar_with(path / "a.tar.gz", ASKS * 1000)), ""),
        (lambda path: cut(tar_with(path / "a.tar.xz", ASKS * 1000, "w:xz")), ""),
        (lambda path: cut(zip_with(path / "a.zip", ASKS)), "is not a zip file"),
    ],
)
def test_an_invalid_source_is_rejected_in_a_line(tmp_path, make, said):
    done = asked(make(tmp_path))
    assert done.returncode == 1
    assert not done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def cut(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def test_programs_of_repository_rules_use_no_other_readers_than_are_known():
    found = {path.name: modules_of(path) & READERS for path in DIRECTORY.glob("*.py")}
    assert {name: modules for name, modules in found.items() if modules} == KNOWN


def modules_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            names.add(str(node.args[0].value))
    return names


def packed(directory: Path, archive: Path):
    command = [sys.executable, "-I", "-S", PROGRAM, "pack", directory, archive]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def test_links_are_packed_as_links_also_to_directories_and_to_nothing(tmp_path):
    directory = tmp_path / "source"
    (directory / "data").mkdir(parents=True)
    (directory / "data/a").write_text("a", "utf-8")
    (directory / "to_folder").symlink_to("data")
    (directory / "to_nothing").symlink_to("missing")
    assert packed(directory, tmp_path / "a.tar").returncode == 0
    with tarfile.open(tmp_path / "a.tar") as archive:
        found = {entry.name: entry.linkname for entry in archive}
    assert found == {"source/data/a": "", "source/to_folder": "data", "source/to_nothing": "missing"}


def test_a_pipe_in_a_source_is_rejected_and_not_waited_for(tmp_path):
    directory = tmp_path / "source"
    directory.mkdir()
    os.mkfifo(directory / "pipe")
    done = packed(directory, tmp_path / "a.tar")
    assert done.returncode == 1
    assert "pipe isn't a regular file or a link. Lock another version of the package." in done.stderr
