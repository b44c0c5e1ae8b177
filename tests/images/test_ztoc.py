"""zTOCs: the contents of all spans, and the entries that soci itself lists for the same layer.

soci's own reader verified the zTOCs of 221 wheels, by hand: bench/soci_verify.go.
"""

import base64
import hashlib
import random
import struct
import tarfile
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rules_bento.base.archives.recipe import Recipe
from rules_bento.base.archives.tarstream import Member
from rules_bento.base.errors import BentoError
from rules_bento.images.layers import ztoc
from rules_bento.images.layers.layer import write_files_layer, write_tar_layer, write_wheel_layer, write_wheel_recipe
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_layers import LAYOUT, unpacked
from tests.helpers.made_wheels import Maker
from tests.helpers.tar_files import tar_of

# What soci 0.15 writes for the layer of `_entries` (`soci_verify.go build`).
SOCI = zlib.decompress(
    base64.b85decode(
        "c-rmMKW|b|7{~GFR<uZoc5q;*2?GNI)>|$GZquQIi3|=79ZX}Q{5hqK6bM`sx-mI9_zrY%@C6v--nZb}@GXeXIUKC5S`+P{$@f#9"
        "d+y)E@7!}rPUcpnAbDBSHZ3_xX)98)7mD-id%?VYGZpE*5SeIY_0LM{{dVuMR!S@I?R~BBL9@JB-HOU4id(I)ve`EE@_rnddR&X!"
        "txlzEYGE9;J8@h!)sE3qQ7tsp>b|Kq!&)n<Z<gCpU2ae3{fg|kZAJh9000000000000000000000000000000000000000000000"
        "00000000000Kku~Nm^3672S$!>sp_*CV|M)C6V+Mk-}Axyi_EVk`%=5-*Qi{N>-m2_jF#jp|6J41Fg@&={Mc8o2B{w&f-|vo;KoI"
        "cqiP@&u$oQxzFB3sWp;x4o5EYV3^z$m#OX&UX-um%VvA1_4d1b4e>8QE-&NAbmh9wXpV--vCG!bes?rSNs6*2Iqm&?PW!!y)=RBd"
        "S}U3>lRBGsYTv=)Aai<t=${SzaFQ>xne98Lb<=0*j!r(Dyf*8}Bysl)o5{i7j`L@IFXp7E*9vZ=zn>F3&e{2ObK`VQ8h<b+F5~mQ"
        "ENeSHKI$FzpScV+uRCz_vhC8^75=OBWB)g@nysK!49?C+KA6ArZ{cjCCvyILRx9oLOSwL6z1MoT$T8@5|K)NM>etj|te5|7+<9Gn"
        "c7<HDKDK@BYCSsl`)Ako#}$8&yZqmoW&b|yI$v??y=TTxTBe^2+&$rXEMEaXiV<D"
    )
)
# The fields of a file in ztoc.fbs: numbers by their form, and references to strings.
FIELDS = ("", "", "q", "q", "", "q", "I", "I", "", "", "")


def number(data, at, form="I"):
    return struct.unpack_from(f"<{form}", data, at)[0]


def field(data, table, slot):
    vtable = table - number(data, table, "i")
    offset = number(data, vtable + 4 + 2 * slot, "H") if 4 + 2 * slot < number(data, vtable, "H") else 0
    return table + offset if offset else 0


def follow(data, at):
    return at + number(data, at)


def value(data, table, slot, form):
    at = field(data, table, slot)
    if form:
        return number(data, at, form) if at else 0
    at = follow(data, at) if at else 0
    return data[at + 4 : at + 4 + number(data, at)].decode() if at else ""


def tables(data, vector):
    return [follow(data, vector + 4 + 4 * at) for at in range(number(data, vector))]


def listed(data):
    """Return all fields of all files."""
    vector = follow(data, field(data, follow(data, field(data, number(data, 0), 4)), 0))
    rows = [[value(data, table, slot, form) for slot, form in enumerate(FIELDS)] for table in tables(data, vector)]
    return sorted(rows, key=lambda row: row[2])


def spans(data, layer):
    """Yield the contents of each span after its digest is verified. Begins at the checkpoint, as soci does."""
    info = follow(data, field(data, number(data, 0), 5))
    algorithm = field(data, info, 0)
    assert not algorithm or number(data, algorithm, "b") == 1  # gzip, the default
    digests = tables(data, follow(data, field(data, info, 2)))
    blob = follow(data, field(data, info, 3)) + 4
    count, size = struct.unpack_from("<Iq", data, blob)
    assert (count, size, number(data, blob - 4)) == (len(digests), ztoc.SPAN, 12 + count * 32785)
    assert number(data, field(data, info, 1), "i") == count - 1 if count > 1 else True
    points = [struct.unpack_from("<qqB", data, blob + 12 + at * 32785) for at in range(count)]
    points.append((value(data, number(data, 0), 2, "q"), value(data, number(data, 0), 3, "q"), 0))
    for at in range(count):
        (begin, tar, bits), (end, tar_end, _) = points[at : at + 2]
        window = data[blob + 29 + at * 32785 : blob + 12 + (at + 1) * 32785]
        packed = layer[begin - (bits > 0) : end]
        text = data[digests[at] + 4 : digests[at] + 75].decode()
        assert text == f"sha256:{hashlib.sha256(packed).hexdigest()}"
        yield inflated(packed, bits, window, tar_end - tar)


def starts(data):
    """Return the offsets of the spans in the tar."""
    blob = follow(data, field(data, follow(data, field(data, number(data, 0), 5)), 3)) + 4
    return [number(data, blob + 20 + at * 32785, "q") for at in range(number(data, blob))]


def inflated(packed, bits, window, size):
    if bits:  # empty blocks with fixed codes, 10 bits each, and a stored block with contents that is omitted below
        packed = ztoc.moved(8 - bits, packed[0]) + packed[1:]
    output, form = b"", -15
    while len(output) < size:
        inflater = zlib.decompressobj(form, zdict=window) if form < 0 else zlib.decompressobj(form)
        output += inflater.decompress(packed)
        packed = inflater.unused_data[8 if form < 0 else 0 :]  # the trailer of the first gzip member
        form = 31
    assert len(output) == size
    return output


def made(path):
    layer = path.read_bytes()
    return layer, ztoc.make(lambda start, end: iter([layer[start:end]]), len(layer), "layer")


def _entries():
    return [
        Member.inline("opt/größe.txt", b"u" * 100, uid=1034, gid=1035),
        Member.inline("opt/" + "long" * 40 + ".txt", b"1"),
        Member.inline("opt/empty", b""),
        Member.inline("opt/run", b"#!/bin/sh\n" * 300, mode=0o755),
        Member.symlink("opt/link", "run", uid=1034),
    ]


def test_the_entries_are_those_of_soci(tmp_path):
    write_files_layer(tmp_path / "layer", _entries(), "gzip")
    layer, data = made(tmp_path / "layer")
    root, soci_root = (
        [value(content, number(content, 0), slot, form) for slot, form in enumerate(("", "", "q", "q"))]
        for content in (data, SOCI)
    )
    soci_root[2] = len(layer)  # soci read a layer of another compressor
    assert root == soci_root  # the version, the tool, and both sizes
    assert listed(data) == listed(SOCI)
    assert len(listed(data)) == 6
    assert starts(data) == starts(SOCI) == [0]
    assert b"".join(spans(data, layer)) == unpacked(tmp_path / "layer", "gzip")


@pytest.fixture
def small_spans(monkeypatch):
    monkeypatch.setattr(ztoc, "SPAN", 1 << 17)
    monkeypatch.setattr(ztoc, "_RETRY", 1 << 15)


def text(size, seed=0):
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randint(2, 9)) for _ in range(3000)]
    return b"".join(chance.choices(words, k=size // 5))


@pytest.mark.parametrize("level", [1, 6, 9])
def test_a_large_file_has_spans_that_begin_at_its_blocks(tmp_path, small_spans, level):
    wheel = Maker().add({"odd/large.bin": text(4 << 20)}).write(tmp_path, level=level)
    write_wheel_layer(tmp_path / "layer", Wheel.read(wheel), LAYOUT, "gzip")
    layer, data = made(tmp_path / "layer")
    tar = unpacked(tmp_path / "layer", "gzip")
    assert b"".join(spans(data, layer)) == tar
    begins = starts(data)
    assert len(begins) > 15
    sizes = [end - begin for begin, end in zip(begins, [*begins[1:], len(tar)], strict=True)]
    assert max(sizes) < 3 * ztoc.SPAN


def test_a_recipe_has_the_ztoc_of_its_layer(tmp_path, small_spans):
    wheel = Maker().add({"odd/large.bin": text(1 << 20), "odd/small.txt": "x"}).write(tmp_path)
    write_wheel_layer(tmp_path / "layer", Wheel.read(wheel), LAYOUT, "gzip")
    info = write_wheel_recipe(tmp_path / "recipe", Wheel.read(wheel), LAYOUT)
    assert ztoc.make(Recipe(tmp_path / "recipe", wheel).pieces, info.size, "layer") == made(tmp_path / "layer")[1]


contents = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 9), st.integers(0, 600_000)),
    st.builds(lambda unit, count: unit * count, st.binary(min_size=1, max_size=40), st.integers(0, 30_000)),
    st.builds(text, st.integers(0, 1_000_000), st.integers(0, 9)),
)


@settings(max_examples=40)
@given(files=st.lists(st.tuples(contents, st.booleans()), max_size=8), level=st.integers(0, 9))
@example(files=[(bytes(57348), False)], level=0)
def test_the_spans_of_any_wheel_are_its_layer(tmp_path_factory, files, level):
    directory = tmp_path_factory.mktemp("wheel")
    maker = Maker()
    for count, (data, stored) in enumerate(files):
        maker.add({f"odd/{count}.bin": data}, stored=stored)
    wheel = maker.write(directory, level=level)
    write_wheel_layer(directory / "layer", Wheel.read(wheel), LAYOUT, "gzip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ztoc, "SPAN", 1 << 16)
        patch.setattr(ztoc, "_RETRY", 1 << 14)
        layer, index = made(directory / "layer")
        tar = unpacked(directory / "layer", "gzip")
        assert b"".join(spans(index, layer)) == tar
        for name, _, begin, size, *_ in listed(index):
            if name.endswith(".bin"):
                assert tar[begin : begin + size] == files[int(name.rpartition("/")[2][:-4])][0]


def test_a_layer_with_extended_attributes_has_no_ztoc(tmp_path):
    info = tarfile.TarInfo("ping")
    info.pax_headers = {"SCHILY.xattr.security.capability": "x"}
    tar = tar_of([(info, b"")], format=tarfile.PAX_FORMAT)
    write_tar_layer(tmp_path / "layer", [tar.rstrip(b"\0") + bytes(400)], "gzip")
    assert made(tmp_path / "layer")[1] == b""


@pytest.mark.parametrize("keep", [-1, 40, -9])
def test_a_damaged_layer_is_an_error(tmp_path, keep):
    write_files_layer(tmp_path / "layer", _entries(), "gzip")
    (tmp_path / "layer").write_bytes((tmp_path / "layer").read_bytes()[:keep])
    with pytest.raises(BentoError, match="truncated"):
        made(tmp_path / "layer")
