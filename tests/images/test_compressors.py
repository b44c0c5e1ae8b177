"""Compressors write the same bytes on each CPU. Recorded on x86-64 with and without AVX-512, AVX2, and SSE4, and on ARM."""

from __future__ import annotations

import hashlib
import os
import random
import struct
import subprocess
import sys

import pytest
from rules_bento.base.archives import compressors
from rules_bento.base.errors import BentoError
from rules_bento.base.programs import which
from rules_bento.images.layers import gzip, zstd

RECORDED = {
    "gzip": "0e643b4504bc13209120d4c3ddcd15a9c0e6b63ab7d4ed6ed027264949ba8da6",
    "joined": "7bc08ce91a76a47a508e88cb83df5648fa6f9d2c3944c6e354c61ca800fd0afa",
    "zstd": "117a40f4c897b461fb138b2c214ca44f857f2211ccb7f7a31f3d8f4e6118a3e2",
    "samples": "3104ae49b4f0c618dda8a6d9571df00462a995086e4a4a98dbd268536a88a188",
}
CPUS = ("qemu64", "Nehalem", "max")  # without SSSE3, without AVX, and all that qemu has
SCRIPT = "import json; from tests.images.test_compressors import digests; print(json.dumps(digests()))"


def corpus():
    """Return 1 MiB blocks of text, of numbers, of repetitions, and of noise."""
    chance = random.Random(1)
    words = [chance.randbytes(2 + int(chance.random() * 9)).hex().encode() for _ in range(3000)]
    text = b" ".join(words[int(chance.random() ** 2 * len(words))] for _ in range(100_000))
    table = b"".join(b"%d;%d;%.3f\n" % (n, n * n % 977, chance.random()) for n in range(60_000))
    code = struct.pack("<100000Q", *(int(chance.random() ** 4 * 2**40) for _ in range(100_000)))
    near = b"".join(chance.randbytes(40) + bytes(200) + b"ab" * 300 for _ in range(1000))
    blocks = (text, table, code, near, chance.randbytes(1 << 19), bytes(1 << 20))
    return [block[: 1 << 20] for block in blocks]


def digests():
    blocks = corpus()
    made = {
        "gzip": [gzip.compress(block) for block in blocks],
        "joined": [gzip._blocks(block) for block in blocks],
        "zstd": [zstd.frames(storing=True)(block) for block in blocks],
        "samples": [compressors.zlib_ng().compress(block[:4096], compressors._SAMPLE_LEVEL) for block in blocks],
    }
    return {name: hashlib.sha256(b"".join(pieces)).hexdigest() for name, pieces in made.items()}


def test_this_cpu_writes_the_recorded_bytes():
    assert digests() == RECORDED


@pytest.mark.parametrize("cpu", CPUS)
def test_other_cpus_write_the_recorded_bytes(cpu):
    qemu = which("qemu-x86_64-static") or which("qemu-x86_64")
    if not qemu or os.uname().machine != "x86_64":
        pytest.skip("no qemu is here (Debian's package qemu-user-static), or another CPU")
    paths = os.pathsep.join(filter(None, (os.getcwd(), *sys.path)))  # noqa: PTH109
    words = [qemu, "-cpu", cpu, os.path.realpath(sys.executable), "-c", SCRIPT]
    done = subprocess.run(words, env={"PYTHONPATH": paths}, capture_output=True, text=True, check=True)
    assert done.stdout.strip().replace('"', "'") == str(RECORDED)


@pytest.mark.parametrize(("name", "compress"), [("_ZLIB_NG", gzip.compress), ("_ZSTD", zstd.frames)])
def test_another_version_is_refused(name, compress, monkeypatch):
    """Conda and distributions link the packages with their own libraries."""
    monkeypatch.setattr(compressors, name, "9.9")
    for function in (compressors.zlib_ng, compressors.zstd):
        function.cache_clear()
    with pytest.raises(BentoError, match=r"would write other bytes than version 9.9. Install rules-bento with"):
        compress(b"") if name == "_ZLIB_NG" else compress(storing=False)
    for function in (compressors.zlib_ng, compressors.zstd):
        function.cache_clear()
