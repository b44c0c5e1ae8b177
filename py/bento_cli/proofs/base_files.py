"""Lists the files of a base image, which is trusted by its digest."""

from __future__ import annotations

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Mapping
from rules_bento.images.layers import contents

if TYPE_CHECKING:
    from rules_bento.base.archives.tarread import TarMember

    from bento_cli.sharing.native_base import BaseImageContents


class BaseFiles(NamedTuple):
    """The members of a base by path, without leading slashes."""

    image: BaseImageContents
    members: Mapping[str, TarMember]

    @classmethod
    def list(cls, base: BaseImageContents) -> BaseFiles:
        """Read the layers of a base, and apply their whiteouts."""
        complete = base.complete()
        members: dict[str, TarMember] = {}
        for layer in complete.image.layers:
            hidden: set[str] = set()
            here: dict[str, TarMember] = {}
            for member, _ in contents.members(complete.layout.blob(layer.digest), layer.media_type, layer.diff_id):
                path = member.name.removeprefix("./").strip("/")
                if path.rpartition("/")[2].startswith(contents.WHITEOUT):
                    hidden |= contents.hidden_by(path)
                elif path and path != ".":
                    here[path] = member
            members = {path: each for path, each in members.items() if not contents.is_hidden(path, hidden)}
            covering = {path for path, each in here.items() if each.kind != "folder" and path in members}
            below = tuple(f"{path}/" for path in covering if members[path].kind == "folder")
            members = {path: each for path, each in members.items() if not (below and path.startswith(below))} | here
        return cls(complete, members)

    def read(self, paths: Collection[str]) -> dict[str, bytes]:
        """Return the contents of files."""
        wanted, image = {*paths}, self.image
        layers = ((image.layout.blob(each.digest), each.media_type, each.diff_id) for each in image.image.layers)
        return contents.read_files(layers, lambda _path, _head: False, wanted.__contains__)

    def is_file(self, path: str) -> bool:
        """Return whether a path is anything but a directory."""
        return path in self.members and self.members[path].kind != "folder"
