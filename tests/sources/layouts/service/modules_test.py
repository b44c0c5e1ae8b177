"""A py_test and a Bento with the same deps import the same modules, in a Python with only src/ on the path."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

HERE = "tests/sources/layouts"

# Imports each name, and prints the path that the module contains, and the file's path below one of the directories.
PROBE = """
import importlib, json, os, sys
sys.path[:0] = json.loads(sys.argv[1])
found = {}
try:
    importlib.import_module(sys.argv[3])
except ImportError as error:
    assert error.name == "bentoml", error  # only the first line of the service runs
for name in json.load(sys.stdin):
    before = set(sys.modules)
    try:
        module = importlib.import_module(name)
        tops = [top for top in json.loads(sys.argv[2]) if module.__file__.startswith(top)]
        found[name] = [getattr(module, "PATH", ""), os.path.relpath(module.__file__, tops[0])]
    except (ImportError, AttributeError, TypeError):
        pass
    for each in set(sys.modules) - before:
        del sys.modules[each]
print(json.dumps(found))
"""


SERVICES = {"outside": "service", "inside": "service.service", "root": "tests.sources.layouts.service.service"}


def importable(roots, tops, names, service):
    arguments = [json.dumps([str(path) for path in paths]) for paths in (roots, tops)]
    command = [sys.executable, "-I", "-S", "-B", "-c", PROBE, *arguments, service]
    return json.loads(subprocess.run(command, input=json.dumps(sorted(names)), stdout=-1, check=True, text=True).stdout)


def names_of(path):
    """Return all names that a file can have as a module."""
    parts = path.with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return {".".join(parts[at:]) for at in range(len(parts))}


class LayoutTest(unittest.TestCase):
    """Compares this test with Bentos."""

    maxDiff = None

    def setUp(self):
        self.runfiles = Path(os.environ["TEST_SRCDIR"])
        others = {str(self.runfiles), str(Path(__file__).parent)}
        self.roots = [root for root in sys.path if root.startswith(str(self.runfiles)) and root not in others]
        places = [self.runfiles / "_main" / HERE / "lib", *self.runfiles.glob("rules_python*/python")]
        self.files = [path.relative_to(self.runfiles) for place in places for path in place.rglob("*.py")]
        self.names = {name for path in self.files for name in names_of(path)}

    def src(self, name):
        directory = tempfile.mkdtemp(dir=os.environ["TEST_TMPDIR"])
        with tarfile.open(self.runfiles / "_main" / HERE / f"{name}.tar") as archive:
            archive.extractall(directory, filter="data")
        return Path(directory, "src")

    def test_a_bento_imports_what_a_test_imports(self):
        tops = [self.runfiles / "_main", *self.runfiles.glob("rules_python*")]
        expected = importable(self.roots, tops, self.names, "json")
        for context in ("outside", "inside", "root", "foreign_outside", "foreign_inside", "foreign_root"):
            src = self.src(context)
            tops = [*src.glob("rules_python*"), src]
            found = importable([src], tops, self.names, SERVICES[context.removeprefix("foreign_")])
            found = {name: file for name, file in found.items() if not name.startswith("rules_python")}
            if context.endswith("inside"):  # files of the build context are relative to it
                found, wanted = (
                    {name: (path, Path(file).name) for name, (path, file) in each.items()} for each in (found, expected)
                )
            else:
                wanted = expected
            self.assertEqual(found, wanted, context)
            for module in (
                "words",
                "sibling",
                "lib.upper",
                "inner",
                "shop.tax.rates",
                "company.two",
                "simple",
                "orders_api",
                "stock_api",
                "base.parts",
                "python.runfiles",
                "above",
                "copied",
                "moved.raw",
                "paged",
                "plugged.kinds.one",
                "wrapped",
            ):
                self.assertIn(module, found)

    def test_the_image_has_the_files_of_the_archive(self):
        directory = tempfile.mkdtemp(dir=os.environ["TEST_TMPDIR"])
        layout = self.runfiles / "_main" / HERE / "image.oci"
        for blob in sorted((layout / "blobs/sha256").iterdir()):
            try:
                with tarfile.open(blob) as layer:
                    files = [member for member in layer if member.isfile() and "/src/" in member.name]
                    layer.extractall(directory, files, filter="data")
            except tarfile.ReadError:
                pass  # JSON
        src = self.src("outside")
        [image] = Path(directory).glob("**/src/service.py")
        contents = [
            {path.relative_to(top): path.read_bytes() for path in top.rglob("*") if path.is_file()}
            for top in (src, image.parent)
        ]
        self.assertEqual(*contents)


if __name__ == "__main__":
    unittest.main()
