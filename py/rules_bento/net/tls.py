"""Finds the certificates to trust: the host's, and for registries those of docker's and podman's `certs.d`."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDERS = ("/etc/docker/certs.d", "/etc/containers/certs.d")
_USER_FOLDERS = ("docker/certs.d", "containers/certs.d")  # below the user's configuration
# For an interpreter whose OpenSSL was built elsewhere, and looks for certificates there.
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def context_for(host: str) -> ssl.SSLContext:
    """Return the settings for a host, given as `host` or `host:port`.

    Authorities are those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, else of the system; `certs.d/<host>/` adds its `*.crt`,
    and a `*.cert` with its `*.key` there is what we show of ourselves.

    Raises BentoError for a file there that cannot be used.
    """
    context = ssl.create_default_context()
    # Python 3.13 asks more of authorities than docker, curl and browsers do, and than most private ones have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not context.cert_store_stats()["x509_ca"] and "SSL_CERT_FILE" not in os.environ:
        for bundle in filter(os.path.exists, _BUNDLES):
            context.load_verify_locations(bundle)
            break
    for folder in _folders(host):
        for file in sorted(folder.glob("*.c*rt")):
            try:
                if file.suffix == ".crt":
                    context.load_verify_locations(file)
                else:
                    context.load_cert_chain(file, file.with_suffix(".key"))
            except OSError as error:  # ssl.SSLError is one, too
                raise BentoError(f"{file}: cannot be used as a certificate: {error}. Repair or remove it.") from None
    return context


def _folders(host: str) -> Iterator[Path]:
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    for parent in (*map(Path, _FOLDERS), *(configuration / name for name in _USER_FOLDERS)):
        folder = parent / host
        if folder.is_dir():
            yield folder
