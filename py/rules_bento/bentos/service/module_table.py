"""Answers which package provides a module, by the files that packages install.

For a package whose files are unknown, its name shows which modules it probably provides. A module is never missing
because of names.
"""

from __future__ import annotations

import re

from rules_bento.base.typing_lite import Collection, Iterable, Mapping

# Modules whose names differ from the names of their packages; a package that ends in `-` is a family.
_RENAMED = (
    "attr=attrs bs4=beautifulsoup4 Crypto=pycryptodome cv2=opencv- dateutil=python-dateutil docx=python-docx "
    "faiss=faiss- fitz=pymupdf jwt=pyjwt OpenSSL=pyopenssl PIL=pillow pkg_resources=setuptools serial=pyserial "
    "dotenv=python-dotenv skimage=scikit-image sklearn=scikit-learn whisper=openai-whisper yaml=pyyaml zmq=pyzmq"
)
DISTRIBUTIONS = dict(pair.split("=") for pair in _RENAMED.split())
_IN_WHEEL = re.compile(r"^[^/]+\.data/(?:plat|pure)lib/")  # whose contents an installer moves
_HARMLESS_PTH = ("-nspkg.pth", "distutils-precedence.pth")  # which add no directory with modules


def modules_of(files: Iterable[str]) -> list[str] | None:
    """Return the top-level modules among the files of a package, with paths as in RECORD (PEP 376), or as in a wheel.

    Returns None if the modules can be elsewhere: a `.pth` file adds a directory, as of a package in editable mode.
    """
    paths = [_IN_WHEEL.sub("", path) for path in files]
    if any(path.endswith(".pth") and "/" not in path and not path.endswith(_HARMLESS_PTH) for path in paths):
        return None
    return sorted(filter(str.isidentifier, {re.split("[./]", path, maxsplit=1)[0] for path in paths}))


class ModuleTable:
    """The packages of a Bento or an image, and the modules that they provide.

    `packages` maps normalized names to top-level modules, or to None if they are unknown. Such a package provides
    modules of its name, and might provide any other.
    """

    def __init__(self, packages: Mapping[str, Collection[str] | None]) -> None:
        self._providers = {module: name for name, modules in packages.items() for module in modules or ()}
        self._unknown = {name for name, modules in packages.items() if modules is None}

    def find(self, module: str) -> str:
        """Return the package that provides a module, or an empty string if none is known."""
        top = module.partition(".")[0]
        name = re.sub(r"[-_.]+", "-", DISTRIBUTIONS.get(top, top)).lower()
        names = {name, f"python-{name}", f"{name}-python", f"py{name}"} & self._unknown
        family = sorted(each for each in self._unknown if each.startswith(f"{name.rstrip('-')}-"))
        return self._providers.get(top) or [*sorted(names), *family, ""][0]

    def lacks(self, module: str) -> bool:
        """Return whether certainly no package provides a module."""
        return not (self._unknown or self.find(module))
