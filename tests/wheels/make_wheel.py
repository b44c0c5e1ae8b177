"""Writes a wheel: its path, a requirement, and modules."""

import sys
import zipfile
from pathlib import Path

target, requirement, *modules = sys.argv[1:]
name, version, *_ = Path(target).name.split("-")
texts = {
    "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: {requirement}\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "RECORD": "",
}
with zipfile.ZipFile(target, "w") as wheel:
    for path in modules:
        wheel.writestr(zipfile.ZipInfo(Path(path).name), Path(path).read_bytes())
    for file, text in texts.items():
        wheel.writestr(zipfile.ZipInfo(f"{name}-{version}.dist-info/{file}"), text)
