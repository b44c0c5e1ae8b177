"""Compares transfers of one large file with other clients. The servers must be running.

    python bench/transports.py --megabytes 1000 [--others PYTHON] URL...

Prints one table: for each client and URL (of a file that can be overwritten), the MB/s, CPU seconds, and peak resident
memory in MB of the upload and the download. `--others` is an interpreter with boto3, fsspec, and related packages;
missing clients are omitted. Credentials and addresses of emulators come from the environment; other clients require the
password in the URL. The received bytes are compared with the sent bytes.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "py"

_OURS_PUT = """
from bento_cli.transports import address
from bento_cli.transports import download
from bento_cli.sharing.urls import NullCounter
with open(path, "rb") as file:
    download.upload(address.parse(url), file, NullCounter())
"""
_OURS_GET = """
import os
from pathlib import Path
from bento_cli.transports import address, download
from bento_cli.sharing.urls import NullCounter
with download.downloaded(address.parse(url), Path(path + ".d"), NullCounter()) as file:
    os.link(next(Path(path + ".d").glob("*.part")), path)
"""
_FSSPEC = "import fsspec\nfs, there = fsspec.url_to_fs(url)\n"
_S3 = """
import boto3, os
bucket, _, key = url.partition("://")[2].partition("/")
client = boto3.client("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL"))
"""
_OBSTORE = """
import os, obstore
from obstore.store import {kind}
bucket, _, key = url.partition("://")[2].partition("/")
store = {make}
"""
_OBSTORE_S3 = _OBSTORE.format(
    kind="S3Store", make='S3Store(bucket, client_options={"allow_http": True}, endpoint=os.environ["AWS_ENDPOINT_URL"])'
)
_OBSTORE_PUT = 'obstore.put(store, key, open(path, "rb"))'
_OBSTORE_GET = """
with open(path, "wb") as file:
    for piece in obstore.get(store, key).stream(min_chunk_size=1 << 20):
        file.write(piece)
"""
_FTP = """
import ftplib
from urllib.parse import urlsplit
parts = urlsplit(url)
ftp = (ftplib.FTP_TLS if parts.scheme == "ftps" else ftplib.FTP)()
ftp.connect(parts.hostname, parts.port)
ftp.login(parts.username, parts.password)
if parts.scheme == "ftps":
    ftp.prot_p()
"""
_FTP_PUT = 'ftp.storbinary(f"STOR {parts.path}", open(path, "rb"), 1 << 18)'
_FTP_GET = 'ftp.retrbinary(f"RETR {parts.path}", open(path, "wb").write, 1 << 18)'
_SFTP = """
import subprocess
from urllib.parse import urlsplit
parts = urlsplit(url)
def sftp(line):
    where = f"{parts.username}@{parts.hostname}"
    subprocess.run(["sftp", "-q", "-b", "-", "-P", str(parts.port or 22), where], input=line.encode(), check=True)
"""
_CURL = 'import subprocess\nsubprocess.run(["curl", "-sfo", path, url], check=True)'

CLIENTS: dict[str, dict[str, tuple[str, str]]] = {
    "s3": {
        "boto3": (_S3 + "client.upload_file(path, bucket, key)", _S3 + "client.download_file(bucket, key, path)"),
        "obstore": (_OBSTORE_S3 + _OBSTORE_PUT, _OBSTORE_S3 + _OBSTORE_GET),
        "s3fs": (_FSSPEC + "fs.put(path, there)", _FSSPEC + "fs.get(there, path)"),
    },
    "gs": {"gcsfs": (_FSSPEC + "fs.put(path, there)", _FSSPEC + "fs.get(there, path)")},
    "az": {"adlfs": (_FSSPEC + "fs.put(path, there)", _FSSPEC + "fs.get(there, path)")},
    "ftp": {
        "ftplib": (_FTP + _FTP_PUT, _FTP + _FTP_GET),
        "fsspec": (_FSSPEC + "fs.put(path, there)", _FSSPEC + "fs.get(there, path)"),
    },
    "ftps": {"ftplib": (_FTP + _FTP_PUT, _FTP + _FTP_GET)},
    "sftp": {
        "sftp": (_SFTP + 'sftp(f"put {path} {parts.path}")', _SFTP + 'sftp(f"get {parts.path} {path}")'),
        "fsspec": (_FSSPEC + "fs.put(path, there)", _FSSPEC + "fs.get(there, path)"),
    },
    "http": {"curl": ("", _CURL), "fsspec": ("", _FSSPEC + "fs.get(there, path)")},
}


def measure(python: str, code: str, url: str, path: Path) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds, and peak resident MB, or zeros if the command failed."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [python, "-c", f"import sys\nurl, path = sys.argv[1:]\n{code}", url, str(path)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE) if python == sys.executable else ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        print(f"  failed: {said.strip().splitlines()[-1:]}", file=sys.stderr)
        return 0.0, 0.0, 0.0
    cpu = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - begin, cpu, usage.ru_maxrss / (1 << (10 if sys.platform == "linux" else 20))


def compare(url: str, source: Path, others: str) -> None:
    """Print the rows of one URL: uploads, then downloads, with each client."""
    scheme = url.partition("://")[0]
    clients = {"bento": (sys.executable, _OURS_PUT if scheme != "http" else "", _OURS_GET)}
    clients |= {name: (others, *code) for name, code in CLIENTS.get(scheme, {}).items()}
    megabytes = source.stat().st_size / 1e6
    for name, (python, put, get) in clients.items():
        sent = measure(python, put, url, source) if put else (0.0, 0.0, 0.0)
        with tempfile.TemporaryDirectory(dir=source.parent) as directory:
            target = Path(directory) / "received"
            received = measure(python, get, url, target)
            if received[0] and not filecmp.cmp(source, target, shallow=False):
                raise SystemExit(f"{name}: the received bytes differ from the sent bytes.")
        shown = [
            f"{megabytes / seconds:.0f} | {cpu:.1f} | {peak:.0f}" if seconds else "| | "
            for seconds, cpu, peak in (sent, received)
        ]
        print(f"| {scheme} | {name} | {' | '.join(shown)} |", flush=True)


def main() -> None:
    """Parse the options, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--others", default=sys.executable)
    parser.add_argument("urls", nargs="+")
    options = parser.parse_args()
    print("| | client | put, MB/s | cpu | MB | get, MB/s | cpu | MB |\n|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "source"
        with source.open("wb") as file:
            for _ in range(options.megabytes):
                file.write(os.urandom(1_000_000))
        for url in options.urls:
            compare(url, source, options.others)


if __name__ == "__main__":
    main()
