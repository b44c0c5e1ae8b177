"""Finds weights that no framework can load: pointers of Git LFS, damaged headers, and incomplete sets of shards.

Reads only the beginning of each file. Sources of the formats:

- safetensors: 8 bytes with the length of a JSON header, at most 100 MB, then the tensors without gaps
  (huggingface/safetensors, README, "Format").
- GGUF: the magic number, and versions 1 to 3 in either byte order (ggml/docs/gguf.md).
- Indexes (`*.index.json` with `weight_map`) and names of shards (`-00001-of-00003`): transformers and llama.cpp.
"""

from __future__ import annotations

import posixpath
import re
import struct
from pathlib import Path

from rules_bento.base.display import some
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import MAX_LARGE_BYTES, read_object
from rules_bento.base.typing_lite import Any, Collection, Iterator, Mapping
from rules_bento.bentos.sources.snapshot import MAX_LFS_POINTER, check_lfs

_MAX_DIMENSIONS, _MAX_DIMENSION = 64, 1 << 48  # of a tensor; PyTorch's limit, and more bytes than a file has
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.(?:safetensors|gguf|bin))")
_WEIGHTS = (".bin", ".gguf", ".pt", ".pth", ".safetensors")
_MAX_NAMES, _MAX_NAME = 3, 200  # of missing shards in a message, and characters of a name
_BITS = {
    **dict.fromkeys(("BOOL", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "F8_E8M0", "I8", "U8"), 8),
    **dict.fromkeys(("BF16", "F16", "I16", "U16"), 16),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("C64", "F64", "I64", "U64"), 64),
}  # of an element of a tensor; tensors of other types are checked without their shapes
_OTHER = "other"


def check_weights(files: Mapping[str, str], where: str) -> dict[str, int]:
    """Check the files of a model, a dict that maps paths in the model to paths to read, or links to an empty string.

    Returns the size of the tensors in safetensors files in bytes, by type, such as `BF16` or `other`. Raises
    BentoError for the first file that can't be loaded. The message begins with `where` and the path.
    """
    sizes: dict[str, int] = {}
    weights = {posixpath.dirname(path) for path in files if path.endswith(_WEIGHTS)}
    for path, source in sorted(files.items()):
        if not source:
            continue
        name = f"{where}: {path}"
        with Path(source).open("rb") as file:
            check_lfs(name, file.read(MAX_LFS_POINTER))
        if path.endswith(".safetensors"):
            for dtype, size in _read_safetensors(source, name):
                sizes[dtype] = sizes.get(dtype, 0) + size
        elif path.endswith(".gguf"):
            _check_gguf(source, name)
        elif path.endswith(".index.json"):
            _check_index(path, source, files, weights, name)
    for path, missing in _missing_shards(files):
        problem = f"{path} is part of a set, without {_some(missing)}"
        raise BentoError(problem, place=where, remedy="Add the missing files, or remove the set.")
    return sizes


def parameters(dtype: str, size: int) -> int | None:
    """Return the number of elements in tensors of `size` bytes, or None if the size of an element isn't known."""
    return size * 8 // _BITS[dtype] if dtype in _BITS else None


def _read_safetensors(source: str, name: str) -> list[tuple[str, int]]:
    """Return the type and the size of each tensor. Raises BentoError for a file that can't be loaded."""
    remedy = "Download the file again."
    size = Path(source).stat().st_size
    with Path(source).open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > size - 8:
            raise BentoError(f"{name} isn't complete: the header of safetensors is longer than the file", remedy=remedy)
        header = read_object(
            file.read(min(length, MAX_LARGE_BYTES + 1)), f"{name}: header of safetensors", is_large=True
        )
    header.pop("__metadata__", None)
    places = sorted(_place(value, f"{name}: tensor {key[:_MAX_NAME]}", remedy) for key, value in header.items())
    end = 0
    for begin, stop, _ in places:
        if begin != end:
            raise BentoError(f"the tensors overlap, or have a gap at byte {end} of the data", place=name, remedy=remedy)
        end = stop
    if end != size - 8 - length:
        raise BentoError(f"{name} isn't complete: {size - 8 - length} bytes of tensors instead of {end}", remedy=remedy)
    return [(dtype, stop - begin) for begin, stop, dtype in places]


def _place(tensor: Any, name: str, remedy: str) -> tuple[int, int, str]:
    """Return the offsets of a tensor's data, and its type. Raises BentoError if they don't match its type and shape."""
    match tensor:
        case {"dtype": dtype, "shape": [*shape], "data_offsets": [begin, end]}:
            numbers = [*shape, begin, end]
        case _:
            numbers, dtype = [-1], None
    known = type(dtype) is str and dtype in _BITS
    valid = all(type(number) is int and 0 <= number <= _MAX_DIMENSION for number in numbers)
    if valid and begin <= end and len(shape) <= _MAX_DIMENSIONS:
        bits = _BITS[dtype] if known else 0
        for number in shape:
            bits *= number
        valid = not known or end - begin == bits // 8
    else:
        valid = False
    if not valid:
        raise BentoError("data_offsets don't match the type and the shape", place=name, remedy=remedy)
    return begin, end, dtype if known else _OTHER


def _check_gguf(source: str, name: str) -> None:
    with Path(source).open("rb") as file:
        start = file.read(8)
    version = start[4:]
    known = start[:4] == b"GGUF" and any(struct.pack(order, n) == version for n in (1, 2, 3) for order in ("<I", ">I"))
    if not known:
        raise BentoError(f"{name} isn't a GGUF file of version 1 to 3", remedy="Download the file again.")


def _check_index(path: str, source: str, files: Collection[str], weights: Collection[str], name: str) -> None:
    """Check that an index's shards are in its directory. An index without any shard is allowed with other weights.

    `weights` contains the directories of weights.
    """
    if Path(source).stat().st_size > MAX_LARGE_BYTES:
        return
    directory = posixpath.dirname(path)
    weight_map = read_object(Path(source).read_bytes(), name, is_large=True).get("weight_map")
    shards = {_text(shard, name) for shard in weight_map.values()} if isinstance(weight_map, dict) else set()
    missing = sorted(path for path in (posixpath.join(directory, shard) for shard in shards) if path not in files)
    if missing and (len(missing) < len(shards) or directory not in weights):
        problem = f"{name} names files that the model doesn't contain: {_some(missing)}"
        raise BentoError(problem, remedy="Add them, or remove the index.")


def _text(shard: Any, name: str) -> str:
    if not isinstance(shard, str):
        raise BentoError("weight_map must contain file names", place=name, remedy="Download the file again.")
    return shard


def _missing_shards(files: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the first file of each incomplete set, and the names that are missing."""
    sets: dict[tuple[str, str, str], set[str]] = {}
    for path in files:
        if match := _SHARD.fullmatch(path):
            stem, number, count, suffix = match.groups()
            sets.setdefault((stem, count, suffix), set()).add(number)
    for (stem, count, suffix), numbers in sorted(sets.items()):
        missing = [f"{n:05}" for n in range(1, int(count) + 1) if f"{n:05}" not in numbers]
        if missing:
            yield f"{stem}-{min(numbers)}-of-{count}{suffix}", [f"{stem}-{n}-of-{count}{suffix}" for n in missing]


def _some(names: list[str]) -> str:
    return some([name[:_MAX_NAME] for name in names], _MAX_NAMES)
