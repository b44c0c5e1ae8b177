"""Lists the modules that this process can import, and the file behind each."""

from __future__ import annotations

import hashlib
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePath

HERE = "tests/sources/layouts/lib/"
FILES = (
    "all.py",
    "api_client/orders_api/__init__.py",
    "copied.py",
    "folder/paged.py",
    "inner_client/gen/python/stock_api/__init__.py",
    "moved/raw.py",
    "one/company/one.py",
    "plain/__init__.py",
    "plain/simple.py",
    "plugged/py/plugged/__init__.py",
    "plugged/py/plugged/kinds/one.py",
    "raw/src/above/__init__.py",
    "schema/_virtual_imports/schema/schemas/iris_pb2.py",
    "shop/src/shop/__init__.py",
    "shop/src/shop/prices.py",
    "shop/src/shop/tax/__init__.py",
    "shop/src/shop/tax/rates.py",
    "text/nested/inner.py",
    "text/sibling.py",
    "text/spelled.py",
    "text/sub/deep.py",
    "text/words.py",
    "two/company/two.py",
    "unrooted/base/parts.py",
    "upper.py",
    "wrapped/wrapped.py",
)
OTHERS = {"probe.found", "python.runfiles", "service"}


def names_of(path: PurePath) -> set[str]:
    """Return all names that a file can have as a module.

    A Bento has a directory `src`, whose parent BentoML also adds to the import path.
    """
    parts = path.with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return {".".join(parts[at:]) for at in range(len(parts)) if parts[at] != "src"}


def found() -> dict[str, list[str]]:
    """Return the last name and the digest of the file of each module, by the name of the module.

    Also the answers of the libraries in layouts.txt.
    """
    answer = {}
    for name in sorted(OTHERS.union(*(names_of(PurePath(HERE + file)) for file in FILES))):
        try:
            spec = find_spec(name) if name in OTHERS else import_module(name).__spec__
            path = Path(str(spec.origin if spec else ""))
            answer[name] = [path.name, hashlib.sha256(path.read_bytes()).hexdigest()]
        except (ImportError, OSError):
            pass
    if find_spec("layouts"):
        answer |= import_module("layouts.called").called()
    answer["sys"] = [".".join(map(str, sys.version_info[:2])), ""]
    return answer
