"""What layers of others hold: the libraries of a base, with what a layer above removes."""

import gzip
import hashlib
import io
import itertools
import shutil
import struct
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
import zstandard
from rules_bento.base.archives import streams
from rules_bento.base.errors import BentoError
from rules_bento.bentos.sources.cpu_arch import machine_of
from rules_bento.images.debian import any_base
from rules_bento.images.layers import contents
from rules_bento.images.layers.contents import read_files
from rules_bento.images.layers.layer import MEDIA_TYPES
from rules_bento.images.registry.descriptor import digest_of
from rules_bento.images.reports.layer_contents import LayerReader
from rules_bento.images.unpack_image import unpack

from tests.helpers.tar_files import tar_of

FORMS = {"none": "tar", "gzip": "gz", "zstd": "zst"}
PACK = {"none": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}


def layer(directory, *paths, compression="gzip"):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as members:
        for path in paths:
            name, _, link = path.partition(" -> ")
            info = tarfile.TarInfo(name)
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            elif name.endswith("/"):
                info.type = tarfile.DIRTYPE
            members.addfile(info)
    blob = directory / f"{len(list(directory.iterdir()))}.blob"
    blob.write_bytes(PACK[compression](tar.getvalue()))
    return blob, MEDIA_TYPES[compression], digest_of(tar.getvalue())


def library_names(layers):
    files = read_files(layers, lambda path, _head: ".so" in path.rpartition("/")[2])
    return {path.rpartition("/")[2] for path in files}


@pytest.mark.parametrize("compression", PACK)
def test_libraries_in_all_directories_and_their_links_are_found(tmp_path, compression):
    files = ("lib64/", "./usr/lib64/libz.so.1.3", "usr/lib64/libz.so.1 -> libz.so.1.3", "opt/conda/lib/libomp.so")
    others = ("usr/lib64/libm.a", "lib/x.so.d/", "etc/ld.conf")
    assert library_names([layer(tmp_path, *files, *others, compression=compression)]) == {
        "libz.so.1.3",
        "libz.so.1",
        "libomp.so",
    }


def test_a_report_names_directories_without_a_dot(tmp_path):
    blob, form, _ = layer(tmp_path, "./usr/x/a", "usr/x/b")
    assert [(each.owner.name, each.files) for each in LayerReader("/b").read(blob, form)] == [("/usr/x", 2)]


def test_a_layer_above_removes_files_and_directories_but_none_of_its_own(tmp_path):
    below = layer(tmp_path, "lib/libone.so.1", "lib/libtwo.so.1", "opt/a/liba.so", "srv/libs.so", "srv/b/libb.so")
    above = layer(tmp_path, "lib/.wh.libone.so.1", "opt/.wh.a", "srv/libnew.so", "srv/.wh..wh..opq")
    assert library_names([below, above]) == {"libtwo.so.1", "libnew.so"}
    assert library_names([above, below]) > {"libone.so.1", "libs.so"}


def extracted(root, layers):
    """Extract layers of `layer` as a container runtime, and return what isn't a directory."""
    for paths in layers:
        removed = [path for path in paths if "/.wh." in f"/{path}"]
        for path in removed:
            place = root / path.replace(".wh.", "", 1)
            shutil.rmtree(place, ignore_errors=True) if place.is_dir() and not place.is_symlink() else place.unlink(
                True
            )
        for path in paths[len(removed) :]:  # whiteouts are first
            name, _, link = path.partition(" -> ")
            place = root / name
            if place.is_dir() and not place.is_symlink() and not path.endswith("/"):
                shutil.rmtree(place)
            elif place.is_symlink() or place.is_file():
                place.unlink()
            place.parent.mkdir(parents=True, exist_ok=True)
            if link:
                place.symlink_to(link)
            elif path.endswith("/"):
                place.mkdir(exist_ok=True)
            else:
                place.touch()
    return {str(each.relative_to(root)) for each in root.rglob("*") if each.is_symlink() or each.is_file()}


BELOW = ("o/", "x", "o/p", "o/q/r")
ABOVE = [
    ("o/", "o/p"),
    ("o -> /z", "z/p"),
    ("o",),
    ("o/.wh.p",),
    (".wh.o", "o/n"),
    ("o/q",),
    ("o/q/", "o/q/r -> s"),
    ("x/", "x/y"),
]


@pytest.mark.parametrize(
    "above", [each for each in itertools.permutations(ABOVE, 2) if each[0][0] not in ("o", "o -> /z")]
)
def test_the_answers_about_merged_layers_are_those_of_a_runtime(tmp_path, above):
    """A link or a file replaces a directory with its contents."""
    root, blobs = tmp_path / "root", tmp_path / "blobs"
    root.mkdir()
    blobs.mkdir()
    expected = extracted(root, (BELOW, *above))
    images = [layer(blobs, *each, compression="none") for each in (BELOW, *above)]
    assert {*read_files(images, lambda *_: True)} == expected
    kinds, _ = any_base.read_tree(images, lambda _path: False)
    assert {path for path, kind in kinds.items() if kind[0] != "folder"} == expected


def programs(directory, files):
    """A layer of files."""
    tar = tar_of(files.items())
    blob = directory / f"{len(list(directory.iterdir()))}.blob"
    blob.write_bytes(tar)
    return blob, MEDIA_TYPES["none"], digest_of(tar)


def test_files_by_their_first_bytes(tmp_path):
    program = struct.pack("<4sBB10xHH", b"\x7fELF", 2, 1, 2, 183) + bytes(4000)
    below = programs(tmp_path, {"bin/a": program, "bin/b": program, "bin/cut": program[:19], "bin/text": b"#!/bin/sh"})
    above = programs(tmp_path, {"bin/.wh.a": b"", "./bin/b": b"a script in its place", "opt/c.so": program})
    found = read_files([below, above], lambda _path, head: bool(machine_of(head)))
    assert found == {"opt/c.so": program[:20]}
    assert set(read_files([below], lambda _path, head: bool(machine_of(head)))) == {"bin/a", "bin/b"}
    assert read_files([below], lambda _path, _head: False, lambda path: path == "bin/b") == {"bin/b": program}


@pytest.mark.parametrize(("name", "limit"), [("_MAX_NAMES", 10), ("_MAX_KEPT", 8)])
def test_the_names_and_the_contents_of_a_layer_are_bounded_together(tmp_path, monkeypatch, name, limit):
    layers = [programs(tmp_path, {"bin/a": b"12345", "bin/b": b"678"})]
    monkeypatch.setattr(contents, name, limit)
    assert len(read_files(layers, lambda *_: False, lambda _path: True)) == 2
    monkeypatch.setattr(contents, name, limit - 1)
    with pytest.raises(BentoError, match="exceed the size limit"):
        read_files(layers, lambda *_: False, lambda _path: True)


def test_what_follows_a_sparse_file_is_read(tmp_path):
    """With more pieces than the header of GNU's format lists, so that further records list them."""
    with (tmp_path / "holes").open("wb") as file:
        for number in range(60):
            file.seek(number << 20)
            file.write(b"x")
    (tmp_path / "last.so").write_bytes(b"y")
    blob = tmp_path / "0.blob"
    command = ["tar", "--format=gnu", "--sparse", "-C", tmp_path, "-cf", blob, "holes", "last.so"]
    subprocess.run(command, check=True)
    assert blob.stat().st_size < 1 << 20
    assert read_files([(blob, MEDIA_TYPES["none"], "")], lambda path, _head: path == "last.so") == {"last.so": b"y"}


@pytest.mark.parametrize("compression", PACK)
def test_a_layer_that_declares_an_enormous_file_is_rejected_at_once(tmp_path, compression):
    info = tarfile.TarInfo("big")
    info.size = 1 << 62
    blob = tmp_path / "0.blob"
    blob.write_bytes(PACK[compression](info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)))
    with pytest.raises(
        BentoError, match=r"0\.blob: the layer cannot be read: 'big' has [0-9]+ bytes, but the limit is"
    ):
        library_names([(blob, MEDIA_TYPES[compression], "")])


def new_directory(parent):
    return Path(tempfile.mkdtemp(dir=parent))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("compression", PACK)
def test_a_layer_with_another_diff_id_is_rejected(tmp_path, compression, algorithm):
    """As by umoci and containerd; skopeo copies such an image."""
    blob, media_type, right = layer(tmp_path, "lib/libone.so.1", "last", compression=compression)
    if algorithm == "sha512":
        right = f"sha512:{hashlib.sha512(b''.join(streams.decode([blob.read_bytes()], FORMS[compression], 1 << 27, ''))).hexdigest()}"
    readers = (
        library_names,
        lambda layers: unpack(layers, new_directory(tmp_path)),
        lambda layers: [LayerReader("/bento").read(*layer) for layer in layers],
    )
    for reader in readers:
        reader([(blob, media_type, right)])
        with pytest.raises(
            BentoError, match=rf"^{blob.name}: the image config contains the diff ID {algorithm}:0+, but"
        ):
            reader([(blob, media_type, f"{algorithm}:{'0' * (len(right) - 7)}")])


@pytest.mark.parametrize("compression", PACK)
def test_a_damaged_layer_is_an_error_with_a_name(tmp_path, compression):
    blob, *more = layer(tmp_path, *(f"lib/lib{number}.so" for number in range(100)), compression=compression)
    blob.write_bytes(blob.read_bytes()[:300])
    with pytest.raises(BentoError, match=r"0\.blob: the layer cannot be read: the archive is truncated"):
        library_names([(blob, *more)])
