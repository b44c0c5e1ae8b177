"""xz streams: what is written, byte by byte, and that the real readers take it."""

import lzma
import random
import shutil
import struct
import subprocess
import threading
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_bento.base import threads as pools
from rules_bento.base.archives import compressors, streams, xz

RANDOM = random.Random(5).randbytes(3 * xz.BLOCK)
TEXT = b"".join(b"def function_%d(argument: int) -> int: ...\n" % number for number in range(60_000))


def whole(*pieces, threads=1):
    return b"".join(xz.stream(pieces, threads))


@pytest.fixture
def xz_tool():
    tool = shutil.which("xz")
    assert tool, "these tests need xz on PATH"
    return tool


def runs():
    """Pieces of input: incompressible, repetitive or short, of sizes around those that matter."""
    size = st.one_of(
        st.integers(0, 70_000), st.sampled_from([xz.BLOCK - 1, xz.BLOCK, xz.BLOCK + 1, 65_535, 65_536, 65_537])
    )
    return st.lists(
        st.builds(lambda source, length: source[:length], st.sampled_from([RANDOM, TEXT]), size), max_size=5
    )


@given(runs())
@settings(max_examples=40)
def test_the_stream_holds_the_input(pieces):
    assert lzma.decompress(whole(*pieces)) == b"".join(pieces)


@given(runs(), st.sampled_from([2, 4]))
@settings(max_examples=20)
def test_threads_do_not_show_in_the_bytes(pieces, threads):
    assert whole(*pieces, threads=threads) == whole(*pieces)


@given(runs(), st.integers(1_000, 100_000))
@settings(max_examples=20)
def test_neither_does_how_the_input_comes_in_pieces(pieces, size):
    data = b"".join(pieces)
    assert whole(*(data[start : start + size] for start in range(0, len(data), size))) == whole(data)


def test_the_empty_stream_is_the_one_that_liblzma_writes():
    assert whole() == lzma.compress(b"", check=lzma.CHECK_CRC32) == whole(b"")


def test_incompressible_input_is_stored_at_its_size_and_a_few_bytes():
    size = len(whole(RANDOM))
    chunks = len(RANDOM) // 65_536
    assert len(RANDOM) + 3 * chunks < size < len(RANDOM) + 3 * chunks + 200


def test_what_is_sampled_as_worth_it_but_does_not_get_smaller_is_stored():
    short = RANDOM[:1000]
    assert compressors.compressible(short)
    assert len(whole(short)) < len(short) + 80


def test_each_block_is_decided_on_its_own():
    text = TEXT[: xz.BLOCK]
    both = len(whole(RANDOM[: xz.BLOCK], text))
    assert both < xz.BLOCK + len(whole(text)) + 200
    assert not compressors.compressible(RANDOM[: xz.BLOCK])
    assert compressors.compressible(text)


@pytest.mark.parametrize("size", [1 << 16, xz.BLOCK])
def test_weights_are_stored(size):
    """The beginning of each sample shrinks a little, and the whole sample doesn't shrink by a quarter."""
    chance = random.Random(3)
    weights = struct.pack(f"<{size // 4}f", *(chance.gauss(0, 0.02) for _ in range(size // 4)))
    assert len(zlib.compress(weights[:4096], 1)) < 0.95 * 4096
    assert not compressors.compressible(weights)
    assert len(whole(weights)) > size


@pytest.mark.parametrize("size", [16_385, 16_386, 20_000, 65_537, xz.BLOCK - 1, xz.BLOCK])
def test_the_sample_is_taken_from_all_over_the_block(size):
    assert not compressors.compressible(RANDOM[:size])
    half = size // 2
    assert compressors.compressible(RANDOM[:half] + bytes(size - half))
    assert compressors.compressible(bytes(size - half) + RANDOM[:half])


def test_cut_gives_blocks_of_one_size_without_asking_for_more_than_it_needs():
    asked = []

    def pieces():
        for piece in (b"ab", b"", b"cdefg", b"h"):
            asked.append(piece)
            yield piece

    blocks = streams.split(pieces(), 3)
    assert next(blocks) == b"abc"
    assert asked == [b"ab", b"", b"cdefg"]
    assert list(blocks) == [b"def", b"gh"]
    assert list(streams.split([], 3)) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_in_order_keeps_the_order_and_gives_the_error(threads):
    assert list(pools.ordered_map(str, range(50), threads)) == [str(number) for number in range(50)]
    results = pools.ordered_map(lambda number: 1 // (number - 5), range(50), threads)
    with pytest.raises(ZeroDivisionError):
        list(results)


@pytest.mark.parametrize("threads", [1, 2])
def test_reading_ahead_keeps_the_order_and_gives_the_error(threads):
    taken = []

    def items(name, zero):
        for number in range(100):
            taken.append((name, threading.get_ident()))
            yield number, 1 // (zero - number)

    found = pools.read_ahead((items(*each) for each in (("a", 100), ("b", 90), ("c", 100))), threads)
    first = next(found)
    assert [next(first)[0] for _ in range(3)] == [0, 1, 2]
    assert len(taken) <= 3 + 2 * 9
    assert ({thread for _, thread in taken} == {threading.get_ident()}) is (threads == 1)
    assert [number for number, _ in first] == list(range(3, 100))
    second = next(found)
    with pytest.raises(ZeroDivisionError):
        list(second)
    assert len([name for name, _ in taken if name == "b"]) == 91
    found.close()
    assert threading.active_count() == 1
    rest = pools.read_ahead([range(100), iter("abc")], threads)
    assert next(next(rest)) == 0
    rest.close()
    assert threading.active_count() == 1


def test_in_order_does_not_run_ahead():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = pools.ordered_map(str, items(), 2)
    next(results)
    assert len(taken) <= 4
    results.close()


def test_xz_reads_it(xz_tool, tmp_path):
    file = tmp_path / "data.xz"
    file.write_bytes(whole(RANDOM, TEXT))
    subprocess.run([xz_tool, "--test", file], check=True)
    listing = subprocess.run(
        [xz_tool, "-vv", "--list", "--robot", file], check=True, capture_output=True, text=True
    ).stdout
    [totals] = [line.split("\t") for line in listing.splitlines() if line.startswith("file")]
    blocks = -(-len(RANDOM + TEXT) // xz.BLOCK)
    assert totals[1:7] == [
        "1", str(blocks), str(file.stat().st_size), str(len(RANDOM + TEXT)),
        f"{file.stat().st_size / len(RANDOM + TEXT):.3f}", "CRC32",
    ]  # fmt: skip
    # Block headers give both sizes, so all cores can decode.
    assert [line.split("\t")[12] for line in listing.splitlines() if line.startswith("block")] == ["cu"] * blocks
    for threads in "1", "2":
        decoded = subprocess.run([xz_tool, "-dc", "-T", threads, file], check=True, capture_output=True).stdout
        assert decoded == RANDOM + TEXT


@given(st.data())
@settings(max_examples=200)
def test_a_changed_byte_is_noticed(data):
    good = whole(RANDOM[:3000], TEXT[:20_000], RANDOM[: xz.BLOCK])
    at = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((lzma.LZMAError, EOFError)):
        lzma.decompress(bytes(changed), format=lzma.FORMAT_XZ)
