"""The layer with bytecode of a base's standard library: what it has, and that it changes nothing else of the base."""

import importlib.util
import io
import random
import stat
import sys
import tarfile
from pathlib import Path

import pytest
from rules_bento.base.archives.tarstream import directories_above
from rules_bento.base.errors import BentoError
from rules_bento.images import standard_library
from rules_bento.images.layers.contents import read_files
from rules_bento.images.layers.layer import MEDIA_TYPES
from rules_bento.images.standard_library import UNUSED, is_library_file, uncompiled, write_library_layer
from rules_bento.images.unpack_image import unpack
from rules_bento.images.wheels import bytecode
from rules_bento.images.wheels.bytecode import Compiler

from tests.helpers.made_layers import members

VERSION = f"3.{sys.version_info[1]}"
TAG = sys.implementation.cache_tag
PYTHON, ROOT = "/usr/bin/python3", f"usr/lib/python{VERSION}"
PROGRAM = Path(bytecode.__file__).with_name("bytecode_program.py")
DIRECTORIES = ("", "/__pycache__", "/json", "/json/__pycache__", "/test", "/xml/tests", "/site-packages")
PATHS = [
    *("usr", "usr/lib", f"usr/lib64/python{VERSION}/a.py", *(f"{ROOT}{directory}" for directory in DIRECTORIES)),
    *(f"{ROOT}/{name}" for name in ("os.py", "re.py", "json/__init__.py", "test/x.py", "xml/tests/x.py", "odd.txt")),
    *(f"{ROOT}{directory}/__pycache__/{name}.{TAG}.pyc" for directory, name in (("", "os"), ("/json", "__init__"))),
    *(f"{ROOT}/{name}" for name in (f"__pycache__/re.{TAG}.opt-1.pyc", "__pycache__/re.cpython-30.pyc")),
    *("usr/lib/python3.1/os.py", f"opt/lib/python{VERSION}/os.py", f"{ROOT}/site-packages/x.py", f"{ROOT}/a b.py"),
]


@pytest.fixture(scope="module")
def compiler():
    with Compiler(sys.executable, str(PROGRAM), "unchecked-hash") as started:
        yield started


def info(name, kind=tarfile.REGTYPE, link="", mode=0o644, uid=0, gid=0):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.uid, member.gid = kind, link, mode, uid, gid
    return member


def layer(path, *infos):
    """A layer of members. Modules contain their names."""
    with tarfile.open(path, "w") as tar:
        for member in infos:
            data = f"NAME = {member.name!r}\n".encode() if member.isreg() and member.name.endswith(".py") else b""
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path, MEDIA_TYPES["none"], ""


def tree(layers, directory):
    """The type, the mode, and the content of each path in an image."""
    directory.mkdir()
    unpack(layers, directory)
    found = {}
    for path in directory.rglob("*"):
        kind = path.lstat().st_mode
        content = path.readlink() if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(directory))] = (stat.filemode(kind), content)
    return found


def made_layers(chance, directory, has_links):
    """Several layers with random files, directories, whiteouts, and maybe links, at few paths."""
    for number in range(chance.randint(1, 3)):
        infos = {}
        for path in sorted(chance.sample(PATHS, chance.randint(4, 16))):
            kind, above = chance.random(), sorted(directories_above([path]))
            if any(each in infos and not infos[each].isdir() for each in above):
                continue  # a layer doesn't contain a file, and a directory at its path
            if has_links and kind < 0.15:
                infos[path] = info(path, tarfile.SYMTYPE, chance.choice(["/opt", "os.py", "/usr/lib"]))
            elif number and kind < 0.3:
                name = chance.choice([path.rpartition("/")[2], ".wh..opq"])
                infos[f"{above[-1]}/.wh.{name}" if above else f".wh.{name}"] = info("")
            elif path.endswith((".py", ".pyc", ".txt")) or (kind > 0.95 and not path.endswith("__pycache__")):
                infos[path] = info(path)
            else:
                above.append(path)
            for each in above if number else above[len(directories_above([path])) :]:  # the lowest layer omits some
                infos.setdefault(each, info(each, tarfile.DIRTYPE, mode=chance.choice([0o755, 0o775, 0o700])))
        for path, each in infos.items():
            each.name = chance.choice(["", "./"]) + path
        yield layer(directory / f"{number}.tar", *(infos[path] for path in sorted(infos)))


def expected(found):
    """What a base lacks, by the files of its file system."""
    modules = [path for path, (mode, _) in found.items() if mode[0] == "-" and path.endswith(".py") and " " not in path]
    roots = ROOT, f"usr/lib64/python{VERSION}"
    used = [path for path in modules if path.startswith(roots) and not UNUSED & {*path.split("/")}]
    wanted = [(path, importlib.util.cache_from_source(path, optimization="")) for path in used]
    return {path: own for path, own in wanted if own not in found}


@pytest.mark.parametrize("has_links", [False, True])
def test_a_layer_has_what_the_file_system_lacks_and_changes_nothing(has_links, tmp_path, compiler):
    """In images of random layers. With links in the way, which the layer would replace, modules aren't compiled."""
    written = 0
    for seed in range(60):
        chance, directory = random.Random(seed), tmp_path / str(seed)
        directory.mkdir()
        layers = [*made_layers(chance, directory, has_links)]
        try:
            base = tree(layers, directory / "base")
        except BentoError:  # invalid: links to each other
            assert has_links
            continue
        out = directory / "out"
        above = write_library_layer(out, layers, PYTHON, VERSION, compiler, "none")
        assert above.python == compiler.version
        image = tree([*layers, (out, MEDIA_TYPES["none"], above.diff_id)], directory / "image")
        assert {path: image.get(path) for path in base} == base, seed
        new = {path for path in image.keys() - base.keys() if image[path][0][0] != "d"}
        lacking = expected(base)
        assert new <= {*lacking.values()} if has_links else new == {*lacking.values()}, seed
        assert all("__pycache__" in path for path in image.keys() - base.keys())
        listed = read_files(layers, lambda path, head: head is not None and is_library_file(path))
        # `read_files` doesn't know that a file replaces a directory.
        assert has_links or {*uncompiled(listed, PYTHON, VERSION)} >= lacking.keys(), seed
        written += len(new)
    assert written > 50


def test_bytecode_is_what_python_loads(tmp_path, compiler):
    base = layer(tmp_path / "base", info(ROOT, tarfile.DIRTYPE, mode=0o2775, gid=50), info(f"{ROOT}/os.py"))
    one, other = (tmp_path / name for name in ("one", "other"))
    layers = [write_library_layer(each, [base], PYTHON, VERSION, compiler, "gzip") for each in (one, other)]
    assert layers[0] == layers[1]
    found = members(one, "gzip")
    module, data = found[f"{ROOT}/__pycache__/os.{TAG}.pyc"]
    directory, cache = (found[path][0] for path in (ROOT, f"{ROOT}/__pycache__"))
    assert [(each.mode, each.uid, each.gid) for each in (module, directory)] == [(0o644, 0, 0), (0o2775, 0, 50)]
    assert (cache.mode, cache.gid) == (0o755, 0)
    assert data[:8] == importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
    assert data == compiler.compile(f"/{ROOT}/os.py", f"NAME = '{ROOT}/os.py'\n".encode())


def test_a_library_has_a_limited_size_and_one_version(tmp_path, compiler, monkeypatch):
    base = layer(tmp_path / "base", info(f"{ROOT}/os.py"))
    with pytest.raises(BentoError, match=r"the image uses CPython 3\.3, but the bytecode compiler uses cpython-"):
        write_library_layer(tmp_path / "out", [base], PYTHON, "3.3", compiler, "none")
    monkeypatch.setattr(standard_library, "_MAX_SIZE", 40)
    with pytest.raises(BentoError, match="the standard library exceeds the size limit"):
        write_library_layer(tmp_path / "out", [base], PYTHON, VERSION, compiler, "none")
    assert not (tmp_path / "out").exists()
