"""Reads the base, which is trusted by its digest: its files, and its Python."""

import posixpath
import re
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bento_proof import layers
from bento_proof.model import InvalidError, Member, UnableError, inside, parents
from bento_proof.oci import Image, Layout

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNPACKED = re.compile(r"(usr/(local/)?)?(lib[^/]*/|bin/python).*|etc/ld[^/]*")  # what Python needs


@dataclass
class Base:
    """A base. `root` has what its Python needs to run."""

    image: Image
    root: Path
    members: dict[str, Member]
    files: dict[str, IO[bytes]]  # with the contents of members
    python: str = ""  # absolute path
    minor: int = 0

    @property
    def env(self) -> dict[str, str]:
        return dict(each.split("=", 1) for each in inside(self.image.config, "config").get("Env") or ())

    def kind(self, path: str) -> str:
        return self.members[path].kind if path in self.members else ""

    def is_file(self, path: str) -> bool:
        return self.kind(path) not in ("", "directory")

    def read(self, path: str) -> bytes:
        self.files[path].seek(self.members[path].offset)
        return self.files[path].read(self.members[path].size)

    def resolve(self, path: str) -> str:
        """Return a path without links, also of directories."""
        for _ in range(40):  # as in Linux
            link = next((each for each in (*parents(path), path) if self.kind(each) == "link"), "")
            if not link:
                break
            target = posixpath.join("/", posixpath.dirname(link), self.members[link].what)
            path = posixpath.normpath(target + path[len(link) :]).lstrip("/")
        return path


def read_base(name: str, platform: str, work: Path) -> Base:
    """Unpack the base of a platform below a directory. Raises UnableError if that isn't possible."""
    try:
        images = [each for each in Layout(name).images(platform) if each.platform == platform]
        if len(images) != 1:
            raise UnableError(f"--base: {name} has {len(images)} images for {platform}. Specify DIR@DIGEST.")
        base = Base(images[0], work / "base", {}, {})
        for name in ("proc", "dev"):
            (base.root / name).mkdir(parents=True)
        for position in range(len(images[0].layers)):
            _apply(base, position)
    except (InvalidError, tarfile.TarError, EOFError, OSError) as error:
        raise UnableError(f"--base: {name}: {error}.") from None
    for path, each in sorted(base.members.items(), key=lambda pair: pair[1].kind == "link"):  # links last
        place = base.root / path
        if any(base.kind(above) == "link" for above in parents(path)):  # which can lead out of the root
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if each.kind == "file" and _UNPACKED.fullmatch(path):
            place.write_bytes(base.read(path))
            place.chmod(0o755)
        elif each.kind == "link" and not place.exists():
            place.symlink_to(each.what)
    declared = re.match(r"3\.(\d+)\.", base.env.get("PYTHON_VERSION", ""))
    for directory in base.env.get("PATH", PATH).split(":"):  # the first python3
        path = f"{directory.strip('/')}/python3"
        if path in base.members and (match := declared or re.search(r"python3\.(\d+)$", base.resolve(path))):
            base.python, base.minor = f"/{path}", int(match[1])
            return base
    raise UnableError(f"--base: {name} has no python3 on PATH, or its version isn't known.")


def _apply(base: Base, position: int) -> None:
    """Apply a layer, with its whiteouts."""
    image, hidden, here = base.image, list[str](), dict[str, Member]()
    file, entry = tempfile.TemporaryFile(dir=base.root), image.layers[position]
    layers.unpack(image.layout.pieces(entry), entry.media_type, image.diff_ids[position], file)
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:", encoding="utf-8") as tar:
        for info in tar:
            path, target = (posixpath.normpath(each.strip("/")) for each in (info.name, info.linkname))
            directory, _, name = path.rpartition("/")
            member = Member(layers.KINDS.get(info.type, "device"), info.mode & 0o7777, (info.uid, info.gid))
            if name.startswith(".wh."):  # a file and what is below it, or all that is in a directory
                hidden.append(f"{directory}/" if name == ".wh..wh..opq" else posixpath.join(directory, name[4:]))
            elif info.islnk():
                here[path] = here.get(target) or base.members.get(target) or member
                base.files[path] = base.files.get(target, file)
            elif path != "." and not path.startswith(".."):
                here[path] = member._replace(what=info.linkname, size=info.size, offset=info.offset_data)
                base.files[path] = file
    hidden += [path for path, each in here.items() if each.kind != "directory" and base.kind(path) == "directory"]
    for path in [*base.members] if hidden else ():
        if path not in here and any(path == each or path.startswith(f"{each.rstrip('/')}/") for each in hidden):
            del base.members[path]
    base.members |= here
