"""Which libraries of packages are loaded: as Python and the linker find them, not by where they lie."""

import importlib.machinery
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rules_bento.images.validation.base_compatibility import loaded
from rules_bento.images.wheels.elf import Elf, read_elf
from rules_bento.images.wheels.libraries import Libraries, Linked
from rules_bento.images.wheels.optional_libraries import optional_libraries
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_wheels import Maker

VERSION = "3.11"


def wheel(name, *linked, named=()):
    return Libraries(f"{name}.whl", name, tuple(linked), frozenset(named))


def module(path, *needed, search=(), named=""):
    name = named or path.rpartition("/")[2].partition(".")[0]
    return Linked(path, Elf("amd64", "", needed, (), tuple(search), (name,)))


def library(path, *needed, soname="", search=()):
    return Linked(path, Elf("amd64", soname, needed, (), tuple(search)))


def paths(*wheels):
    return [file.path for file in loaded(wheels, VERSION)]


@pytest.mark.parametrize(
    ("path", "is_loaded"),
    [
        ("acme/_a.so", True),
        ("acme/_a.abi3.so", True),
        ("acme/_a.cpython-311-x86_64-linux-gnu.so", True),
        ("_a.cpython-311-aarch64-linux-gnu.so", True),
        ("acme-1.data/platlib/acme/_a.so", True),
        ("acme/_a.cpython-312-x86_64-linux-gnu.so", False),
        ("acme/_a.cpython-311t-x86_64-linux-gnu.so", False),
        ("acme/_a.pypy311-pp73-x86_64-linux-gnu.so", False),
        ("acme/_a.so.1", False),
        ("acme/_a.x.so", False),
    ],
)
def test_modules_that_a_python_imports(path, is_loaded):
    assert paths(wheel("acme", module(path))) == ([path] if is_loaded else [])


def test_a_library_is_no_module_by_its_name_alone():
    assert paths(wheel("acme", module("acme/plugin.so", named="other"), library("acme/libx.so"))) == []


def test_what_modules_need_and_what_that_needs():
    acme = wheel(
        "acme",
        module("acme/_a.so", "libone-1f.so.1", "libc.so.6", search=["$ORIGIN/../acme.libs"]),
        library("acme.libs/libone-1f.so.1", "libtwo.so"),
        library("acme.libs/libplugin.so", "libtwo.so"),
    )
    other = wheel("other", library("other/lib/libtwo.so.2", soname="libtwo.so"))
    assert paths(acme, other) == ["acme/_a.so", "acme.libs/libone-1f.so.1", "other/lib/libtwo.so.2"]


def test_libraries_that_need_each_other():
    a, b = library("x/liba.so", "libb.so"), library("x/libb.so", "liba.so")
    assert paths(wheel("x", module("x/_x.so", "liba.so"), a, b)) == ["x/_x.so", a.path, b.path]


@pytest.mark.parametrize("word", ["libxgboost", "libsndfile_"])
def test_libraries_that_python_code_loads_by_name_are_needed(word):
    named = library("x/lib/libxgboost.so"), library("x/lib/libsndfile_x86_64.so")
    assert len(paths(wheel("x", *named, module("x/_x.so"), named=[word]))) == 2


def test_a_package_of_libraries_whose_python_puts_the_name_together():
    lib = library("x/libacme-linux.so")
    assert paths(wheel("x", lib, named=["library"])) == [lib.path]
    assert paths(wheel("x", lib)) == []


def test_programs_of_the_environment():
    program = library("x-1.data/scripts/run", "libx.so")
    needed = library("x/libx.so")
    assert paths(wheel("x", program._replace(elf=program.elf._replace(is_program=True)), needed)) == [
        program.path,
        needed.path,
    ]
    assert paths(wheel("x", program, needed)) == []


def test_suffixes_are_those_of_python():
    name = f"_a{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert [file.path for file in loaded([wheel("x", module(name))], version)] == [name]


C = "#include <stddef.h>\nint helper(void);\nvoid *PyInit_%s(void) { helper(); return NULL; }\n"


def many_directories():
    """The linker's option for folders that are told again and again, as TensorFlow's wheel has them in 20 kB."""
    return "-Wl,--enable-new-dtags,-rpath," + ":".join(["$ORIGIN/../x:$ORIGIN"] * 1000)


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a compiler of C")
def test_what_is_read_of_a_real_module(tmp_path):
    (tmp_path / "helper.c").write_text("int helper(void) { return 0; }\n")
    (tmp_path / "mod.c").write_text(C % "mod")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "libhelper.so", "helper.c"], cwd=tmp_path, check=True)
    link = ["-L.", "-lhelper", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../x:$ORIGIN"]
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "mod.so", "mod.c", *link], cwd=tmp_path, check=True)
    elf = read_elf((tmp_path / "mod.so").read_bytes())
    assert elf.search == ("$ORIGIN/../x", "$ORIGIN")
    assert elf.modules == ("mod",)
    assert not elf.is_program
    again = ["cc", "-shared", "-fPIC", "-o", "many.so", "mod.c", *link[:2], many_directories()]
    subprocess.run(again, cwd=tmp_path, check=True)
    assert read_elf((tmp_path / "many.so").read_bytes()) == elf
    assert read_elf(Path(os.path.realpath(sys.executable)).read_bytes()).is_program
    content = {"x/mod.so": (tmp_path / "mod.so").read_bytes(), "x/a.py": 'CDLL("libx_y.so.1"); f"lib{n}"; z = "a.so"'}
    libraries = Libraries.read(Wheel.read(Maker("x").add(content).write(tmp_path)))
    assert libraries.named == {"libx_y", "a"}
    assert Libraries.loads(libraries.dumps()) == libraries
    assert json.loads(libraries.dumps())["named"] == ["a", "libx_y"]


GUARDED = "try:\n    from acme import _m\nexcept {}:\n    {}\n"


@pytest.mark.parametrize(
    ("source", "is_spared"),
    [
        (GUARDED.format("ImportError", "_m = None"), True),
        (GUARDED.format("(ValueError, OSError)", "pass"), True),
        ("def f():\n    try:\n        from ._m import x as y\n    except Exception:\n        y = None\n    return y\n", True),
        (GUARDED.format("ImportError", "_m = error('_m, which has no libx.so')"), True),
        (GUARDED.format("ImportError", "raise RuntimeError"), False),
        (GUARDED.format("ValueError", "pass"), False),
        (GUARDED.format("ValueError", "pass\nexcept ImportError:\n    raise"), False),
        (GUARDED.format("ImportError", "from . import _m"), False),
        (GUARDED.format("ImportError", "pass") + "import acme._m\n", False),
        (GUARDED.format("ImportError", "pass") + "import_module('acme._m')\n", False),
        ("try:\n    def f():\n        from acme import _m\nexcept ImportError:\n    pass\n", False),
        ("'''from acme import _m'''\n", False),
        (GUARDED.format("ImportError", "pass") + "_m = )\n", False),
    ],
)  # fmt: skip
def test_modules_that_a_package_does_without(source, is_spared):
    assert optional_libraries({"_m"}, (), lambda: [b"import acme\n", source.encode()]) == (
        {"_m"} if is_spared else set()
    )


LAZY = "def load():\n    return CDLL('libx.so')\n"


@pytest.mark.parametrize(
    ("sources", "is_spared"),
    [
        ([LAZY], True),
        ([LAZY + "def used():\n    '''Call load().'''\n    return load()\n", "from a import load, used\n"], True),
        ([LAZY + "load()\n"], False),
        ([LAZY, "from a import load as _load\nclass C:\n    def __init__(self):\n        _load()\n"], False),
        ([LAZY, "def outer():\n    load()\n", "import b\nb.outer()\n"], False),
        ([LAZY, "def decorated(what=load()):\n    pass\n"], False),
        (["NAME = 'libx'\n" + LAZY], False),
        (["'''libx'''\n"], False),
        ([LAZY, "def f(:  # load\n"], False),
        (["".join(f"def f{n}():\n    f{n + 1}()\n" for n in range(20)) + "def f20():\n    return 'libx'\n"], False),
    ],
)
def test_libraries_that_a_package_does_without(sources, is_spared):
    found = optional_libraries((), {"libx"}, lambda: [source.encode() for source in sources])
    assert found == ({"libx"} if is_spared else set())


def test_what_a_package_does_without_is_not_loaded(tmp_path):
    """numba has such a module for a library that it brings not, and torchcodec such a library."""
    sources = {"a/x.py": GUARDED.replace("_m", "_a").format("ImportError", "pass"), "a/y.py": LAZY, "_b.py": GUARDED}
    asking = [module("a/_a.so", "libtbb.so.12"), library("a/libx.so", "libheif.so.1"), module("_b.so", "libtbb.so.12")]
    near = [module("a/_c.so", "libc.so.6", "libx.so")]
    read = Libraries.read(Wheel.read(Maker("a").add(sources).write(tmp_path)))
    libraries = read._replace(linked=(*asking, *near), named=frozenset({"libx"}))
    libraries = libraries._replace(optional=libraries.without(lambda: [text.encode() for text in sources.values()]))
    assert libraries.optional == {"a/_a.so", "a/libx.so"}
    assert Libraries.loads(libraries.dumps()) == libraries
    # An extension module that needs the library loads it all the same.
    assert paths(libraries) == ["a/libx.so", "_b.so", "a/_c.so"]
    assert paths(libraries._replace(linked=tuple(asking))) == ["_b.so"]
