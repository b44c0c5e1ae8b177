"""Mutates inputs randomly, based on their format: bytes, tokens, values, names, lengths, and offsets."""

import base64
import copy
import io
import json
import re
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from tests.helpers.tar_files import tar_of

NAMES = (
    "../x", "../../../../x", "/x", "a/../../x", "a//b", "./a", ".", "..", "", "a\0b", "x" * 300, "d/" * 2000 + "x",
    "\udc80", "\ud800", "C:\\x", "con", "A", "\u00e9", "e\u0301", "\x1b[31m", "a\nb", "~/x", "$HOME", "-rf", ".wh.a",
    ".wh...", "a/.wh..wh..opq", "bento.yaml", "model.yaml", "bento.yaml/x",
)  # fmt: skip
# Directories with a file of the same name, next to the directory of an input, whose output is in `out`.
CANARIES = ("canary", "kept")
_CANARY_NAMES = (
    *(f"../../{name}" for name in CANARIES), *(f"../../{name}/{name}" for name in CANARIES),
    "odd/../../../canary/new", "odd-1.0.data/purelib/../../../../kept/kept", "../../kept/", "../out/../../kept/new",
)  # fmt: skip
NUMBERS = (0, 1, -1, 255, 65_535, 1 << 31, (1 << 32) - 1, 1 << 63, 1 << 64, 10**40, -(1 << 70))
TOKENS = (
    *(name.encode("utf-8", "surrogatepass") for name in NAMES), *(str(number).encode() for number in NUMBERS),
    b"[" * 200, b"{" * 200, b"(" * 200, b"- " * 150, b"&a [*a]", b"*a", b"<<: *a\n", b"!!python/object:os.system x",
    b"!!binary a", b"!!pairs [a: b]", b"!!timestamp x", b"!!bool x", b"1:30:59", b".inf", b"1e999",
    b"0x" + b"f" * 400, b"NaN", b"null", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\t", b"\\ud800", b"\\x00", b"\\",
    b'"', b"'", b"#", b"---\n", b"{{ x }}", b"{% for i in range(99999) %}", b"{{ 'a' * 10**9 }}", b"**/" * 100,
    b"*" * 100, b"[!a-", b"!", b"\n" * 50, b"%s" * 50, b"x" * 5000, b"\xc2\xb2", b"9" * 5000,
)  # fmt: skip


_NUMBER = re.compile(rb"[0-9]+")


def mutate(kind: str, seeds: list[bytes], random: Random) -> bytes:
    """Return one of the seeds after one or more mutations for the kind."""
    seed = random.choice(seeds)
    change = _CHANGES.get(kind, _text)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        try:
            seed = change(seed, seeds, random)
        except Exception:  # of what reads the seed, which may be changed already
            seed = _bytes(seed, random)
    return seed[: 4 << 20]


def _bytes(data: bytes, random: Random) -> bytes:
    """Return the data with a changed byte, range, or end."""
    if not data:
        return random.choice(TOKENS)
    made = bytearray(data)
    at = random.randrange(len(made))
    length = random.choice((1, 2, 4, 8, 64, 512))
    what = random.randrange(6)
    if what == 0:
        made[at] ^= 1 << random.randrange(8)
    elif what == 1:
        made[at] = random.choice((0, 255, random.randrange(256)))
    elif what == 2:
        del made[at : at + length]
    elif what == 3:
        made[at:at] = random.choice(TOKENS)
    elif what == 4:
        made[at:at] = made[at : at + length] * random.choice((1, 2, 50))
    else:
        del made[at:]
    return bytes(made)


def _text(data: bytes, seeds: list[bytes], random: Random) -> bytes:
    """Return the data with moved, changed, or repeated lines and words."""
    what = random.randrange(8)
    lines = data.splitlines(keepends=True) or [b""]
    at = random.randrange(len(lines))
    if what == 0:
        return _bytes(data, random)
    if what == 7:
        other = lambda found: found[0] if random.random() < 0.7 else str(random.choice(NUMBERS)).encode()  # noqa: E731
        return _NUMBER.sub(other, data)
    if what == 1:
        lines[at:at] = [lines[at]] * random.choice((1, 2, 100))
    elif what == 2:
        other = random.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    elif what == 3:
        del lines[at : at + random.choice((1, 2, 5))]
    elif what == 4:
        others = random.choice(seeds).splitlines(keepends=True) or [b""]
        start = random.randrange(len(others))
        lines[at:at] = others[start : start + random.choice((1, 3, 10))]
    elif what == 5:
        # A word becomes another one, of the text or a hostile one.
        words = lines[at].split(b" ")
        place = random.randrange(len(words))
        words[place] = random.choice((*TOKENS, *data.split()[:200]))
        lines[at] = b" ".join(words)
    else:
        # What stands behind a sign of assignment, or between quotes, is another value.
        for sign in random.sample((b": ", b"= ", b"=", b'"', b"'", b"("), 6):
            if sign in lines[at]:
                before, _, _ = lines[at].partition(sign)
                lines[at] = before + sign + random.choice(TOKENS) + b"\n"
                break
    return b"".join(lines)


def _document(data: bytes, seeds: list[bytes], random: Random) -> bytes:
    """Return a JSON document (also valid YAML) with a removed key, a value of another type, or a hostile name."""
    if random.random() < 0.2:
        return _text(data, seeds, random)
    document = changed_value(json.loads(data), random)
    return json.dumps(document, ensure_ascii=random.random() < 0.5, indent=1).encode("utf-8", "surrogatepass")


def changed_value(document: Any, random: Random) -> Any:
    """Return a copy of plain values with one changed value."""
    document = copy.deepcopy(document)
    places: list[tuple[Any, Any]] = []
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, (dict, list)):
            keys = list(value) if isinstance(value, dict) else list(range(len(value)))
            places += [(value, key) for key in keys]
            pending += [value[key] for key in keys]
    if not places:
        return _value(random)
    owner, key = random.choice(places)
    what = random.randrange(6)
    if what == 0:
        del owner[key]
    elif what == 1 and isinstance(owner, dict):
        owner[random.choice(NAMES)] = owner.pop(key)
    elif what == 2:
        owner[key] = copy.deepcopy(random.choice(places)[0])
    elif what == 3 and isinstance(owner, list):
        owner[key:key] = [owner[key]] * random.choice((1, 3, 500))
    elif what == 4:
        owner[key] = [owner[key]] if random.random() < 0.5 else {"a": owner[key]}
    else:
        owner[key] = _value(random)
    return document


def _value(random: Random) -> Any:
    nested: Any = 1
    for _ in range(random.choice((3, 99, 101, 400))):
        nested = [nested] if random.random() < 0.5 else {"a": nested}
    plain: tuple[object, ...] = (None, True, 1.5, 1e308, [], {}, [[]], [{}], {"": ""}, nested, "x" * 100_000)
    return random.choice((*plain, *NAMES, *NUMBERS))


def _tar(data: bytes, _seeds: list[bytes], random: Random) -> bytes:
    """Return a tar with changed names, links, kinds, or sizes, or with invalid header fields."""
    if random.random() < 0.4:
        return _tar_header(data, random)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = [(info, tar.extractfile(info).read() if info.isreg() else b"") for info in tar]
    at = random.randrange(len(members))
    info, contents = members[at]
    what = random.randrange(8)
    if what == 0:
        info.name = random.choice(NAMES)
    elif what == 1:
        info.type, info.linkname, contents = (
            random.choice((tarfile.SYMTYPE, tarfile.LNKTYPE)),
            random.choice((*NAMES, *(other.name for other, _ in members))),
            b"",
        )
    elif what == 2:
        info.type = random.choice((b"0", b"1", b"3", b"4", b"5", b"6", b"7", b"L", b"K", b"S", b"g", b"x", b"V", b"\0"))
    elif what == 3:
        info.pax_headers = {
            random.choice(("path", "size", "linkpath", "mtime", "GNU.sparse.map", "hdrcharset", "a")): random.choice(
                (*[name for name in NAMES if name.isascii()], *map(str, NUMBERS))
            )
        }
    elif what == 4:
        members.insert(at, (copy.copy(info), contents))
    elif what == 5:
        below = copy.copy(info)
        below.name += "/" + random.choice(NAMES)
        members.append((below, contents))
    elif what == 6:
        del members[at]
    else:
        contents = random.choice((_bytes(contents, random), b"", contents * 3))
    members[at : at + 1] = [(info, contents)] if what != 6 else members[at : at + 1]
    form = random.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    return tar_of(members, format=form, errors="surrogateescape")


_FIELDS = ((0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155))


def _tar_header(data: bytes, random: Random) -> bytes:
    made = bytearray(data)
    headers = [at for at in range(0, len(made) - 511, 512) if made[at + 257 : at + 262] == b"ustar"]
    if not headers or random.random() < 0.2:
        return _bytes(data, random)
    at = random.choice(headers)
    start, length = random.choice(_FIELDS)
    value = random.choice(
        (
            *(b"7" * length, b"-1", b"\x80" + b"\xff" * (length - 1), b"\xff" * length, b"9", b"", b"\0" * length),
            random.choice(TOKENS),
        )
    )
    made[at + start : at + start + length] = value[:length].ljust(length, b"\0")
    if random.random() < 0.9:
        made[at + 148 : at + 156] = b" " * 8
        made[at + 148 : at + 156] = b"%06o\0 " % sum(made[at : at + 512])
    return bytes(made)


def _packed(pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes]) -> Callable[..., bytes]:
    """Return a function that mutates a compressed tar: the tar, or the compressed stream."""

    def change(data: bytes, seeds: list[bytes], random: Random) -> bytes:
        if random.random() < 0.3:
            return _bytes(data, random)
        try:
            return pack(_tar(unpack(data), seeds, random))
        except Exception as error:
            raise ValueError from error

    return change


_ZIP_FIELDS = {
    b"PK\3\4": ((4, "<H"), (6, "<H"), (8, "<H"), (14, "<L"), (18, "<L"), (22, "<L"), (26, "<H"), (28, "<H")),
    b"PK\1\2": (*((4, "<H"), (8, "<H"), (10, "<H"), (16, "<L"), (20, "<L"), (24, "<L"), (28, "<H"), (30, "<H"), (32, "<H")), *((34, "<H"), (38, "<L"), (42, "<L"))),
    b"PK\5\6": ((4, "<H"), (8, "<H"), (10, "<H"), (12, "<L"), (16, "<L"), (20, "<H")),
}  # fmt: skip


def _zip(data: bytes, seeds: list[bytes], random: Random) -> bytes:
    """Return a zip with changed names or contents, or with wrong lengths, offsets, checksums, and flags."""
    if random.random() < 0.15:
        return _renamed(data, random)
    if random.random() < 0.5:
        made = bytearray(data)
        mark = random.choice(list(_ZIP_FIELDS))
        places = [at for at in range(len(made)) if made.startswith(mark, at)]
        if not places:
            return _bytes(data, random)
        offset, form = random.choice(_ZIP_FIELDS[mark])
        most = 256 ** struct.calcsize(form)
        values = (0, 1, 12, most - 1, most // 2, random.randrange(most), *(min(n, most - 1) for n in NUMBERS if n > 0))
        struct.pack_into(form, made, random.choice(places) + offset, random.choice(values))
        return bytes(made)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info), info.external_attr) for info in archive.infolist()]
    at = random.randrange(len(members))
    name, contents, mode = members[at]
    what = random.randrange(5)
    if what == 0:
        name = random.choice((*NAMES, *_CANARY_NAMES))
    elif what == 1:
        contents = _text(contents, seeds[:0] or [contents], random)
    elif what == 2:
        mode = random.choice((0o120777, 0o060600, 0o040755, 0o100755, 0)) << 16
    elif what == 3:
        members.insert(at, members[at])
    members[at : at + 1] = [] if what == 4 else [(name, contents, mode)]
    made_zip = io.BytesIO()
    warnings.simplefilter("ignore")  # of names that come twice
    with zipfile.ZipFile(made_zip, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, contents, mode in members:
            info = zipfile.ZipInfo(name or "x")
            info.external_attr, info.create_system, info.compress_type = mode, 3, archive.compression
            if random.random() < 0.02:  # Info-ZIP's other name of the member
                other = random.choice((*_CANARY_NAMES, "../x")).encode()
                field = struct.pack("<BL", 1, zlib.crc32(info.filename.encode("utf-8", "surrogatepass"))) + other
                info.extra = struct.pack("<HH", 0x7075, len(field)) + field
            archive.writestr(info, contents)
    return made_zip.getvalue()


def _renamed(data: bytes, random: Random) -> bytes:
    """Return a zip with another name of a member, of the same length: in its header, in the directory, or in both."""
    made = bytearray(data)
    marks = {b"PK\3\4": (26, 30), b"PK\1\2": (28, 46)}  # offsets of the length and of the name
    found = [(at, mark) for mark in marks for at in range(len(made)) if made.startswith(mark, at)]
    places = [(at + marks[mark][1], *struct.unpack_from("<H", made, at + marks[mark][0])) for at, mark in found]
    names = sorted({bytes(made[at : at + length]) for at, length in places if length})
    if not names:
        return _bytes(data, random)
    name = random.choice(names)
    other = random.choice((*NAMES, *_CANARY_NAMES)).encode("utf-8", "surrogatepass")
    other = (other + b"/" + b"x" * len(name))[: len(name)]
    places = [at for at, length in places if made[at : at + length] == name]
    for at in places if random.random() < 0.4 else [random.choice(places)]:
        made[at : at + len(name)] = other
    return bytes(made)


def _binary(data: bytes, _seeds: list[bytes], random: Random) -> bytes:
    """Return the data with changed numbers of 2, 4, or 8 bytes."""
    if random.random() < 0.3 or len(data) < 16:
        return _bytes(data, random)
    made = bytearray(data)
    size, form = random.choice(((2, "<H"), (4, "<L"), (8, "<Q")))
    at = random.randrange(min(len(made), 2048) // size) * size
    most = 256**size
    number = random.choice((*(abs(n) % most for n in NUMBERS), most - 1, random.randrange(most), at, len(made)))
    struct.pack_into(form, made, at, number)
    return bytes(made)


def _deb(data: bytes, seeds: list[bytes], random: Random) -> bytes:
    """Return a Debian package with a changed member header, or with another tar in a member."""
    members = []
    at = 8
    while at + 60 <= len(data):
        size = int(data[at + 48 : at + 58])
        members.append([bytearray(data[at : at + 60]), data[at + 60 : at + 60 + size]])
        at += 60 + size + size % 2
    member = random.choice(members)
    what = random.randrange(4)
    if what == 0:
        start, length = random.choice(((0, 16), (16, 12), (40, 8), (48, 10), (58, 2)))
        member[0][start : start + length] = random.choice(TOKENS)[:length].ljust(length)
    elif what == 1:
        members.append(random.choice(members))
    else:
        form = bytes(member[0][:16]).strip().rpartition(b".")[2].decode("latin-1")
        change = _CHANGES.get(form, _bytes_of) if member[0].startswith((b"data", b"control")) else _bytes_of
        member[1] = change(member[1], seeds, random)
        member[0][48:58] = b"%-10d" % len(member[1])
    return data[:8] + b"".join(bytes(head) + of + b"\n" * (len(of) % 2) for head, of in members)


def _bytes_of(data: bytes, _seeds: list[bytes], random: Random) -> bytes:
    return _bytes(data, random)


_STATUSES = (100, 101, 200, 201, 202, 204, 206, 301, 302, 307, 400, 401, 403, 404, 409, 416, 429, 500, 503, -1, "x")
_HEADERS = {
    "Content-Length": (*NUMBERS, "x", "1, 1", ""),
    "Content-Range": ("bytes 0-0/1", "bytes 0-6/*", "bytes 5-1/7", "bytes 0-6/9" + "9" * 400, "bytes */7", "x"),
    "Content-Type": ("text/html", "application/json; charset=utf-16", ""),
    "Location": ("/y", "//other.example/z", "http://127.0.0.1/x", "https://[::1", "ftp://x/y", "", "\u00e9", "/x y"),
    "Link": ('</v2/next>; rel="next"', '<http://10.0.0.1/>; rel="next"', "<" * 500, '<>; rel=next, <x>; rel="next"'),
    "Range": ("0-69", "0-0", "0-", "69-0", "0-99999999999999999999", "x"),
    "ETag": ("", '"x"', 'W/"1"', "x" * 5000),
    "Retry-After": ("0", "-1", "9" * 400, "Sat, 01 Jan 2000 00:00:00 GMT", "x"),
    "Transfer-Encoding": ("chunked", "gzip", "identity"),
    "WWW-Authenticate": (
        *("Basic", "Bearer", 'Bearer realm=""', 'Bearer realm="http://127.0.0.1/t"', "Bearer " + 'a="b",' * 500),
        *('Bearer realm="https://auth.example/token', 'Digest realm="x"', 'Bearer realm="ftp://x",service="y"'),
    ),
    "Docker-Content-Digest": ("sha256:" + "0" * 64, "x", "md5:0"),
    "OCI-Chunk-Min-Length": NUMBERS,
    "Repr-Digest": ("sha-256=:YQ==:", "sha-256=:a:", "x", "sha-512=::"),
    "X-Checksum-Sha256": ("x", "0" * 64),
    "Connection": ("close", "keep-alive"),
}


def _script(data: bytes, seeds: list[bytes], random: Random) -> bytes:
    """Return a script of responses (see servers.py) with changed statuses, headers, bodies, or requests."""
    if random.random() < 0.05:
        return _bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\n{}", random)
    entries = json.loads(data)
    at = random.randrange(len(entries))
    entry = entries[at]
    what = random.randrange(8)
    if what == 0:
        entry[1] = random.choice(_STATUSES)
    elif what == 1:
        name = random.choice([*_HEADERS, *entry[2]])
        entry[2][name] = random.choice((*_HEADERS.get(name, ()), *NAMES))
    elif what == 2 and entry[2]:
        entry[2].pop(random.choice(list(entry[2])))
    elif what == 3:
        entries[at] = changed_value(entry, random)
    elif what == 4:
        entries[at:at] = [[random.choice(("", "/", entry[0])), *random.choice(entries)[1:]]]
    elif isinstance(entry[3], str):
        packed = entry[3].startswith("base64:")
        body = base64.b64decode(entry[3][7:]) if packed else entry[3].encode("utf-8", "surrogatepass")
        magic = {b"\xfd7zX": "xz", b"\x1f\x8b": "gz"}
        form = next((form for first, form in magic.items() if body.startswith(first)), "")
        body = _CHANGES.get(form, _bytes_of)(body, seeds, random)
        entry[3] = "base64:" + base64.b64encode(body).decode()
    else:
        entry[3] = changed_value(entry[3], random)
    return json.dumps(entries, indent=1).encode("utf-8", "surrogatepass")


def _framed(head: int, length: slice) -> Callable[..., bytes]:
    """Return a function that mutates messages with a length in each header: the order, headers, and contents."""

    def change(data: bytes, _seeds: list[bytes], random: Random) -> bytes:
        if random.random() < 0.15:
            return _bytes(data, random)
        messages = []
        at = 0
        while at + head <= len(data):
            size = int.from_bytes(data[at : at + head][length], "big")
            messages.append([bytearray(data[at : at + head]), data[at + head : at + head + size]])
            at += head + size
        place = random.randrange(len(messages))
        message = messages[place]
        what = random.randrange(6)
        if what == 0:
            messages[place:place] = [message] * random.choice((1, 2, 100))
        elif what == 1:
            del messages[place]
        elif what == 2:
            other = random.randrange(len(messages))
            messages[place], messages[other] = messages[other], message
        elif what == 3:
            number = random.choice((0, 1, 4, 5, 1 << 14, (1 << 18) + 1024, (1 << 24) - 1, 255))
            message[0][length] = number.to_bytes(len(message[0][length]), "big")
        else:
            message[1] = _bytes(message[1], random) if what == 4 else _numbers(message[1], random)
            message[0][length] = len(message[1]).to_bytes(len(message[0][length]), "big")
        if head > 4 and random.random() < 0.2:
            message[0][random.randrange(3, head)] = random.choice((0, 1, 4, 5, 8, 255, random.randrange(256)))
        return b"".join(bytes(first) + rest for first, rest in messages)

    return change


def _numbers(data: bytes, random: Random) -> bytes:
    """Return the data with a changed big-endian number of 1, 4, or 8 bytes."""
    if not data:
        return b"\0"
    size = random.choice((1, 4, 4, 8))
    at = random.randrange(max(1, len(data) - size + 1))
    number = random.choice((0, 1, 2, 5, 7, 101, 255, 1 << 15, 1 << 31, (1 << 32) - 1, (1 << 63), (1 << 64) - 1))
    return data[:at] + (number % 256**size).to_bytes(size, "big") + data[at + size :]


def _blobs(data: bytes, seeds: list[bytes], random: Random) -> bytes:
    """Return a JSON list of documents, one of which has a changed value."""
    documents = json.loads(data)
    at = random.randrange(len(documents))
    if random.random() < 0.2:
        return _bytes(data, random)
    documents[at] = changed_value(documents[at], random)
    return json.dumps(documents).encode("utf-8", "surrogatepass")


def _forms() -> dict[str, Callable[..., bytes]]:
    import bz2
    import gzip
    import lzma

    import zstandard

    return {
        "gz": _packed(lambda data: gzip.compress(data, 1), gzip.decompress),
        "bz2": _packed(lambda data: bz2.compress(data, 1), bz2.decompress),
        "xz": _packed(lambda data: lzma.compress(data, preset=0), lzma.decompress),
        "zst": _packed(
            lambda data: zstandard.ZstdCompressor(1).compress(data),
            lambda data: zstandard.ZstdDecompressor().decompress(data, max_output_size=64 << 20),
        ),
    }


_CHANGES: dict[str, Callable[..., bytes]] = {
    "text": _text,
    "document": _document,
    "tar": _tar,
    "zip": _zip,
    "binary": _binary,
    "deb": _deb,
    "script": _script,
    "frames": _framed(9, slice(0, 3)),
    "packets": _framed(4, slice(0, 4)),
    "blobs": _blobs,
    **_forms(),
}
