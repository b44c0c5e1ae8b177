"""What packages need from an image when they run: programs, libraries that ctypes loads, headers, and time zones."""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterator, Sequence

if TYPE_CHECKING:
    from rules_bento.images.validation.remedies import Remedies
    from rules_bento.images.wheels.libraries import Libraries


class Need(NamedTuple):
    """A need of packages. Without the files, the first ordinary import or call of the packages fails."""

    packages: str  # normalized names
    use: str  # a clause for messages
    files: str  # names of files that must all exist; `a|b` for alternatives
    debs: str  # Debian packages (trixie) with the files
    source: str  # a public thread about images without the files
    instead: str = ""  # packages that replace the files
    always: bool = False  # whether other packages that require the packages always use them


_COMPILER, _GCC = "gcc|cc|clang Python.h stdio.h", "gcc libc6-dev libpython3-dev"
_PANGO = "libgobject-2.0.so.0 libpango-1.0.so.0 libpangoft2-1.0.so.0"
# Entries are certain: neither packages that also work without the files, such as pydub and torch, nor packages that
# projects often list without use, such as graphviz.
NEEDS = (
    Need("triton", "compiles C code", _COMPILER, _GCC, "theroyallab/tabbyAPI#456"),
    Need("vllm", "compiles C code", _COMPILER, _GCC, "vllm-project/vllm#2997", always=True),
    Need("sglang", "compiles C code", _COMPILER, _GCC, "sgl-project/sglang#1067", always=True),
    Need("cut-cross-entropy", "compiles C code", _COMPILER, _GCC, "apple/ml-cross-entropy#5"),
    Need("gitpython", "runs git at its import", "git", "git", "gitpython-developers/GitPython#711"),
    Need("ffmpeg-python", "runs ffmpeg", "ffmpeg", "ffmpeg", "kkroening/ffmpeg-python#251"),
    Need("openai-whisper", "runs ffmpeg", "ffmpeg", "ffmpeg", "openai/whisper#2222"),
    Need("pytesseract", "runs tesseract", "tesseract", "tesseract-ocr", "madmaze/pytesseract#285"),
    Need("pdf2image", "runs pdftoppm", "pdftoppm pdfinfo", "poppler-utils", "Belval/pdf2image#25"),
    Need("pypandoc", "runs pandoc", "pandoc", "pandoc", "neo4j-labs/llm-graph-builder#1124", "pypandoc-binary"),
    Need("phonemizer", "loads espeak", "libespeak-ng.so.1|libespeak.so.1|festival", "libespeak-ng1",
         "bootphon/phonemizer#185", "espeakng-loader"),
    Need("python-magic", "loads libmagic", "libmagic.so.1", "libmagic1t64", "ahupp/python-magic#313", "pylibmagic"),
    Need("pyzbar", "loads libzbar", "libzbar.so.0", "libzbar0t64", "home-assistant/core#60370"),
    Need("cairocffi cairosvg", "loads libcairo", "libcairo.so.2", "libcairo2", "Kozea/CairoSVG#371"),
    Need("weasyprint", "loads Pango", _PANGO, "libpangoft2-1.0-0", "Kozea/WeasyPrint#1772"),
    Need("psycopg", "loads libpq", "libpq.so.5", "libpq5", "mem0ai/mem0#7295", "psycopg-binary psycopg-c", always=True),
    Need("django", "reads the database of time zones", "tzdata.zi", "tzdata", "westerveltco/django-twc-project#137",
         "tzdata", always=True),
)  # fmt: skip
_HEADERS = ("Python.h", "stdio.h", "tzdata.zi")


def is_provided(path: str, _head: bytes | None = None) -> bool:
    """Return whether a file of an image can meet a need: a library, a program in a directory of PATH, or a header."""
    directory, _, name = path.rpartition("/")
    return ".so" in name or directory.rpartition("/")[2] in ("bin", "sbin") or name in _HEADERS


_IRREGULAR = {f"lib{name}-2.0.so.0": "libglib2.0-0" for name in ("gio", "glib", "gmodule", "gobject", "gthread")}
_LIBRARY = re.compile(r"(lib[\w+.-]+?)(?:-(\d[\d.]*))?\.so\.(\d+)")


def debian_package(library: str) -> str:
    """Return the usual name of the Debian package with a library, or "" (Debian Policy 8.1).

    >>> debian_package("libGL.so.1"), debian_package("libgeos-3.11.so.1"), debian_package("libodd.so")
    ('libgl1', 'libgeos-3.11-1', '')
    """
    match = _LIBRARY.fullmatch(library)
    if not match or library in _IRREGULAR:
        return _IRREGULAR.get(library, "")
    name, version, major = match.groups()
    dash = "-" if version or name[-1].isdigit() else ""
    return f"{name}{'-' if version else ''}{version or ''}{dash}{major}".lower().replace("_", "-")


def problem(
    packages: Sequence[Libraries],
    own: Collection[str],
    present: Collection[str],
    unchecked: Collection[str],
    remedies: Remedies,
) -> str:
    """Return an error message for packages whose needs neither `present` nor a package meets; empty without any.

    `own` contains the file names of wheels of the user's sources. `present` and `unchecked` contain names of files in
    the image without packages, and names to ignore.
    """
    found = list(_missing(packages, own, {*present, *unchecked}))
    if not found:
        return ""
    lines = [
        f"{package}: the package {need.use}, but {remedies.base} and the layers lack {', '.join(files)}."
        + (f" Lock {need.instead.replace(' ', ' or ')}, or add the system package." if need.instead else "")
        for package, need, files in found
    ]
    names = sorted({name for _, _, files in found for name in files}.union(unchecked))
    debs = sorted({deb for _, need, _ in found for deb in need.debs.split()})
    remedy = remedies.add_packages(debs)
    remedy += f"If the service doesn't use these files, {remedies.ignore_libraries(names)}."
    return "\n".join([*lines, remedy])


def _missing(
    packages: Sequence[Libraries], own: Collection[str], present: set[str]
) -> Iterator[tuple[str, Need, list[str]]]:
    """Yield each package with a need, and the missing files.

    A package that others require might be used only by an optional part of these, so it has no needs, except with
    `Need.always`. What the user's sources require counts as a direct requirement.
    """
    wheels = {package.distribution for package in packages}
    others = [package for package in packages if package.wheel not in own]
    required = {name for package in others for name in package.requires - {package.distribution}}
    provided = present | {path.rpartition("/")[2] for package in packages for path, _ in package.machines}
    for need in NEEDS:
        used = wheels.intersection(need.packages.split()) - (set() if need.always else required)
        lacking = [files for files in need.files.split() if not provided.intersection(files.split("|"))]
        if used and lacking and not wheels.intersection(need.instead.split()):
            yield min(used), need, [files.partition("|")[0] for files in lacking]
