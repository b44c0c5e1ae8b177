"""Compares `bento verify --rebuild` with hashing and unpacking: `python bench/proof.py LAYOUT WHEELS -- WORD...`.

LAYOUT is the OCI layout of an image, WHEELS a directory with the image's wheels, and each WORD is passed to `bento
verify`. Prints CPU seconds, of which compiling bytecode is a part, the ratio, and the largest memory.
"""

import argparse
import hashlib
import json
import resource
import subprocess
import zipfile
import zlib
from pathlib import Path

PIECE = 1 << 20


def unpack(layout: Path, wheels: Path) -> None:
    """Hash each layer, compressed and unpacked, and each wheel, and unpack both."""
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads((layout / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text())
    for layer in manifest["layers"]:
        packed, whole, inflate = hashlib.sha256(), hashlib.sha256(), zlib.decompressobj(31)
        with (layout / "blobs" / layer["digest"].replace(":", "/")).open("rb") as file:
            while piece := file.read(PIECE):
                packed.update(piece)
                while piece:
                    whole.update(inflate.decompress(piece))
                    piece, inflate = inflate.unused_data, zlib.decompressobj(31) if inflate.eof else inflate
    for wheel in wheels.glob("*.whl"):
        hashlib.file_digest(wheel.open("rb"), "sha256")
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    while file.read(PIECE):
                        pass


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layout", type=Path)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("words", nargs="*", help="more words for `bento verify --rebuild`")
    options = parser.parse_args()
    subprocess.run(["bento", "verify", f"oci:{options.layout}", "--rebuild", *options.words], check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unpack(options.layout, options.wheels)
    own = resource.getrusage(resource.RUSAGE_SELF)
    proof, bare = used.ru_utime + used.ru_stime, own.ru_utime + own.ru_stime
    print(f"proof {proof:.2f}, unpacking {bare:.2f} CPU s, ratio {proof / bare:.2f}; {used.ru_maxrss >> 10} MB")


if __name__ == "__main__":
    main()
