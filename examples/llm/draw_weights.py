"""Draws a GPT-2 of random weights: `draw_weights.py FOLDER LAYERS WIDTH HEADS SHARDS`.

The files are those that `from_pretrained` of transformers reads: a config, shards in safetensors' format, and the index
of these. Numbers are bfloat16, small, and the same each time.
"""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path

_TOKENS = 256  # bytes
_POSITIONS = 1024
_PIECE = 1 << 24
# The upper byte of a number: its sign, and most of an exponent that makes it some hundredths.
_SMALL = bytes(0x3C | byte & 0x80 for byte in range(256))


def main(output: str, layers: int, width: int, heads: int, shards: int) -> None:
    """Write the files, in as little memory whatever their size."""
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = _tensors(layers, width)
    total = sum(_size(shape) for shape in tensors.values())
    placed: dict[int, dict[str, list[int]]] = {number: {} for number in range(1, shards + 1)}
    before = 0
    for name, shape in tensors.items():
        placed[1 + before * shards // total][name] = shape
        before += _size(shape)
    files = {number: f"model-{number:05}-of-{shards:05}.safetensors" for number in placed}
    chance = random.Random(0)
    for number, held in placed.items():
        _write_shard(folder / files[number], held, chance)
    index = {
        "metadata": {"total_size": total},
        "weight_map": {name: files[number] for number, held in placed.items() for name in held},
    }
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "bos_token_id": 0,
        "dtype": "bfloat16",
        "eos_token_id": 0,
        "model_type": "gpt2",
        "n_embd": width,
        "n_head": heads,
        "n_layer": layers,
        "n_positions": _POSITIONS,
        "vocab_size": _TOKENS,
    }
    for name, document in (("model.safetensors.index.json", index), ("config.json", config)):
        (folder / name).write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _tensors(layers: int, width: int) -> dict[str, list[int]]:
    """Return the shapes, by the names that transformers has for GPT-2; the head is that of the tokens."""
    named = {"wte.weight": [_TOKENS, width], "wpe.weight": [_POSITIONS, width]}
    for layer in range(layers):
        for name, inner in (("attn.c_attn", 3 * width), ("mlp.c_fc", 4 * width)):
            named |= {f"h.{layer}.{name}.weight": [width, inner], f"h.{layer}.{name}.bias": [inner]}
        for name, inner in (("attn.c_proj", width), ("mlp.c_proj", 4 * width)):
            named |= {f"h.{layer}.{name}.weight": [inner, width], f"h.{layer}.{name}.bias": [width]}
        for name in ("ln_1", "ln_2"):
            named |= {f"h.{layer}.{name}.weight": [width], f"h.{layer}.{name}.bias": [width]}
    named |= {"ln_f.weight": [width], "ln_f.bias": [width]}
    return {f"transformer.{name}": shape for name, shape in named.items()}


def _size(shape: list[int]) -> int:
    return 2 * math.prod(shape)


def _write_shard(path: Path, tensors: dict[str, list[int]], chance: random.Random) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        start, end = end, end + _size(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for start in range(0, end, _PIECE):
            numbers = bytearray(chance.randbytes(min(_PIECE, end - start)))
            numbers[1::2] = numbers[1::2].translate(_SMALL)
            file.write(numbers)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
