"""Extracts tars in every Python that tests run in."""

import tarfile
from pathlib import Path


def extract_all(archive: tarfile.TarFile, directory: Path, kind: str = "fully_trusted", members=None) -> None:
    """Extract a tar with a filter of tarfile (`kind`). Python before 3.10.12, or 3.11 before 3.11.4, has no filters."""
    archive.extractall(directory, members, **({"filter": kind} if hasattr(tarfile, "data_filter") else {}))
