"""Weights that no framework can load are errors of the build."""

import io
import json
import struct
import tarfile
import time
import tracemalloc

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.models.weights import check_weights, parameters

from tests.actions.helper import Actions

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"
TENSORS = {
    "__metadata__": {"format": "pt"},
    "a": ["F32", [2, 3], 0, 24],
    "b": ["BF16", [], 24, 26],
    "c": ["I8", [0], 26, 26],
}


def safetensors(tensors=TENSORS, data=bytes(26)):
    header = json.dumps(
        {
            key: value if key == "__metadata__" else {"dtype": value[0], "shape": value[1], "data_offsets": value[2:]}
            for key, value in tensors.items()
        }
    ).encode()
    return len(header).to_bytes(8, "little") + header + data


@pytest.fixture
def check(tmp_path):
    def run(files):
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(content.encode() if isinstance(content, str) else content)
        return check_weights({path: str(tmp_path / path) for path in files}, "m:v1")

    return run


def index(*shards):
    return json.dumps({"metadata": {}, "weight_map": {f"layer.{n}": shard for n, shard in enumerate(shards)}})


def test_the_sizes_of_weights_are_by_type(check):
    more = safetensors({"a": ["BF16", [2, 2], 0, 8], "b": ["F4", [4], 8, 10], "c": [7, [1], 10, 11]}, bytes(11))
    sizes = check({"a.safetensors": safetensors(), "deep/b.safetensors": more, "c.pt": "x"})
    assert sizes == {"F32": 24, "BF16": 10, "I8": 0, "other": 3}
    assert [parameters(*item) for item in sizes.items()] == [6, 5, 0, None]
    assert check({"c.pt": "x"}) == {}


def test_a_link_in_an_archive_is_a_part_of_its_set(tmp_path):
    model = {key: {} for key in ("labels", "options", "metadata", "context", "signatures")}
    model |= {
        "name": "clf",
        "version": "v1",
        "module": "",
        "api_version": "v1",
        "creation_time": "2026-01-01T00:00:00Z",
    }
    with tarfile.open(tmp_path / "m.tar", "w") as archive:
        for name, content in {"model.yaml": json.dumps(model).encode(), "m-00001-of-00002.bin": b"x"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("m-00002-of-00002.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "m-00001-of-00002.bin"
        archive.addfile(link)
    words = ["--target", "//svc:model", "--archive", "m.tar", "m.tar", "--scratch", "scratch"]
    built = Actions(tmp_path).run("model", words, {"--manifest": "manifest"})
    assert built.code == 0, built.errors
    assert '"m-00001-of-00002.bin"' in built.outputs["--manifest"].decode().partition("link")[2]


@pytest.mark.parametrize(
    "files",
    [
        {"model.safetensors": safetensors(), "README.md": "version https://git-lfs.github.com/spec/v2"},
        {"empty.safetensors": safetensors({}, b"")},
        {"new.safetensors": safetensors({"a": ["F4", [3], 0, 2]}, bytes(2))},
        {"a.gguf": b"GGUF" + struct.pack("<I", 3) + bytes(16), "b.gguf": b"GGUF" + struct.pack(">I", 3) + bytes(16)},
        {"m.safetensors.index.json": index("a.safetensors"), "a.safetensors": safetensors()},
        {"deep/m.safetensors.index.json": index("a.safetensors"), "deep/a.safetensors": safetensors()},
        # Of two formats in a repository, a model often contains only one.
        {"pytorch_model.bin.index.json": index("pytorch_model-1.bin"), "model.safetensors": safetensors()},
        {"other.index.json": "{}", "m-00001-of-00001.gguf": b"GGUF" + struct.pack("<I", 2)},
        {"m-00001-of-00002.bin": b"x", "m-00002-of-00002.bin": b"x", "m-00001-of-00002.txt": b"x"},
    ],
)
def test_weights_that_can_be_loaded_pass(check, files):
    check(files)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a/model.bin": POINTER}, "m:v1: a/model.bin is a pointer of Git LFS, not the file. Run `git lfs pull`"),
        ({"m.safetensors": safetensors()[:-1]}, "25 bytes of tensors instead of 26"),
        ({"m.safetensors": safetensors()[:40]}, "the header of safetensors is longer than the file"),
        ({"m.safetensors": b"tiny"}, "the header of safetensors is longer than the file"),
        ({"m.safetensors": b"<!DOCTYPE html><html>" * 9}, "the header of safetensors is longer than the file"),
        ({"m.safetensors": (3).to_bytes(8, "little") + b"{ab"}, "header of safetensors:1: invalid JSON"),
        ({"m.safetensors": safetensors({"a": ["F32", [2], 0, 4]}, bytes(4))}, "tensor a: data_offsets don't match"),
        ({"m.safetensors": safetensors({"a": ["F32", [1], 4, 8]}, bytes(8))}, "a gap at byte 0"),
        ({"m.safetensors": safetensors({"a": ["F32", "x", 0, 4]}, bytes(4))}, "tensor a: data_offsets don't match"),
        ({"m.safetensors": (2).to_bytes(8, "little") + b"[]"}, "expected a JSON object"),
        ({"m.gguf": b"GGML" + struct.pack("<I", 3)}, "isn't a GGUF file of version 1 to 3"),
        ({"m.gguf": b"GGUF" + struct.pack("<I", 4)}, "isn't a GGUF file of version 1 to 3"),
        ({"m.index.json": index("a.bin", "b.bin"), "a.bin": b"x"}, "the model doesn't contain: b.bin. Add them"),
        ({"m.index.json": index("a.bin")}, "the model doesn't contain: a.bin"),
        ({"m-00002-of-00006.bin": b"x"}, "m-00002-of-00006.bin is part of a set, without m-00001-of-00006.bin, m-00003-of-00006.bin, m-00004-of-00006.bin and 2 more."),
    ],
)  # fmt: skip
def test_weights_that_nothing_can_load_are_rejected(check, files, message):
    with pytest.raises(BentoError) as error:
        check(files)
    assert message in str(error.value)


def tensor(shape, dtype="F32"):
    header = json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]}}).encode()
    return len(header).to_bytes(8, "little") + header


@pytest.mark.parametrize(
    "shape",
    [
        [[0], 20_000_000],
        ["x", 200_000_000],
        [10**30],
        [[0], 10**30],
        [-1],
        [True, 0],
        [1.0],
        [int("9" * 249)] * 6000,
        [1 << 48] * 65,
        {"a": 1},
        7,
        None,
    ],
    ids=lambda shape: str(shape)[:20],
)
@pytest.mark.parametrize("dtype", ["F32", "F4", 7, [0]])
def test_a_shape_is_checked_before_arithmetic(check, shape, dtype):
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(BentoError, match="tensor a: data_offsets don't match the type and the shape"):
            check({"m.safetensors": tensor(shape, dtype)})
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
        assert time.process_time() - started < 5
    finally:
        tracemalloc.stop()


def test_the_weights_of_a_large_mixture_of_experts_pass(check):
    """An index of 207,360 tensors (23 MB), as for a trillion parameters in int4, and a file of 60,000 tensors."""
    names = [
        f"language_model.model.layers.{layer}.mlp.experts.{expert}.{part}_proj.weight_{kind}"
        for layer in range(60)
        for expert in range(384)
        for part in ("down", "gate", "up")
        for kind in ("packed", "scale", "shape")
    ]
    weight_map = {name: f"m-{number % 3}.safetensors" for number, name in enumerate(names)}
    experts = {f"experts.{n}.w": ["BF16", [2, 2], n * 8, n * 8 + 8] for n in range(60_000)}
    files = {f"m-{n}.safetensors": safetensors(experts, bytes(480_000)) for n in range(2)}
    index = json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}, indent=2)
    assert len(index) > 16 << 20
    assert check({**files, "m-2.safetensors": safetensors(), "m.index.json": index})["BF16"] == 960_002
    with pytest.raises(BentoError, match="m.index.json names files that the model doesn't contain: other. Add them"):
        check({**files, "m-2.safetensors": safetensors(), "m.index.json": index.replace("m-1.safetensors", "other", 1)})


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ('{"weight_map": {"a": 1}}', "weight_map must contain file names"),
        ('{"weight_map": {"a": "x", "a": "y"}}', "duplicate key 'a'"),
        ('{"weight_map": {"a": "x"}} x', "Extra data"),
        (json.dumps({"weight_map": {"a": "x" * 100_000}}), "x" * 200 + ". Add them"),
    ],
    ids=["number", "twice", "more", "long"],
)
def test_an_index_that_is_damaged_is_rejected(check, index, message):
    with pytest.raises(BentoError) as error:
        check({"m.index.json": index})
    assert message in str(error.value)
    assert len(str(error.value)) < 400
