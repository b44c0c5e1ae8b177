"""Lists inputs that once caused damage, or used all memory or time, by the reader that now rejects them."""

import functools
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable

from rules_bento.base.archives import tarstream

from tests.debian.made_debs import ar_of, member
from tests.debian.made_debs import tar_of as tar_of_members
from tests.helpers import tar_files
from tests.helpers.made_gpu_code import container, header, joined, library
from tests.hostile import readers
from tests.hostile.readers import tar_of, zip_of
from tests.hostile.servers import SERVERS

SERVICE = b"\nimport bentoml\n@bentoml.service(labels={'x': 'y'})\nclass Svc:\n    @bentoml.api\n    def f(self, x: int) -> int: ...\n"
_WHEEL = "odd-1.0.dist-info/"
DESCRIBED = b"Package: odd\nVersion: 1\nArchitecture: all\nDescription: x\n"


def service(lines: str) -> bytes:
    return lines.encode() + SERVICE


def descriptor(more: str = "", **fields: object) -> bytes:
    document = {**readers.bento_document(), "models": [], **fields}
    return (json.dumps(document)[:-1] + (", " + more if more else "") + "}").encode()


@functools.cache  # read by the reader and by the command
def zeros(form: int, megabytes: int) -> bytes:
    """Return a zip with a descriptor and a file of zeros."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", form) as archive:
        archive.writestr("bento.yaml", descriptor())
        with archive.open("src/zeros", "w", force_zip64=True) as file:
            for _ in range(megabytes):
                file.write(bytes(1 << 20))
    return made.getvalue()


def lying(data: bytes) -> bytes:
    """Return a zip whose directory specifies a size of 100 bytes for the last file."""
    made = bytearray(data)
    struct.pack_into("<L", made, made.rindex(b"PK\1\2") + 24, 100)
    return bytes(made)


def bento(more: dict[str, bytes | str] | None = None, **fields: object) -> bytes:
    return tar_of({"bento.yaml": descriptor(**fields), **(more or {})})


def special(kind: bytes, name: str = "src/x", link: str = "bento.yaml") -> bytes:
    """Return a Bento with a member of a special kind."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return tar_files.tar_of([("bento.yaml", descriptor()), (info, b"")])


def large_descriptor(form: str) -> bytes:
    """Return an archive of a few kilobytes with a bento.yaml of 64 MB."""
    return readers.packed(tar_of({"bento.yaml": b"#" * (64 << 20)}), form)


def deb(control: bytes = DESCRIBED, *, data: bytes = b"") -> bytes:
    members = {
        "debian-binary": b"2.0\n",
        "control.tar": tar_of_members([member("control", data=control)]),
        "data.tar": data or tar_of_members([member("usr/x", data=b"x" * 5000)]),
    }
    return ar_of(members)


def elf_that_repeats() -> bytes:
    """Return a library of 1 kB with an endless table of versions."""
    data = bytearray(readers.elf())
    data[0x380:0x3A0] = struct.pack("<HHLLL", 1, 65535, 0, 16, 0) + struct.pack("<LHHLL", 0, 0, 0, 0, 0)
    at = data.index(struct.pack("<QQ", 0x6FFFFFFF, 1))
    data[at : at + 16] = struct.pack("<QQ", 0x6FFFFFFF, 65536)
    return bytes(data)


def elf_with_texts(tag: int, text: bytes, entries: int = 16_000) -> bytes:
    """Return a library of 1 MB whose entries are the ends of one text."""
    strings, dynamic = b"\0" + text + b"\0", [(5, 0x100), (10, len(text) + 2)]
    dynamic += [(tag, 1 + number) for number in range(entries)]
    table = b"".join(struct.pack("<QQ", *entry) for entry in [*dynamic, (0, 0)])
    at = 0x100 + len(strings)
    data = bytearray(readers.elf()[:176])
    data[64:] = struct.pack("<LLQQQQQQ", 1, 5, 0, 0, 0, at, at, 0x1000)
    data += struct.pack("<LLQQQQQQ", 2, 6, at, at, at, len(table), len(table), 8)
    return bytes(data).ljust(0x100, b"\0") + strings + table


def image(**changes: object) -> bytes:
    """Return a layout with changed documents."""
    documents = {"config": readers.CONFIG, "manifest": readers.MANIFEST, "index": readers.INDEX, **changes}
    return json.dumps(list(documents.values())).encode()


def docker(document: object) -> bytes:
    return tar_of({"manifest.json": json.dumps(document).encode(), "c.json": b"{}"})


def pax_size(text: str) -> bytes:
    """Return a tar with an invalid size record."""
    info = tarfile.TarInfo("manifest.json")
    info.pax_headers = {"size": text}
    return tar_files.tar_of([(info, b"")], format=tarfile.PAX_FORMAT)


def wheel_with_a_wrong_sum() -> bytes:
    """Return a wheel with a wrong CRC for the last file in the zip directory."""
    made = bytearray(readers.wheel())
    at = made.rindex(b"PK\1\2") + 16
    made[at : at + 4] = b"\1\2\3\4"
    return bytes(made)


def removals() -> bytes:
    """Return a layer with a whiteout for each of its files."""
    names = [f"usr/lib/{mark}{number}.so" for mark in ("", ".wh.") for number in range(15_000)]
    members = [tarstream.Member.inline(name, b"") for name in names]
    return b"".join(tarstream.stream(members)) + tarstream.END


def answer(text: str, body: object, name: str) -> bytes:
    """Return a server script with a changed response to requests that contain `text`."""
    (sound,) = SERVERS[name].seeds()
    return json.dumps([[text, 200, {}, body], *json.loads(sound)]).encode()


def refused(text: str, body: str, name: str) -> bytes:
    """Return a server script with an error response to requests that contain `text`."""
    (sound,) = SERVERS[name].seeds()
    return json.dumps([[text, 500, {}, body], *json.loads(sound)]).encode()


def sftp_size(size: int) -> bytes:
    """Return packets of an SFTP server that states another size."""
    (sound,) = SERVERS["sftp"].seeds()
    return sound.replace(struct.pack(">Q", 51_200), struct.pack(">Q", size))


def deeper(steps: int) -> bytes:
    """Return a layer in which each member makes a link one directory deeper."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for number in range(steps):
            link = tarfile.TarInfo(f"l{number}")
            link.type, link.linkname = tarfile.SYMTYPE, f"l{number - 1}/d" if number else "d"
            for member in (link, tarfile.TarInfo(f"l{number}/d/f")):
                tar.addfile(member)
    return file.getvalue()


def shape(*numbers: object) -> bytes:
    """Return a header of a tensor without data."""
    return json.dumps({"a": {"dtype": "F32", "shape": numbers, "data_offsets": [0, 0]}}).encode()


def uv_lock(old: str, new: str) -> bytes:
    [text] = readers.uv_locks()
    assert old.encode() in text
    return text.replace(old.encode(), new.encode())


# Each must be refused.
REFUSED: dict[str, dict[str, Callable[[], bytes]]] = {
    "uv.lock": {
        "a name that leads to another directory": lambda: uv_lock('"odd"', '"odd/../../../x"'),
        "a name that is a path": lambda: uv_lock('"old"', '"/x"'),
        "a digest that leads to another directory": lambda: uv_lock(f"sha256:{readers.SHA}", "sha256:../../../x"),
        "a file name that is a directory": lambda: uv_lock("old-1.0.tar.gz", "%2e%2e"),
        "a wheel of another package": lambda: uv_lock("/odd-1.0", "/evilpkg-1.0"),
        "a wheel of another version": lambda: uv_lock("/odd-1.0", "/odd-0.1"),
        "another form": lambda: uv_lock('"version": 1,', '"version": 2,'),
    },
    "weights": {
        "a list that is repeated": lambda: shape([0], 30_000_000),
        "a text that is repeated": lambda: shape("x", 200_000_000),
        "numbers of 249 digits": lambda: shape(*[int("9" * 249)] * 16_000),
        "lists in the metadata": lambda: b'{"__metadata__": [' + b"[]," * 3_000_000 + b"[]]}",
        "a value that doesn't end": lambda: b'{"a": [' + b"[]," * 20_000_000,
    },
    "wheel": {
        "an entry point without a value that goes on": lambda: readers.wheel(
            {f"{_WHEEL}entry_points.txt": b"[gui_scripts]\nx\n y\n"}
        ),
        "other version": lambda: readers.wheel({f"{_WHEEL}METADATA": b"Metadata-Version: 2.1\nName: odd\nVersion: 2"}),
        "a bomb": lambda: readers.wheel({"odd/zeros": bytes(80 << 20)}),
    },
    "deb": {
        "a control file that goes on with nothing": lambda: deb(b" x\nPackage: odd\n"),
        "2,000 folders": lambda: deb(data=tar_of({"./" + "d/" * 2000 + "x": b"y"})),
    },
    "archive-tar": {
        "a model.yaml that leads to what cannot be": lambda: bento({"models/m/v1/model.yaml": "x" * 300}),
        "a large descriptor": lambda: large_descriptor("tar"),
        "a name that leaves": lambda: bento(name="../../x"),
        "a version that leaves": lambda: bento(version="../x"),
    },
    "archive-xz": {
        "a large descriptor": lambda: large_descriptor("xz"),
        "cut": lambda: readers.packed(bento(), "xz")[:-40],
        "zero bytes follow the end of the archive": lambda: readers.packed(bento(), "xz") + bytes(65 << 20),
    },
    "archive-zst": {"cut": lambda: readers.packed(bento(), "zst")[:-3], "no frame": lambda: b"\x28\xb5\x2f\xfd"},
    "archive-zip": {
        "a bomb of bzip2": lambda: zeros(zipfile.ZIP_BZIP2, 257),
        "a bomb": lambda: zeros(zipfile.ZIP_DEFLATED, 257),
        "a bomb that declares little": lambda: lying(zeros(zipfile.ZIP_DEFLATED, 257)),
        "a path outside": lambda: zip_of({"bento.yaml": descriptor(), "../x": b"y"}),
    },
    "oci-archive": {
        "another index": lambda: tar_of({"oci-layout": b"{}", "index.json": b'{"manifests": [{"digest": 5}]}'}),
        "no index": lambda: tar_of({"blobs/sha256/x": b"x"}),
        "zero bytes follow the end of the archive": lambda: readers.READERS["oci-archive"].seeds()[0] + bytes(65 << 20),
    },
    "layout": {
        "a variable that is a mapping": lambda: image(config={**readers.CONFIG, "config": {"Env": [{"a": "PATH"}]}}),
        "an index that is a number": lambda: image(index=5),
        "a manifest that is a list": lambda: image(manifest=[]),
        "a config that is a text": lambda: image(config="x"),
        **{
            f"an index that Go's programs read as another: {name}": lambda name=name: image(  # type: ignore[misc]
                index={**readers.INDEX, name: []}
            )
            for name in ("Manifests", "MANIFESTS", "manife\u017fts", "mediatype")
        },
        **{
            f"an entry that Go's programs read as another: {name}": lambda name=name: image(  # type: ignore[misc]
                index={"manifests": [{"mediaType": "x", "digest": f"sha256:{readers.SHA}", "size": 1, name: "x"}]}
            )
            for name in ("Digest", "SIZE", "dige\u017ft", "MediaType")
        },
        "a platform that Go's programs read as another": lambda: image(
            index={
                "manifests": [{"digest": f"sha256:{readers.SHA}", "size": 1, "platform": {"os": "linux", "OS": "x"}}]
            }
        ),
        "layers that are numbers": lambda: image(manifest={**readers.MANIFEST, "layers": [1]}),
        "a digest that is a path": lambda: image(
            index={"manifests": [{"mediaType": "x", "digest": "sha256:../../x", "size": 1}]}
        ),
    },
    "docker-archive": {
        "no fields": lambda: docker([{}]),
        "layers that are a number": lambda: docker([{"Config": "c.json", "Layers": 5}]),
        "a mapping": lambda: docker({"a": 1}),
        "a number": lambda: docker([3]),
        "a config that is nowhere": lambda: docker([{"Config": "../c.json", "Layers": []}]),
        "a size that is no number": lambda: pax_size("A"),
        "a name that cannot be shown": lambda: tar_of({"manifest.json": "\udc80"}, tarfile.GNU_FORMAT),
        "a link to itself": lambda: tar_of({"manifest.json": "manifest.json"}),
    },
    "base-layer": {
        "a system's file with gaps": lambda: special(b"S", "etc/passwd"),
        "zero bytes follow the end of the archive": lambda: tar_of({"x": b"y"}) + bytes(65 << 20),
    },
    "sdist": {
        "a name that no file can have": lambda: tar_of({"odd-1/" + "x" * 300: b""}),
        "a hard link to what is elsewhere": lambda: special(b"1", "odd-1/x", "../../etc/passwd"),
        "a link that leads outside": lambda: tar_of({"odd-1/x": "../../etc"}),
    },
    "model-archive": {"a name that no file can have": lambda: tar_of({"model.yaml": b"", "x" * 300: b""})},
    "hub": {
        "many values": lambda: answer("/api/", [[]] * 600_000, "hub"),
        "a long answer": lambda: answer("/api/", " " * (17 << 20), "hub"),
        "a long refusal": lambda: refused("/api/", "x" * (1 << 20), "hub"),
        "a file longer than its size": lambda: answer("/resolve/", "{" + " " * 9 + "}", "hub"),
        "a commit that is long": lambda: answer("/api/", {"id": "a/b", "sha": "x" * 5_000_000}, "hub"),
    },
    "ftp": {
        "a reply without an end": lambda: readers.seed("ftp").replace(b"213 7", b"213-7\n" + b"x\n" * 100_000),
        "a size with many digits": lambda: readers.seed("ftp").replace(b"213 7", b"213 " + b"9" * 5000),
        "a size that is negative": lambda: readers.seed("ftp").replace(b"213 7", b"213 -7"),
        "more bytes than the size": lambda: readers.seed("ftp") + b"x",
    },
    "sftp": {"a size of 1 TiB": lambda: sftp_size(1 << 40), "a size of 16 EiB": lambda: sftp_size((1 << 64) - 1)},
    "wheel-unpacked": {"a file that is damaged, after others": wheel_with_a_wrong_sum},
}


def _linked_projects() -> dict[str, Callable[[], bytes]]:
    """Return projects with a link out of the project, or with a pipe, at paths that are read or that options name."""
    code = SERVICE.decode()
    image = "image=bentoml.images.Image(python_version='3.11').run_script('n')"
    found: dict[str, Callable[[], bytes]] = {}
    for what, target in {"outside": {"link": readers.OUTSIDE}, "pipe": {"pipe": ""}}.items():
        cases: dict[str, dict[str, object]] = {
            place: {place: target} for place in ("service.py", ".bentoignore", "data.txt", "pyproject.toml", "uv.lock")
        }
        cases["-r"] = {"r.txt": "-r n\n", "n": target}
        cases["image"] = {"service.py": code.replace("labels={'x': 'y'}", image), "n": target}
        cases |= {option: {"n": target} for option in ("python: {requirements_txt: n}", "description: 'file:n'")}
        for name, files in cases.items():
            options = name if ":" in name else "python: {requirements_txt: r.txt}" if name == "-r" else ""
            document = {"bentofile.yaml": f'service: "service:Svc"\n{options}\n', "service.py": code, **files}
            found[f"{name}: {what}"] = lambda document=document: json.dumps(document).encode()  # type: ignore[misc]
    return found


# Each may be read or refused, within the bounds.
BOUNDED: dict[str, dict[str, Callable[[], bytes]]] = {
    "weights": {
        "many tensors": lambda: (
            b"{" + b",".join(b'"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % n for n in range(880_000)) + b"}"
        )
    },
    "weights-index": {
        "many names": lambda: (
            b'{"weight_map":{' + b",".join(b'"\xf0\x9f\x98\x80%x":"m-1.bin"' % n for n in range(900_000)) + b"}}"
        )
    },
    "image-unpacked": {
        "folders in each other": lambda: tar_of({f"{'a/' * depth}f": b"" for depth in (99, 260, 2000)}),
        "folders through links": lambda: deeper(3000),
    },
    "layer-note": {"an empty word": lambda: readers.note_with_named("")},
    "cache-http": {"a reason that is an empty line": lambda: refused("/cas/", "\n\n", "cache-http")},
    "project": _linked_projects(),
    "deb": {"lines that go on": lambda: deb(DESCRIBED + b" y\n" * 1_000_000)},
    "stanzas": {"lines that go on": lambda: DESCRIBED + b" y\n" * 1_000_000},
    "wheel": {
        "lines that go on": lambda: readers.wheel(
            {f"{_WHEEL}METADATA": b"Metadata-Version: 2.1\nName: odd\nVersion: 1.0\nSummary: x\n" + b" y\n" * 1_000_000}
        )
    },
    "elf": {
        "a place beyond all files": lambda: readers.elf()[:32] + b"\xff" * 8 + readers.elf()[40:],
        "versions that repeat": elf_that_repeats,
        "search paths that are the ends of one": lambda: elf_with_texts(29, b"a:" * 500_000),
        "names that are the ends of one": lambda: elf_with_texts(1, b"a" * 4_000, 4_000),
        "many modules": lambda: elf_with_texts(1, b"\0".join(b"PyInit_%x" % number for number in range(3_000_000)), 1),
        "cut": lambda: readers.elf()[:100],
    },
    "gpu_code": {
        "containers without an end": lambda: library(struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 0) * 250_000),
        "entries without an end": lambda: library(container(header(2, 90) * 65_000)),
        "tables without an end": lambda: library(container(joined(*[header(2, 90)] * 1_000) * 60)),
    },
    "headers": {
        "a long word": lambda: b"Bearer " + b"a" * 65_000,
        "open brackets": lambda: b"<" * 65_000,
        "brackets": lambda: b"<>;" * 20_000,
        "digits": lambda: b"bytes 0-0/" + b"9" * 5000 + b"\n\xb2",
    },
    "archive-tar": {
        "many links": lambda: bento({f"m{k}": "/".join(["a/.."] * 500) for k in range(1000)} | {"a/b": b""}),
        "an env that is a path": lambda: bento(envs=[{"name": "/victim/.ssh/authorized_keys", "value": "x"}]),
    },
    "base-layer": {"many that are removed": removals},
    "bento.yaml": {"a number that no float is": lambda: descriptor('"args": {"a": 1e400}')},
}
