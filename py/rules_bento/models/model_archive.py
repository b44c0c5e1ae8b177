"""Archives of a single model: of `bentoml models export`, or the part of a model in a Bento archive."""

from __future__ import annotations

from rules_bento.archives import unpack
from rules_bento.archives.archive import join
from rules_bento.errors import BentoError
from rules_bento.sources.snapshot import DeclaredFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_PART = ".part"


def unpack_model(archive: Path, name: str, folder: Path) -> list[DeclaredFile]:
    """Unpack an archive into a directory, and return its files; `name` determines the format.

    A common prefix `models/NAME/VERSION` is removed. A `.part`, as in registries, has no end marker. Raises BentoError
    as `unpack.read` does, and for an archive of several models.
    """
    if name.endswith(_PART):
        folder.mkdir(parents=True)
        archive_with_end, folder = folder / "whole", folder / "files"
        join(archive_with_end, [archive])
        archive, name = archive_with_end, name.removesuffix(_PART)
    files: dict[str, Path] = {}
    links: dict[str, str] = {}
    for item, contents in unpack.read(archive, unpack.form_from_name(name)):
        if item.kind == "link":
            links[item.path] = item.link
        elif item.kind == "file":
            files[item.path] = _write(folder / item.path, contents, executable=item.executable)
    prefix = _common_prefix(files)
    if not all(path.startswith(prefix) for path in (*files, *links)):
        raise BentoError(f"{name}: the archive has several models or a Bento. Export only the model.")
    declared = [DeclaredFile(path.removeprefix(prefix), str(source), name) for path, source in files.items()]
    return declared + [DeclaredFile(path.removeprefix(prefix), "", name, link) for path, link in links.items()]


def _common_prefix(files: dict[str, Path]) -> str:
    parts = next(iter(files), "").split("/")
    return "/".join(parts[:3]) + "/" if parts[0] == "models" and len(parts) > 3 else ""


def _write(target: Path, contents: unpack.Contents, *, executable: bool) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for piece in contents:
                file.write(piece)
        target.chmod(0o755 if executable else 0o644)
    except OSError as error:
        raise BentoError(
            f"cannot write {target.name[:60]!r} of a model archive: {error.strerror}. Rename the file."
        ) from None
    return target
