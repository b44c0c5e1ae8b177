"""Writes tars, and extracts them in every Python that tests run in."""

import io
import tarfile
from pathlib import Path


def extract_all(archive: tarfile.TarFile, directory: Path, kind: str = "fully_trusted", members=None) -> None:
    """Extract a tar with a filter of tarfile (`kind`). Python before 3.10.12, or 3.11 before 3.11.4, has no filters."""
    archive.extractall(directory, members, **({"filter": kind} if hasattr(tarfile, "data_filter") else {}))


def tar_of(members, **options) -> bytes:
    """Return a tar of members: each a name or a header, and its contents, or the target of a link as a string."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", **options) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            if isinstance(data, str):
                info.type, info.linkname, data = tarfile.SYMTYPE, data, b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()
