"""What somebody who can write to the registry, or who builds dishonestly, can change, and a proof finds."""

import base64
import hashlib
import json
import marshal
import re
import shutil
import tarfile
import unicodedata
import zlib
from functools import partial

import zstandard
from rules_bento.images.registry.layout import Layout
from rules_bento.images.signing import cosign
from rules_bento.images.signing.provenance import PREDICATE
from rules_bento.images.soci import ARTIFACT_TYPE

from tests.helpers.namespace_spellings import SPELLINGS
from tests.proofs.image_attacks import INDEX, LIBRARY, MINOR, PYC, SITE, TAG, Image, packed
from tests.sharing.image_support import blob

ENV, ALPHA, INFO, MAIN = "app/.venv", f"{SITE}/alpha", f"{SITE}/alpha-1.0.dist-info", "app/_main/main.py"
LONG = f"{SITE}/beta/{'long' * 20}/{'name' * 20}.txt"
CACHE, ONE = f"{ALPHA}/__pycache__", f"{ALPHA}/one.py"
PACKAGES, BYTECODE, SOURCES = 3, 4, 5  # layers
OCI = "org.opencontainers.image."
AMD64 = {"platform": {"os": "linux", "architecture": "amd64"}}
MARK = b"\xef\xbb\xbf"
LINK, FOLDER = tarfile.SYMTYPE, tarfile.DIRTYPE
OTHER, TWICE, EXTRA = (
    "has other contents",
    "twice|has other contents|belongs to",
    "isn't of a package, the sources, or the base",
)
FORM, AFTER = "has an unusual header|is invalid", "data after the (last member|end)"
TRUNCATED = "the archive is truncated"
NAMES = {"NFC": "beta/donn\u00e9es.txt", "NFD": unicodedata.normalize("NFD", "beta/donn\u00e9es.txt")}


def edit(path, change=None, **fields):
    return lambda image: image.edit(path, change, **fields)


def add(path, data=b"import os\n", **fields):
    return lambda image: image.add(path, data, **fields)


def remove(selects):
    return lambda image: image.remove(selects)


def both(*changes):
    return lambda image: [change(image) for change in changes]


def setting(name, value):
    return lambda image: image.config["config"].__setitem__(name, value)


def variables(change):
    return lambda image: image.config["config"].__setitem__("Env", change(image.config["config"]["Env"]))


def config(change):
    return lambda image: change(image.config)


def manifest(change):
    return lambda image: image.on_manifest.append(change)


def layout(change):
    return lambda image: image.on_layout.append(change)


def tar(change, at=PACKAGES):
    return lambda image: image.on_tar.__setitem__(at, change)


def compressed(change, at=PACKAGES):
    return lambda image: image.on_blob.__setitem__(at, change)


def given(**inputs):
    """Change what the user trusts. Values are paths below the directory of the case, or None."""
    return lambda image: image.inputs.update(
        {key: path and image.case.directory / path for key, path in inputs.items()}
    )


def sbom(change):
    return lambda image: change({each["name"]: each for each in image.sbom["components"]}, image.sbom["components"])


def marked(directory, entry):
    """Put a byte order mark before a manifest."""
    path = directory / "blobs" / entry["digest"].replace(":", "/")
    return entry | blob(directory, MARK + path.read_bytes(), entry["mediaType"])


def layers(change):
    """Change the descriptors and the diff IDs of layers, after the diff IDs are known."""
    return lambda image: image.on_layers.append(change)


def code(text):
    """Other bytecode of a module, with the header of what is there."""
    return lambda data: data[:16] + marshal.dumps(compile(text, f"/{ONE}", "exec", dont_inherit=True))


def header(name, size=0, kind=b"0", link="", **fields):
    """A header of ustar, whose `fields` (offset_N) replace bytes before the checksum."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    for offset, data in fields.items():
        at = int(offset.partition("_")[2])
        block[at : at + len(data)] = data
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data):
    return data + b"\0" * (-len(data) % 512)


def extended(records, kind=b"x"):
    lines = b"".join(b"%d %s\n" % (len(each) + 4, each) for each in records)  # of 6 to 95 bytes
    return header("././@PaxHeader", len(lines), kind) + padded(lines)


def before(*blocks):
    """Put data before the first member of a layer."""
    return tar(lambda data: b"".join(blocks) + data)


def ended(data):
    """What is before the end of a tar."""
    return data.rstrip(b"\0") + b"\0" * (-len(data.rstrip(b"\0")) % 512)


def with_header(data, change):
    """Change the header of `one.py`."""
    at = data.index(ONE.encode())
    block = bytearray(data[at : at + 512])
    change(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:at] + bytes(block) + data[at + 512 :]


def put(block, at, data):
    block[at : at + len(data)] = data


def member(at, data):
    return tar(lambda whole: with_header(whole, lambda block: put(block, at, data)))


def gzip_with(flags, field):
    return compressed(lambda data: data[:3] + bytes([flags]) + data[4:10] + field + data[10:])


def as_zstd(change):
    return lambda image: image.recompress(lambda data: change(zstandard.compress(data)), "+zstd")


def swap(items, one, other):
    items[one], items[other] = items[other], items[one]


def index_of(*entries, **fields):
    """List the image in an index, before other entries: functions of a directory for blobs and of the case."""

    def attack(image):
        def change(directory, entry):
            listed = [entry | AMD64 | fields, *(each(directory, image.case) for each in entries)]
            return blob(directory, json.dumps({"schemaVersion": 2, "manifests": listed}).encode(), INDEX)

        image.on_layout.append(change)

    return attack


def dishonest(directory, case, *, platform=True, config=b"application/vnd.oci.image.config.v1+json"):
    """The image of a dishonest builder."""
    other = Layout.open(case.directory / "evil-out")
    shutil.copytree(other.directory / "blobs", directory / "blobs", dirs_exist_ok=True)
    content = other.find().content.replace(b"application/vnd.oci.image.config.v1+json", config)
    return blob(directory, content, "application/vnd.oci.image.manifest.v1+json") | (AMD64 if platform else {})


def nested(directory, case):
    return blob(directory, b'{"schemaVersion":2,"manifests":[]}', INDEX) | AMD64


def lazy(directory, case):
    """What no program can run, and an image for programs that ignore case."""
    image = Layout.open(case.out).find()
    document = json.loads(image.content)
    config = {"config": blob(directory, b"{}", ARTIFACT_TYPE), "Config": document["config"]}
    return blob(directory, json.dumps(document | config).encode(), document["mediaType"]) | AMD64


def renamed(directory, entry):
    """Add a list of images to an index, for programs that ignore case."""
    path = directory / "blobs" / entry["digest"].replace(":", "/")
    document = json.loads(path.read_bytes())
    return entry | blob(directory, json.dumps(document | {"Manifests": []}).encode(), INDEX)


def served(directory, entry):
    """Change a byte of a compressed layer that nothing depends on, and not its digest."""
    layer = Layout.open(directory).manifest(entry["digest"]).layers()[PACKAGES]
    path = directory / "blobs" / layer.digest.replace(":", "/")
    path.write_bytes((data := path.read_bytes())[:8] + b"x" + data[9:])
    return entry


def bless(image):
    """Add a module, and list it in RECORD."""
    image.add(f"{ALPHA}/evil.py", b"x\n", at=PACKAGES)
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"x\n").digest()).rstrip(b"=")
    line = b"alpha/evil.py,sha256=%s,2\n" % digest
    image.edit(f"{INFO}/RECORD", lambda data: b"".join(sorted([*data.splitlines(True), line])))


def hide(name):
    """Give the bytecode of `one.py` another name, and put other bytecode in its place."""
    return lambda image: (image.add(name, image.data(PYC), uid=1034, gid=1034), image.edit(PYC, code("import os\n")))


def poisoned(image):
    """The wheel of a dishonest builder, in the image and in the cache."""
    other = Image(image.case, "evil-out")
    for at in (PACKAGES, BYTECODE):
        image.layers[at] = other.layers[at]
        image.rewritten.add(at)
    cached = image.case.cached("alpha")
    image.replace(cached, (image.case.directory / "evil" / cached.name).read_bytes())


def lying(image):
    """A wheel that isn't in the cache, and an index that has other contents than the lock says."""
    cached = image.case.cached("alpha")
    image.replace(image.case.wheels / cached.name, (image.case.directory / "evil" / cached.name).read_bytes())
    image.replace(cached, None)


# Each name has the change of an image, and a part of the finding. Some are made for several paths, names, or values.
ATTACKS = {
    # Bytecode
    "other code": (edit(PYC, code("import os\n")), "one.* other code"),
    "other constants": (edit(PYC, lambda data: data.replace(b"\x01b", b"\x01y").replace(b"\x01c", b"\x01z")), "other code"),
    "hash of another source": (edit(PYC, lambda data: data[:8] + b"\1" * 8 + data[16:]), "other code"),
    "bytecode with a timestamp": (edit(PYC, lambda data: data[:4] + b"\0" * 12 + data[16:]), "other code"),
    "bytecode that is compared with its source": (edit(PYC, lambda data: data[:4] + b"\3" + data[5:]), "other code"),
    "bytecode without a source": (add(f"{CACHE}/evil.{TAG}.pyc"), "evil.* without a verified source"),
    "bytecode with a second name": (hide(f"{CACHE}/one.cpython-30{MINOR}.pyc"), f"one.{TAG}.pyc: .*other code"),
    "bytecode with a second name, in Arabic": (hide(PYC[:-5] + chr(0x660 + int(PYC[-5])) + ".pyc"), f"one.{TAG}.pyc: .*other code"),
    "bytecode of a source that isn't valid": (add(f"{CACHE}/broken.{TAG}.pyc", b"", uid=1034, gid=1034), "broken"),
    "bytecode of the base's library": (edit(f"{LIBRARY}/__pycache__/os.{TAG}.pyc", code("import os\n")), "os.* other code"),
    "bytecode of an invalid module of the base": (add(f"{LIBRARY}/__pycache__/broken.{TAG}.pyc", b""), "broken"),
    "bytecode of a link in the base": (add(f"{LIBRARY}/__pycache__/linked.{TAG}.pyc"), "linked"),
    "bytecode of the base's packages": (add(f"{LIBRARY}/site-packages/__pycache__/tool.{TAG}.pyc"), "tool.* other code"),
    "bytecode of tests": (add(f"{ALPHA}/tests/__pycache__/case.{TAG}.pyc", uid=1034, gid=1034), "case.* other code"),
    "bytecode of the project": (add(f"app/_main/__pycache__/main.{TAG}.pyc"), "without a verified source"),
    "bytecode twice": (add(PYC), f"{PYC}: .*{TWICE}"),
    "bytecode of another user": (edit(PYC, uid=0), "belongs to 0:1034"),
    "bytecode is a link": (edit(PYC, b"", type=LINK, linkname="/tmp/x.pyc", mode=0o777), "one.* is a link"),
    "no bytecode of the base's library": (remove(lambda path: path.startswith(f"{LIBRARY}/__pycache__")), "are only directories of the base"),
    "no members of a layer": (tar(lambda data: bytes(1024), 1), "are only directories of the base"),
    # Files of packages, of the project, and of the environment
    **{f"changed: {path}": (edit(path, lambda data: data + b"#\n"), f"{path}: {OTHER}") for path in (
        *(f"{INFO}/{name}" for name in ("INSTALLER", "METADATA", "RECORD", "WHEEL", "entry_points.txt")),
        ONE, MAIN, f"{ALPHA}/_native.abi3.so",
        *(f"{ENV}/{path}" for path in ("bin/alpha", "bin/alpha-tool", "share/alpha.txt", "bin/entrypoint.py", "pyvenv.cfg")),
    )},
    **{f"extra: {path}": (add(path), f"{path}: {EXTRA}") for path in (
        f"{ALPHA}/evil.pyc", f"{SITE}/zlib.pyc", f"{CACHE}/one.cpython-3{MINOR + 1}.pyc", f"{CACHE}/one.{TAG}.opt-1.pyc",
        f"{SITE}/zz.pth", f"{SITE}/__editable___web_finder.py", f"{SITE}/sitecustomize.py", "app/_main/sitecustomize.py",
        f"{LIBRARY}/site-packages/sitecustomize.py", "etc/ld.so.preload", f"{INFO}/direct_url.json", "srv/evil", f"{ENV}/bin/ls",
        f"{SITE}/evil-1.0.dist-info/METADATA", "app/_main/evil.py", f"{SITE}/{NAMES['NFD']}", ".wh..wh.plnk/1", "app/evil",
    )},
    **{f"missing: {path}": (remove(path), f"{path}: is missing") for path in (f"{ALPHA}/two.py", MAIN, f"{ENV}/bin/python3")},
    **{f"missing: {path}": (remove(path), f"{path}: is a missing") for path in (f"{SITE}/beta", "home/bentoml/tmp")},
    **{f"renamed: {old}": (edit(f"{SITE}/{old}", name=f"{SITE}/{new}"), f"{new}: {EXTRA}") for old, new in (
        ("alpha/one.py", "alpha/eno.py"), ("alpha/two.py", "alpha/Two.py"), (NAMES["NFC"], NAMES["NFD"]),
    )},
    "a blessed file": (bless, f"alpha/evil.py: {EXTRA}"),
    "a missing package": (
        both(remove(lambda path: "/beta" in path), edit(f"{SITE}/ns/__init__.py", SPELLINGS["pkgutil"][0].encode())),
        "beta/__init__.py: is missing, but beta-1.0",
    ),
    "packages of the system": (edit(f"{ENV}/pyvenv.cfg", lambda data: data.replace(b"false", b"true")), f"pyvenv.cfg: {OTHER}"),
    "a link of the sources": (edit("app/_main/data/latest.csv", linkname="/etc/passwd"), "links to /etc/passwd instead of x.csv"),
    "another interpreter": (edit(f"{ENV}/bin/python", linkname="/usr/local/bin/tool"), "links to /usr/local/bin/tool instead of"),
    "the interpreter is a file": (edit(f"{ENV}/bin/python3", b"x", type=b"0", linkname="", mode=0o755), "is a file, but"),
    **{f"replaced: {path}": (add(path), f"{path}: replaces a file of the base") for path in ("etc/passwd", f"{LIBRARY}/os.py", "lib")},
    "a directory replaces a link of the base": (add("lib", b"", type=FOLDER, mode=0o755), "lib: replaces a file of the base"),
    "a file below a link of the base": (add("lib/evil.so"), "is below lib, which is a file or a link"),
    "a directory of the base with another mode": (add("app/tmp", b"", type=FOLDER, mode=0o755), "app/tmp: has the mode 755"),
    **{f"extra directory: {path}": (add(path, b"", type=FOLDER, mode=0o755), f"{path}: isn't a directory of") for path in ("tmp", f"{SITE}/x")},
    # Structure
    **{f"whiteout: {path}": (add(path, b""), "removes files of the layers below") for path in (
        "etc/.wh.passwd", f"{ALPHA}/.wh.two.py", f"{SITE}/.wh..wh..opq", ".wh..wh..opq",
    )},
    "a module twice, in one layer": (add(ONE, at=PACKAGES), TWICE),
    "a module first, in one layer": (add(ONE, at=PACKAGES, first=True), TWICE),
    "a module twice, in two layers": (add(ONE), TWICE),
    "a module in a lower layer": (add(ONE, at=1), TWICE),
    "a directory is a link": (
        both(remove(f"{ALPHA}"), add(ALPHA, b"", at=1, type=LINK, linkname="/tmp/alpha", mode=0o777)), f"alpha: {EXTRA}",
    ),
    "a module is a link": (edit(ONE, b"", type=LINK, linkname="/tmp/one.py", mode=0o777), "one.py: is a link"),
    "a module is a directory": (edit(ONE, b"", type=FOLDER, mode=0o755), "one.py: isn't a directory of"),
    "a directory is a file": (both(remove(lambda path: path.startswith(f"{ENV}/share")), add(f"{ENV}/share")), "share: isn't of"),
    **{f"mode {mode:o} of {path}": (edit(path, mode=mode), f"{path}: has the mode {mode:o}") for path, mode in (
        (ALPHA, 0o777), (ALPHA, 0o1755), (f"{ALPHA}/_native.abi3.so", 0o4755), (f"{ENV}/bin/alpha", 0o2755), (MAIN, 0o666), (PYC, 0o755),
        ("app/_main/run.sh", 0o644),
    )},
    **{f"owner {fields} of {path}": (edit(path, **fields), f"{path}: belongs to") for path, fields in (
        (ONE, {"uid": 1000}), (MAIN, {"gid": 1034}), ("app/_main", {"uid": 1034}),
    )},
    # Forms of tar
    **{f"kind {kind!r}": (member(156, kind), FORM) for kind in (b"3", b"4", b"6", b"7", b"D", b"S", b"V", b"\0")},
    "kind b'1'": (member(156, b"1"), FORM),
    "hard link": (add(f"{ALPHA}/evil.py", b"", type=tarfile.LNKTYPE, linkname="etc/passwd"), "is a hard link"),
    "sparse file of POSIX": (before(extended([b"GNU.sparse.major=1"])), FORM),
    "long name of GNU": (before(header("././@LongLink", 2, b"L"), padded(b"x\0"), header("y", 2), padded(b"x\n")), FORM),
    "long link of GNU": (before(header("././@LongLink", 2, b"K"), padded(b"x\0"), header("y", 0, b"2", "z")), FORM),
    "extended attributes": (edit(ONE, pax_headers={"SCHILY.xattr.security.capability": "x"}), FORM),
    "extended attributes of a directory": (edit(ALPHA, pax_headers={"SCHILY.xattr.user.x": "x"}), FORM),
    "long extended attributes": (edit(ONE, pax_headers={"SCHILY.xattr.user.x": "x" * 101}), FORM),
    "another path": (edit(ONE, pax_headers={"path": f"{ALPHA}/eno.py"}), FORM),
    "a path that needs no extended header": (edit(ONE, pax_headers={"path": ONE}), FORM),
    "another path in ustar": (edit(ONE, name="etc/x", pax_headers={"path": ONE}), FORM),
    "another long path in ustar": (edit(LONG, name="etc/x", pax_headers={"path": LONG}), FORM),
    "a directory in ustar": (before(extended([b"path=\xc3\xa9"]), header("?", offset_345=b"etc")), FORM),
    "data after a directory in ustar": (before(header("x", offset_345=b"etc\0evil")), FORM),
    "another long path in POSIX": (edit(LONG, pax_headers={"path": "etc/x"}), FORM),
    "another size": (edit(ONE, pax_headers={"size": "3"}), FORM),
    "an ID that needs no extended header": (edit(ONE, pax_headers={"uid": "1034"}), FORM),
    "another ID": (edit(ONE, uid=1034, pax_headers={"uid": "99999999"}), FORM),
    "a time in an extended header": (edit(ONE, pax_headers={"mtime": "1.5"}), FORM),
    "global header": (before(extended([b"path=etc/passwd"], b"g")), FORM),
    "two extended headers": (before(extended([b"path=xxxxx"]), extended([b"path=yyyyy"])), FORM),
    "many extended headers": (before(*[extended([b"path=xxxxx"])] * 99), "large headers"),
    "a field twice": (before(extended([b"path=x", b"path=y"])), FORM),
    "deleted field": (before(extended([b"path="]), header("x")), FORM),
    "zero in a path": (before(extended([b"path=" + b"a\0" * 40 + "\u00e9".encode()]), header("a\0" * 40 + "?")), "normalized"),
    **{f"field {at} is {data!r}": (member(at, data), FORM) for at, data in (
        (124, b"\x80" + b"\0" * 10 + b"\5"), (124, b"\xff" * 12), (124, b"0" * 11 + b"5"),
        (136, b"1"), (265, b"root\0"), (257, b"ustar  \0"), (257, b"\0" * 8),
        (329, b"0000001\0"),
        (len(ONE) + 1, b"x"), (500, b"x"),
    )},
    "checksum": (tar(lambda data: data.replace(b"ustar\x0000", b"ustar\x0001", 1)), "checksum"),
    **{f"path {path}": (edit(ONE, name=path), "normalized") for path in (
        f"./{ONE}", f"/{ONE}", f"{ALPHA}//one.py", f"{ALPHA}/../alpha/one.py", f"{ALPHA}/./one.py",
    )},
    "a long name": (add("a/" + "a" * 256), "more than 255 bytes"),
    "a long path": (add("a/" * 100 + "a"), "more than 100 directories"),
    "a link with contents": (before(header("x", 5, b"2", "y"), padded(b"12345")), FORM),
    "a link without a target": (before(header("x", 0, b"2")), "without a target"),
    "a directory with a target": (before(extended([b"linkpath=\xc3\xa9"]), header("x/", 0, b"5", "?")), FORM),
    "a file with a target": (before(header("x", link="etc/passwd")), FORM),
    "directory without a slash": (before(header("x", offset_156=b"5")), "directory without a slash"),
    "data after the end": (tar(lambda data: data + b"x" * 512), AFTER),
    "members after the end": (tar(lambda data: data + header("x") + b"\0" * 1024), AFTER),
    "zeros after the end": (tar(lambda data: data + b"\0" * 20480), AFTER),
    "no end": (tar(ended), TRUNCATED),
    "half an end": (tar(lambda data: ended(data) + b"\0" * 512), TRUNCATED),
    "data in padding": (tar(lambda data: data.replace(b"A = 1\n\0", b"A = 1\nX", 1)), FORM),
    "data in the last padding": (tar(lambda data: ended(data)[:-1] + b"x" + bytes(1024)), AFTER),
    "truncated": (tar(lambda data: data[:2000]), TRUNCATED),
    # Compression
    "gzip members after the end": (compressed(lambda data: data + packed(b"x" * 512)), AFTER),
    "data after gzip": (compressed(lambda data: data + b"junk"), "isn't gzip"),
    **{f"gzip with {field!r}": (gzip_with(flags, field), "optional fields of gzip") for flags, field in (
        (8, b"name\0"), (4, b"\4\0abcd"), (16, b"comment\0"), (2, b"\0\0"),
    )},
    "time in gzip": (compressed(lambda data: data[:4] + b"\1\2\3\4" + data[8:]), "optional fields of gzip"),
    "truncated gzip": (compressed(lambda data: data[:-9]), "ends within gzip|damaged"),
    "checksum of gzip": (compressed(lambda data: data[:-8] + b"1234" + data[-4:]), "damaged gzip data"),
    "not compressed": (compressed(lambda data: zlib.decompress(data, 31)), "isn't gzip"),
    "zstd with the type of gzip": (compressed(lambda data: zstandard.compress(zlib.decompress(data, 31))), "isn't gzip"),
    "skippable frame": (as_zstd(lambda data: b"\x50\x2a\x4d\x18\4\0\0\0abcd" + data), "isn't zstd"),
    "skippable frame at the end": (as_zstd(lambda data: data + b"\x5f\x2a\x4d\x18\4\0\0\0abcd"), "isn't zstd"),
    "frame after the end": (as_zstd(lambda data: data + zstandard.compress(b"x" * 512)), AFTER),
    "truncated zstd": (as_zstd(lambda data: data[:-2]), "ends within zstd"),
    # Config
    **{f"setting {name}": (setting(name, value), f"{name}: is") for name, value in {
        "Entrypoint": ["/bin/sh", "-c", "id"], "User": "0:0", "WorkingDir": "/tmp", "Volumes": {"/app": {}},
        "Healthcheck": {"Test": ["CMD", "id"]}, "OnBuild": ["RUN id"], "Shell": ["/tmp/sh"], "StopSignal": "SIGKILL",
        "ExposedPorts": {"22/tcp": {}}, "NetworkDisabled": False, "entrypoint": ["id"], "Labels": ["x"],
    }.items()},
    "Entrypoint without isolation": (lambda image: image.config["config"]["Entrypoint"].remove("-I"), "Entrypoint: is"),
    "Cmd": (setting("Cmd", ["id"]), "Cmd: is"),
    "Cmd that isn't a list": (setting("Cmd", "id"), "Cmd: is"),
    "more words": (lambda image: image.config["config"]["Cmd"].append("--evil"), "Cmd: is"),
    "more words of the entry point": (lambda image: image.config["config"]["Entrypoint"].append("-x"), "Entrypoint: is"),
    **{f"variable {text}": (variables(lambda env, text=text: [*env, text]), f"Env {text.partition('=')[0]}") for text in (
        "LD_PRELOAD=/app/_main/data/x.csv", "PYTHONSTARTUP=/tmp/x.py", "X=1", "BASH_ENV=/tmp/x", "ENV=/tmp/x", "GCONV_PATH=/tmp", "NODE_OPTIONS=-r/x", "BENTO_PATH=/",
    )},
    **{f"variable {old} to {new}": (variables(lambda env, old=old, new=new: [re.sub(old, new, each) for each in env]), "Env ") for old, new in (
        ("^PYTHONPATH=.*", "PYTHONPATH=/app/../tmp"), ("^RUNFILES_DIR=.*", "RUNFILES_DIR=/tmp"), ("^PYTHONPATH=", "PYTHONPATH=/tmp:"), ("^PATH=(.*?):(.*?)(?=:)", r"PATH=\2:\1"), ("^PYTHONDONTWRITEBYTECODE=", "Y="), ("^PATH=", "Path="),
    )},
    "variable twice": (variables(lambda env: ["PATH=/tmp", *env]), "config Env: is"),
    "variable that isn't a string": (variables(lambda env: [*env, 1]), "config Env: is"),
    "variable without a value": (variables(lambda env: [*env, "LD_PRELOAD"]), "config Env: is"),
    **{f"label {name}": (lambda image, name=name: image.config["config"]["Labels"].update({name: "x"}), f"Labels {name}") for name in (
        "run", f"{OCI}base.digest", f"{OCI}title", "rules_bento.bytecode",
        f"{OCI}base.name",
    )},
    **{f"{name} is {value}": (config(lambda document, name=name, value=value: document.update({name: value})), str(fragment)) for name, value, fragment in (
        ("created", "2020-01-01T00:00:00Z", "created: is"), ("author", "x", "author: is"), ("architecture", "arm64", "arm64"),
        ("variant", "v9", "variant: is"), ("history", [], "history: is"), ("history", [{}] * 6, "history: is"), ("history", [1] * 6, "history: is"), ("history", None, "history: is"),
        ("os", "windows", "windows"), ("os.features", ["x"], "os.features: is"),
        ("config", None, "config config: is None"), ("rootfs", [], "aren't the layers"), ("rootfs", {"diff_ids": []}, "aren't the layers"),
    )},
    "type of the layers": (config(lambda document: document["rootfs"].update(type="x")), "aren't the layers"),
    "wrong diff ID": (config(lambda document: put(document["rootfs"]["diff_ids"], SOURCES, ["sha256:" + "0" * 64])), "which the config states"),
    "wrong diff ID of the base": (config(lambda document: put(document["rootfs"]["diff_ids"], 0, ["sha256:" + "0" * 64])), "aren't the layers"),
    "a diff ID more": (config(lambda document: document["rootfs"]["diff_ids"].append("sha256:" + "0" * 64)), "rootfs: names 7 layers"),
    # Manifest and index
    "order of layers": (layers(lambda listed, _: swap(listed, PACKAGES, SOURCES)), "which the config states"),
    "sources below the base": (layers(lambda *both: [swap(listed, 0, SOURCES) for listed in both]), "aren't the layers of"),
    "a missing layer": (layers(lambda *both: [listed.pop() for listed in both]), "main.py: is missing|history"),
    "a layer twice": (layers(lambda *both: [listed.append(listed[SOURCES]) for listed in both]), "history"),
    "other base": (given(base="other-base"), "aren't the layers of.*; the image names sha256:"),
    "changed base": (edit("etc/passwd", lambda data: data + b"x:x:0:0::/:/bin/sh\n"), "aren't the layers of"),
    **{f"layer {at}: {fields}": (layers(lambda listed, _, at=at, fields=fields: listed[at].update(fields)), fragment) for at, fields, fragment in (
        (0, {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}, "layers"),
        (3, {"urls": ["https://example.com/x"]}, "urls"),
        (0, {"urls": ["https://example.com/x"]}, "urls"), (3, {"data": "eA=="}, "data"), (3, {"artifactType": "x/y"}, "artifactType"),
        (3, {"platform": {"os": "x"}}, "platform"),
        (3, {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}, "mediaType: is"),
        (3, {"annotations": {"io.github.containers.zstd-chunked.manifest-position": "1:2:3:1"}}, "annotations"),
    )},
    **{f"config: {fields}": (manifest(lambda document, fields=fields: document["config"].update(fields)), fragment) for fields, fragment in (
        ({"data": "eA=="}, "config.data"),
        ({"mediaType": "application/vnd.wasm.config.v0+json"}, "wasm"),
    )},
    **{f"annotation {name}": (manifest(lambda document, name=name: document["annotations"].update({name: "x"})), name) for name in ("run", f"{OCI}title")},
    "fewer annotations": (manifest(lambda document: document.pop("annotations")), "title: is None"),
    "artifact type": (manifest(lambda document: document.update(artifactType="x/y")), "artifactType"),
    "subject": (manifest(lambda document: document.update(subject=document["config"])), "subject"),
    "version of the manifest": (manifest(lambda document: document.update(schemaVersion=1)), "schemaVersion: is 1"),
    "no type of the manifest": (manifest(lambda document: document.pop("mediaType")), "mediaType: is None"),
    "second manifest": (index_of(dishonest), "one.py: has other contents"),
    "image as an index for lazy pulls": (index_of(partial(dishonest, config=ARTIFACT_TYPE.encode())), "one.py: has other contents"),
    "manifest without a platform": (index_of(partial(dishonest, platform=False)), "as {}"),
    "manifest of another platform": (index_of(platform={"os": "linux", "architecture": "arm64"}), "arm64"),
    "image of a variant": (index_of(platform=AMD64["platform"] | {"variant": "v3"}), "variant"),
    **{f"field {name} in an index": (index_of(**{name: value}), f"unknown field '{name}'") for name, value in (
        ("Digest", "sha256:" + "0" * 64), ("Platform", {}), ("urls", ["https://example.com/x"]), ("data", "eA=="),
    )},
    "images in another case": (both(index_of(), layout(renamed)), "unknown field 'Manifests'"),
    "config in another case": (index_of(lazy), "has a field twice"),
    "image as an index": (layout(lambda _, entry: entry | {"mediaType": INDEX}), "described as"),
    "nested index": (index_of(nested), "lists another index"),
    "a blob with another digest": (layout(served), "sha256:[0-9a-f]+: the content doesn't match the digest"),
    # What is trusted
    "lock of another hash": (given(source=None, lock="hash.txt"), f"{ONE}: {EXTRA}"),
    "lock without a hash": (given(source=None, lock="pin.txt"), "the lock has no hashes"),
    "lock of other wheels": (given(source=None, lock="evil-project/uv.lock"), OTHER),
    "wheel in the cache": (poisoned, "alpha"),
    "index with another hash": (lying, "alpha"),
    # Descriptors and JSON
    "config with a byte order mark": (lambda image: setattr(image, "on_config", lambda data: MARK + data), "config: doesn't begin with {"),
    "manifest with a byte order mark": (layout(marked), "manifest: doesn't begin with {"),
    "index with a byte order mark": (both(index_of(), layout(marked)), "index: doesn't begin with {"),
    "size of the config": (lambda image: image.of_config.update(size=1), "config: has [0-9]+ bytes instead of 1,"),
    "size of an image in an index": (index_of(size=1), "manifest: has [0-9]+ bytes instead of 1,"),
    "size of an image in a layout": (layout(lambda _, entry: entry | {"size": 1}), "manifest: has [0-9]+ bytes instead of 1,"),
    "size of an index in a layout": (both(index_of(), layout(lambda _, entry: entry | {"size": 1})), "index: has [0-9]+ bytes instead of 1,"),
    "size of a layer": (layers(lambda listed, _: listed[PACKAGES].update(size=listed[PACKAGES]["size"] - 1)), "the content doesn't match|missing blob"),
    "version of the manifest as a fraction": (manifest(lambda document: document.update(schemaVersion=2.0)), "schemaVersion: is 2.0"),
    # History
    **{f"history: {field} is {value}": (config(lambda document, field=field, value=value: document["history"][PACKAGES].update({field: value})), "history: is") for field, value in (
        ("created", "2020-01-01T00:00:00Z"), ("created", "yesterday"), ("created", None), ("created_by", "/bin/sh -c #(nop) CMD"),
        ("created_by", None), ("created_by", []), ("comment", "x"),
    )},
    "invalid times": (
        config(lambda document: (document.update(created="x"), [each.update(created="x") for each in document["history"]])), "created: is 'x'",
    ),
    "a namespace with more code": (edit(f"{SITE}/ns/__init__.py", lambda data: data + b"import os\n"), OTHER),
    "bytecode of a namespace": (add(f"{SITE}/ns/__pycache__/__init__.{TAG}.pyc"), "doesn't compile|isn't a directory"),
    "a directory twice in a layer": (add(ALPHA, b"", at=PACKAGES, type=FOLDER, mode=0o755, uid=1034, gid=1034), "alpha' twice"),
}  # fmt: skip
# Without sources, these aren't known to be wrong.
OF_SOURCES = {
    f"changed: {MAIN}", f"missing: {MAIN}", "extra: app/_main/evil.py", "extra: app/_main/sitecustomize.py", "extra: app/evil",
    "mode 644 of app/_main/run.sh", "a link of the sources", "owner {'gid': 1034} of app/_main/main.py", "variable X=1",
    "more words", "Cmd", "setting WorkingDir", "setting ExposedPorts", "label run",
}  # fmt: skip


WITHOUT_SOURCES = {
    "a file below a link": (
        both(add("app/_main/a", b"", type=LINK, linkname=f"/{ALPHA}", mode=0o777), add("app/_main/a/one.py")), "is below",
    ),
    "far below a link": (both(add("app/a", b"", type=LINK, linkname="/etc", mode=0o777), add("app/a/b/c")), "c: is below app/a"),
    "a link below a link": (
        both(add("app/a", b"", type=LINK, linkname="/etc", mode=0o777), add("app/a/b", b"", type=LINK, linkname="x", mode=0o777)), "is below",
    ),
    "a directory after a link": (
        both(add("app/_main/a", b"", type=LINK, linkname="/etc", mode=0o777), add("app/_main/a", b"", type=FOLDER, mode=0o755)), "a. twice",
    ),
    "the environment is a link": (
        both(remove(lambda path: path.startswith(ENV)), add(ENV, b"", type=LINK, linkname="_main", mode=0o777)), "missing",
    ),
    "setuid": (add("app/_main/evil", mode=0o4755), "mode 4755"),
    "a directory that is writable by all": (add("app/_main/x", b"", type=FOLDER, mode=0o777), "isn't a directory"),
    "a file replaces a directory of the base": (add("app/tmp"), "replaces a directory"),
    "writable by all": (add("app/_main/evil", mode=0o666), "mode 666"),
    "removes": (add("app/_main/.wh.main.py", b""), "removes files"),
    "twice": (add(MAIN), TWICE),
    "device": (add("app/_main/null", b"", type=tarfile.CHRTYPE), "is a device"),
    "outside": (add("opt/evil"), EXTRA),
    "working directory": (setting("WorkingDir", "/tmp"), ""),
    "index for lazy pulls": (manifest(lambda document: document["annotations"].update({"com.amazon.soci.index-digest": "x"})), ""),
}  # fmt: skip


def attached(content, media_type, *, to_index=False, written=bytes):
    """Attach content, or the SBOM with `content` as a function of it, to the image or to its index."""

    def attack(image):
        def change(directory, entry):
            data = content
            if callable(content):
                data = content(json.dumps(image.sbom).replace(image.digest, entry["digest"]), entry["digest"])
            layer = blob(directory, data if isinstance(data, bytes) else data.encode(), media_type)
            config = blob(directory, b"{}", "application/vnd.oci.empty.v1+json")
            document = {
                "schemaVersion": 2,
                "artifactType": media_type,
                "config": config,
                "layers": [layer],
                "subject": entry,
            }
            blob(directory, written(json.dumps(document).encode()), "application/vnd.oci.image.manifest.v1+json")
            return entry

        image.on_layout.append(change)

    return both(index_of(), attack) if to_index else attack


def signed(kind, change=lambda document: document, **fields):
    """Attach a bundle with a statement about the SBOM, signed with any key."""

    def content(sbom, digest):
        statement = cosign.make_statement("web", digest, kind, change(json.loads(sbom)))
        envelope = {
            "payloadType": "application/vnd.in-toto+json",
            "payload": base64.b64encode(statement).decode(),
            "signatures": [],
        }
        return json.dumps({"mediaType": cosign.BUNDLE, "verificationMaterial": {}, "dsseEnvelope": envelope} | fields)

    return attached(content, cosign.BUNDLE)


def only_spdx(image):
    image.of_sbom["mediaType"] = SPDX


def packages_of_debian(change):
    return lambda image: image.sbom.update(components=[*filter(None, map(change, image.sbom["components"]))])


def is_debian(component):
    return component["purl"].startswith("pkg:deb/") if "purl" in component else False


SPDX, CYCLONEDX = "application/spdx+json", "application/vnd.cyclonedx+json"
ANOTHER = {"type": "library", "name": "gamma", "version": "1"}
# What is attached, and isn't the SBOM that the inputs imply.
FORGERIES = {
    "other versions of Debian packages": packages_of_debian(lambda each: each | {"version": "99"} if is_debian(each) else each),
    "no Debian packages": packages_of_debian(lambda each: None if is_debian(each) else each),
    "no base": packages_of_debian(lambda each: None if each["name"] == "base" else each),
    "another base": sbom(lambda names, _: names["base"].update(version="sha256:" + "0" * 64)),
    "a license": sbom(lambda names, _: names["alpha"].update(licenses=[{"expression": "MIT"}])),
    "a remark": sbom(lambda names, _: names["alpha"].update(properties=[{"name": "x", "value": "y"}])),
    "vulnerabilities": lambda image: image.sbom.update(vulnerabilities=[{"id": "CVE-2026-0001", "analysis": {"state": "not_affected"}}]),
    **{f"an additional package {purl}": sbom(lambda _, listed, purl=purl: listed.append(ANOTHER | {"purl": purl, "bom-ref": purl})) for purl in (
        "pkg:npm/gamma@1", "pkg:PyPI/gamma@1", "pkg:pypi/gamma@1", "pkg:generic/gamma@1",
    )},
    "a nested package": sbom(lambda names, _: names["alpha"].update(components=[ANOTHER])),
    "no package": sbom(lambda names, listed: listed.remove(names["beta"])),
    "no list": lambda image: image.sbom.update(components=1),
    "another order": sbom(lambda _, listed: listed.reverse()),
    "a package twice": sbom(lambda names, listed: listed.append(names["alpha"])),
    "another image": lambda image: image.sbom["metadata"].update(component={"type": "container", "name": "other", "version": "9"}),
    "another digest": lambda image: image.sbom["metadata"]["component"].update({"bom-ref": "sha256:" + "0" * 64}),
    "another tool": lambda image: image.sbom["metadata"].update(tools=[]),
    "other dependencies": lambda image: image.sbom.update(dependencies=[]),
    "another format": lambda image: image.sbom.update(bomFormat="x"),
    "another version of the format": lambda image: image.sbom.update(specVersion="1.4"),
    "true instead of 1": lambda image: image.sbom.update(version=True),
    "a time that isn't a string": lambda image: image.sbom["metadata"].update(timestamp={"x": 1}),
    "another field": lambda image: image.sbom.update(Components=[]),
    **{f"{field} is {value}": sbom(lambda names, _, field=field, value=value: names["alpha"].update({field: value})) for field, value in (
        ("hashes", [{"alg": "SHA-256", "content": "0" * 64}]), ("version", "2.0"), ("purl", "pkg:pypi/beta@1.0"), ("hashes", None), ("name", "gamma"),
    )},
    "a byte order mark": lambda image: setattr(image, "on_sbom", lambda data: MARK + data),
    "a field twice": lambda image: setattr(image, "on_sbom", lambda data: b'{"components": [], ' + data[1:]),
    "another size": lambda image: image.of_sbom.update(size=1),
    "the type of SPDX": only_spdx,
    "another type": lambda image: image.of_sbom.update(mediaType="application/json"),
    "a copy as SPDX": attached(lambda sbom, _: sbom, SPDX),
    "a second SBOM": attached(lambda sbom, _: sbom.replace('"version": 1,', '"version": 2,'), CYCLONEDX),
    "the same SBOM twice": attached(lambda sbom, _: sbom + "\n", CYCLONEDX),
    "an empty SBOM of SPDX": attached(b"{}\n", SPDX),
    "an unknown type": attached(b"{}\n", "application/vnd.example.sbom"),
    "no JSON": attached(b"SPDXVersion: SPDX-2.3\n", "text/spdx"),
    **{f"a second SBOM, by a manifest with {name}": attached(lambda sbom, _: sbom + " ", CYCLONEDX, written=written) for name, written in {
        "leading space": lambda data: b"\n " + data,
        "more bytes than most registries accept": lambda data: b" " * (1 << 22) + data,
        "an escaped field": lambda data: data.replace(b'"subject"', b'"\\u0073ubject"'),
        "a field in another case": lambda data: data.replace(b'"subject"', b'"Subject"'),
        "a list in another case": lambda data: data.replace(b'"layers"', b'"Layers"'),
        "a list of another version": lambda data: data.replace(b'"layers"', b'"blobs"'),
    }.items()},
    "to the index": attached(lambda sbom, _: sbom, CYCLONEDX, to_index=True),
    "a signed SBOM": signed(cosign.CYCLONEDX, lambda document: document | {"components": []}),
    "a signed SBOM of SPDX": signed(cosign.SPDX),
    "another signed statement": signed("https://openvex.dev/ns/v0.2.0"),
    "a signature that is also an SBOM": signed(cosign.SIGNED, bomFormat="CycloneDX", components=[]),
    "a type of statement as media type": attached(lambda sbom, _: sbom, cosign.SIGNED),
    "no bundle": attached(b"{}\n", cosign.BUNDLE),
}  # fmt: skip


HARMLESS = {
    "nothing": lambda image: None,
    "other archives": lambda image: image.rewritten.update(range(1, len(image.layers))),
    "not compressed": lambda image: image.recompress(lambda data: data, ""),
    "zstd": lambda image: image.recompress(zstandard.compress, "+zstd"),
    "frames of zstd": lambda image: image.recompress(lambda data: b"".join(map(zstandard.compress, (data[:700], data[700:]))), "+zstd"),
    "members of gzip": lambda image: image.recompress(lambda data: packed(data[:700]) + packed(data[700:]), "+gzip"),
    "an index": index_of(),
    "serial number and time of the SBOM": lambda image: (image.sbom.update(serialNumber="urn:uuid:x"), image.sbom["metadata"].update(timestamp="2020-01-01T00:00:00Z")),
    "a signed copy of the SBOM": signed(cosign.CYCLONEDX),
    "a signature": signed(cosign.SIGNED, lambda _: {}),
    "provenance": signed(PREDICATE, lambda _: {"buildDefinition": {}}),
}  # fmt: skip
