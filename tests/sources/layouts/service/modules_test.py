"""A py_test and a Bento with the same deps import the same modules. A Python with only src/ on the path imports the Bento."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

HERE = "tests/sources/layouts"

# Imports each name, and prints the path that the module contains, and the last name of the file.
PROBE = """
import importlib, json, os, sys
sys.path[:0] = json.loads(sys.argv[1])
found = {}
for name in json.load(sys.stdin):
    before = set(sys.modules)
    try:
        module = importlib.import_module(name)
        found[name] = [getattr(module, "PATH", ""), os.path.basename(module.__file__)]
    except (ImportError, AttributeError, TypeError):
        pass
    for each in set(sys.modules) - before:
        del sys.modules[each]
print(json.dumps(found))
"""

# A test finds them below an import root that only another library declares, but no source imports them.
ACCIDENTAL = {"nested.inner", "sub.deep"}


def importable(roots, names):
    command = [sys.executable, "-I", "-S", "-B", "-c", PROBE, json.dumps([str(root) for root in roots])]
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
        expected = importable(self.roots, self.names)
        self.assertGreaterEqual(set(expected), ACCIDENTAL)
        for context in ("outside", "inside", "root", "foreign_outside", "foreign_inside", "foreign_root"):
            src = self.src(context)
            found = importable([src], self.names)
            # PyInfo of a rule other than py_library doesn't distinguish the import roots of deps.
            accidental = ACCIDENTAL.difference(found if context.startswith("foreign_") else ())
            self.assertEqual(found, {name: path for name, path in expected.items() if name not in accidental}, context)
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
            ):
                self.assertIn(module, found)
            self.assertFalse((src / "sub").exists())

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
