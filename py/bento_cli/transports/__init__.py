"""Copies archives from and to URLs.

An archive is complete or absent at its destination. `address.py` parses URLs, `filesystems.py` copies files with
fsspec's filesystems, and `http.py` from HTTP servers. `clouds.py`, `ftp.py`, and `sftp.py` adapt filesystems of obstore
and fsspec.
"""

from __future__ import annotations

from rules_bento.base.archives import sha256_of
from rules_bento.base.archives.streams import check_beginning
from rules_bento.base.archives.tarread import check_sum
from rules_bento.base.errors import BentoError, missing_package
from rules_bento.base.net import limits, terminal
from rules_bento.base.typing_lite import TYPE_CHECKING, Any

from bento_cli.transports.address import WEB, Address

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.unpack import Form
    from rules_bento.base.net.transfers import Progress


# As the extras in py/bento_cli/pyproject.toml.
_PACKAGES = {
    "az": ("obstore", "azure-identity"),
    "gs": ("obstore", "google-auth", "requests"),
    "s3": ("obstore", "botocore"),
    "sftp": ("paramiko",),
}


def download(
    address: Address, path: Path, counter: Progress, sha256: str = "", *, form: Form | None, most: int = limits.BODY
) -> None:
    """Copy the archive at an address to a new local file, and verify its digest if `sha256` is set.

    Stops after the first bytes of a file in another format than `form`, unless it is None, or after `most` bytes.
    """
    terminal.step(f"downloading {address}")

    def accept(first: bytes) -> None:
        if form:
            check_beginning(first, form, str(address))
        if form == "tar":
            check_sum(first, str(address))

    if address.scheme in WEB:
        from bento_cli.transports import http

        with path.open("w+b") as file:  # writes: own, the caller's new file
            http.download(address, file, counter, accept, min(most, limits.BODY))
    else:
        _filesystems(address).download(address, path, counter, min(most, limits.BODY))
    if sha256 and (digest := sha256_of(path)) != sha256.lower():
        remedy = "Check the archive and the digest."
        raise BentoError(f"the sha256 digest is {digest}, not {sha256.lower()}", place=str(address), remedy=remedy)


def upload(address: Address, path: Path, counter: Progress) -> None:
    """Copy a local file to an address. Replaces an existing file in one step."""
    _filesystems(address).upload(address, path, counter)


def check(address: Address) -> None:
    """Raise BentoError if uploads to an address aren't supported, or if a package is missing."""
    if address.scheme in WEB:
        remedy = "Export to a file or an object store."
        raise BentoError(f"exports to {address.scheme} URLs aren't supported", place=str(address), remedy=remedy)
    _filesystems(address)


def _filesystems(address: Address) -> Any:
    """Import the packages for an address, and return the module `filesystems`."""
    try:
        from bento_cli.transports import filesystems

        filesystems.opener(address)
    except ImportError as error:
        if address.scheme not in ("ftp", "ftps", *_PACKAGES):
            remedy = "Install the package."
            raise BentoError(f"{address.scheme}://: a package is missing: {error}", remedy=remedy) from None
        raise missing_package(f"{address.scheme}://", *_PACKAGES.get(address.scheme, ("fsspec",))) from None
    return filesystems
