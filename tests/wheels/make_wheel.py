"""Writes a wheel or a source archive. Arguments: the path, a requirement or an empty string, and the files."""

import base64
import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path

target, requirement, *modules = sys.argv[1:]
if target.endswith(".tar"):
    with tarfile.open(target, "w") as archive:
        for path in modules:
            entry = tarfile.TarInfo(f"{Path(target).stem}/{Path(path).name}")
            content = Path(path).read_bytes()
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    sys.exit()
name, version, *_ = Path(target).name.split("-")
directory = f"{name}-{version}.dist-info"
files = {Path(path).name: Path(path).read_bytes() for path in modules}
needs = f"Requires-Dist: {requirement}\n" if requirement else ""
files[f"{directory}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}".encode()
files[f"{directory}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
record = f"{directory}/RECORD,,\n"
for path, content in files.items():
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    record += f"{path},sha256={digest},{len(content)}\n"
files[f"{directory}/RECORD"] = record.encode()
with zipfile.ZipFile(target, "w") as wheel:
    for path, content in files.items():
        wheel.writestr(zipfile.ZipInfo(path), content)
