"""Wheels from sources, by real setuptools and by build systems that lie in the source."""

import contextlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.build_wheel import check, unpack
from rules_bento.bentos.packages.platforms import this_platform
from rules_bento.images.wheels.wheel import Wheel

MINOR = ".".join(str(part) for part in sys.version_info[:2])
HERE = this_platform()
ROOTS = os.environ["RULES_BENTO_ROOTS"].split(os.pathsep)
SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
OWN = '[build-system]\nrequires = []\nbuild-backend = "own:backend"\nbackend-path = ["build"]\n'
BACKEND = """\
import zipfile, os, time
class backend:
    def get_requires_for_build_wheel(settings=None):
        return REQUIRES
    def build_wheel(folder, settings=None, metadata=None):
        name = "NAME"
        with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
            wheel.writestr("mod.py", "")
            wheel.writestr("mod-1.0.dist-info/METADATA", "Name: mod")
            wheel.writestr("mod-1.0.dist-info/RECORD", "")
        print("noise on standard output")
        return name
"""


def source(directory, files, name="mod-1.0"):
    """A source archive."""
    path = directory / f"{name}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for file, text in files.items():
            entry = tarfile.TarInfo(f"{name}/{file}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return path


def build(path, output, subfolder="", platform=HERE):
    """The status of the action's program."""
    output.parent.mkdir(exist_ok=True)
    arguments = ["build_wheel", "--target", "mod==1.0", "--source", str(path), "--subfolder", subfolder]
    arguments += ["--distribution", "mod", "--version", "1.0", "--python-version", MINOR, "--platform", platform]
    arguments += ["--output", str(output)]
    return run(arguments + [word for root in ROOTS for word in ("--import-root", root)])


def of(backend, build_system="", name="mod-1.0-py3-none-any.whl"):
    """A source with a build system of its own, or with what there is in the place of one."""
    text = backend.replace("NAME", name).replace("REQUIRES", """['absent ; extra == "all"']""")
    table = build_system and f"[build-system]\nrequires = []\n{build_system}\n"
    table += 'build-backend = "own:backend"\n' if "backend-path" in table else ""
    return {"pyproject.toml": table or OWN, "build/own.py": text}


def own(name="mod-1.0-py3-none-any.whl", requires=()):
    backend = BACKEND.replace("NAME", name).replace("REQUIRES", repr(list(requires)))
    return {"pyproject.toml": OWN, "build/own.py": backend}


def test_setuptools_builds_the_same_bytes_each_time(tmp_path):
    project = SETUPTOOLS + '[project]\nname = "mod"\nversion = "1.0"\n[tool.setuptools]\npackages = ["mod"]\n'
    path = source(tmp_path, {"pyproject.toml": project, "mod/__init__.py": "", "mod/b.py": "", "mod/a.py": "A = 1\n"})
    outputs = [tmp_path / "one" / "w.whl", tmp_path / "two" / "w.whl"]
    for output in outputs:
        assert build(path, output) == 0
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    with zipfile.ZipFile(outputs[0]) as wheel:
        names = wheel.namelist()
        assert names[:3] == ["mod/__init__.py", "mod/a.py", "mod/b.py"]
        assert names[-1] == "mod-1.0.dist-info/RECORD"
        assert {entry.date_time for entry in wheel.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_what_is_built_installs_and_unpacks(tmp_path):
    settings = "[metadata]\nname=mod\nversion=1.0\n[options]\npy_modules=mod\n"
    path = source(tmp_path, {"pyproject.toml": SETUPTOOLS, "setup.cfg": settings, "mod.py": "X = 5\n"})
    wheel = tmp_path / "out" / f"mod-1.0-cp{MINOR.replace('.', '')}-cp{MINOR.replace('.', '')}-linux_x86_64.whl"
    assert build(path, wheel) == 0
    assert run(["unpack_wheel", "--wheel", str(wheel), "--output", str(tmp_path / "site")]) == 0
    command = [sys.executable, "-c", "import mod; print(mod.X)"]
    assert subprocess.check_output(command, cwd=tmp_path / "site") == b"5\n"
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        uv = os.environ["RULES_BENTO_UV"]
        command = [uv, "pip", "install", "--offline", "--no-index", "--no-cache", "--python", sys.executable]
        subprocess.run([*command, "--target", tmp_path / "t", wheel], check=True, capture_output=True)
        assert (tmp_path / "t" / "mod.py").read_text("utf-8") == "X = 5\n"


def test_a_build_backend_in_the_source_builds_the_wheel(tmp_path):
    path = source(tmp_path, {f"sub/{name}": text for name, text in own().items()})
    assert build(path, tmp_path / "o" / "w.whl", "sub") == 0


@pytest.mark.parametrize(
    ("wheel", "version", "platform", "message"),
    [
        # PEP 440: a spelling is no other version, and an epoch, a suffix and a local part are.
        ("1-py3-none-any", "1.0.0", HERE, ""),
        ("1.0rc1-py3-none-any", "1.0.RC.1", HERE, ""),
        ("1.0_1-py3-none-any", "1.0.post1", HERE, ""),
        ("0!1.0-py3-none-any", "1.0", HERE, ""),
        ("1.0-py3-none-any", "1!1.0", HERE, "Update the lock"),
        ("1.0-py3-none-any", "1.0rc1", HERE, "Update the lock"),
        ("1.0-py3-none-any", "1.0+local", HERE, "Update the lock"),
        ("1.0-py3-none-any", "1.0", "linux_arm64", ""),
        ("1.0-py2.py3-none-any", "1.0", "darwin_arm64", ""),
        ("1.0-py312-none-any", "1.0", "linux_amd64", ""),
        ("1.0-cp312-cp312-linux_x86_64", "1.0", "linux_amd64", ""),
        ("1.0-cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64", "1.0", "linux_amd64", ""),
        ("1.0-py3-none-macosx_14_0_arm64", "1.0", "darwin_arm64", ""),
        ("1.0-cp312-cp312-macosx_10_13_universal2", "1.0", "darwin_amd64", ""),
        ("1.0-cp312-cp312-linux_x86_64", "1.0", "linux_arm64", "the built wheel is for linux_x86_64, not for linux_arm64"),
        ("1.0-py3-none-linux_x86_64", "1.0", "linux_arm64", "the built wheel is for linux_x86_64"),
        ("1.0-cp312-abi3-macosx_14_0_arm64", "1.0", "linux_arm64", "the built wheel is for macosx_14_0_arm64"),
        ("1.0-cp312-abi3-macosx_14_0_arm64", "1.0", "darwin_amd64", "the built wheel is for macosx_14_0_arm64"),
        ("1.0-cp312-cp312-musllinux_1_2_x86_64", "1.0", "linux_amd64", "the built wheel is for musllinux_1_2_x86_64"),
        ("1.0-cp313-abi3-linux_x86_64", "1.0", "linux_amd64", "is for cp313-abi3, not for cp312"),
        ("1.0-cp312-cp312t-linux_x86_64", "1.0", "linux_amd64", "is for cp312-cp312t"),
        ("1.0-py2-none-any", "1.0", "linux_amd64", "is for py2-none"),
        ("1.0-py313-none-any", "1.0", "linux_amd64", "is for py313-none"),
    ],
)  # fmt: skip
def test_what_is_built_is_for_the_version_python_and_platform_that_are_requested(wheel, version, platform, message):
    with pytest.raises(BentoError, match=message) if message else contextlib.nullcontext():
        check(Path(f"mod-{wheel}.whl"), "mod", version, "3.12", platform)


def test_machine_code_of_the_building_machine_is_none_of_another_platform(tmp_path, capsys):
    path = source(tmp_path, own(name=f"mod-1.0-py3-none-linux_{os.uname().machine}.whl"))
    if HERE.startswith("linux"):
        assert build(path, tmp_path / "here" / "w.whl") == 0
    assert build(path, tmp_path / "o" / "w.whl", platform="linux_riscv64") == 1
    assert "Build on linux_riscv64" in capsys.readouterr().err
    assert not (tmp_path / "o" / "w.whl").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (own(requires=["cython>=3"]), "mod==1.0: the build backend requires cython. Add cython to the requirements of build_lock"),
        (own(name="other-2.0-py3-none-any.whl"), "the built wheel is other 2.0, but the lock has mod 1.0. Update"),
        (own(name="mod-1.0-cp27-cp27-linux_x86_64.whl"), "the built wheel is for cp27-cp27, not for cp"),
        ({"pyproject.toml": OWN, "build/own.py": "raise RuntimeError('no luck')"}, "mod==1.0: the build failed."),
        ({"pyproject.toml": "[build-system"}, "pyproject.toml:1: invalid TOML"),
        (of("import sys\nsys.exit(0)\n"), "mod==1.0: the build failed."),
        (of("import os\nos.write(2, b'caf\\xe9')\nraise SystemExit(3)\n"), "that has a wheel. Build log:\ncaf\ufffd"),
        (of(BACKEND, name="None"), "a wheel that doesn't exist: 'None'"),
        (of(BACKEND, name="mod-1.0.whl"), "a wheel that doesn't exist: 'mod-1.0.whl'"),
        (of(BACKEND.replace("return name", "return '../mod-1.0-py3-none-any.whl'")), "'../mod-1.0-py3-none-any.whl'"),
        (of(BACKEND.replace("return name", "return os.remove(f'{folder}/{name}') or name")), "a wheel that doesn't exist"),
        ({"pyproject.toml": "build-system = [1]"}, "pyproject.toml: build-system: expected a mapping, got a list."),
        (of("", 'build-backend = ""'), "build-backend: '' isn't a valid module name."),
        (of("", "build-backend = 5"), "build-system.build-backend: expected a string, got a number."),
        (of(BACKEND, 'backend-path = ["..", "build"]'), "backend-path: '..' isn't a directory in the source archive."),
        (of(BACKEND, 'backend-path = ["/tmp"]'), "backend-path: '/tmp' isn't a directory in the source archive."),
        (of(BACKEND, 'backend-path = ["a\\u0000"]'), "isn't a directory in the source archive."),
        (of(BACKEND, 'backend-path = "build"'), "build-system.backend-path: expected a list, got a string."),
    ],
)  # fmt: skip
def test_a_build_that_cannot_be_is_explained(tmp_path, capsys, files, message):
    assert build(source(tmp_path, files), tmp_path / "o" / "w.whl") == 1
    told = capsys.readouterr().err
    assert message in told
    assert "internal error" not in told
    assert not list((tmp_path / "o").iterdir())


def test_archives_that_leave_their_directory_are_rejected(tmp_path, capsys):
    path = tmp_path / "mod-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../evil"), io.BytesIO(b""))
    assert build(path, tmp_path / "o" / "w.whl") == 1
    assert "mod-1.0.tar.gz: '../evil': the path is outside" in capsys.readouterr().err
    assert not Path(tmp_path, "evil").exists()


def test_a_hard_link_in_a_source_is_the_file_that_it_names(tmp_path):
    path = tmp_path / "mod-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, target in (("mod-1.0/a", ""), ("mod-1.0/b", "mod-1.0/a")):
            info = tarfile.TarInfo(name)
            info.size = 0 if target else 4
            info.type, info.linkname = (tarfile.LNKTYPE, target) if target else (tarfile.REGTYPE, "")
            tar.addfile(info, None if target else io.BytesIO(b"same"))
    assert (unpack(path, tmp_path / "out") / "b").read_bytes() == b"same"


@pytest.mark.parametrize("target", ["mod-1.0/none", "../a", "/etc/passwd", "mod-1.0"])
def test_a_hard_link_to_what_is_no_file_before_it_is_rejected(tmp_path, target):
    path = tmp_path / "mod-1.0.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("mod-1.0/b")
        info.type, info.linkname = tarfile.LNKTYPE, target
        tar.addfile(info)
    with pytest.raises(BentoError, match=r"mod-1\.0\.tar: '"):
        unpack(path, tmp_path / "out")


def installed(directory, **more):
    """Files of a package as rules_python installs it: paths in its repository, and their contents."""
    files = {
        "site-packages/ns/__init__.py": "# __path__ manipulation added by bazel-contrib/rules_python\n",
        "site-packages/ns/mod.py": "A = 1\n",
        "site-packages/ns/tool": "\x7fELF",
        "site-packages/ns/lib.so": "\x7fELF",
        "site-packages/mod-1.0.dist-info/METADATA": "Name: mod\nVersion: 1.0\n",
        "site-packages/mod-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: cp313-cp313-linux_x86_64\n",
        "site-packages/mod-1.0.dist-info/RECORD": "wrong,,\n",
        "site-packages/mod-1.0.dist-info/entry_points.txt": "[console_scripts]\nmod = ns.mod:main\n",
        "bin/mod": "#!/bin/sh\n",
        "bin/other": "#!python\n",
        "data/share/mod.txt": "",
    } | more
    arguments = []
    for number, (path, text) in enumerate(files.items()):
        file = directory / str(number) / path.rpartition("/")[2]
        file.parent.mkdir(parents=True)
        file.write_text(text)
        file.chmod(0o755)  # as in a remote action
        arguments += ["--file", f"../pip_mod/{path}", str(file)]
    return arguments


def pack(directory, version="3.13", **more):
    output = directory / "mod-1.0-py3-none-any.whl"
    arguments = ["pack_installed", "--target", "@pip//mod", "--root", "../pip_mod/", "--python-version", version]
    return run([*arguments, "--output", str(output), *installed(directory, **more)]), output


def test_an_installed_package_becomes_the_wheel_that_it_was(tmp_path):
    status, output = pack(tmp_path)
    assert status == 0
    wheel = Wheel.read(output)
    assert {member.path: member.executable for member in wheel.members} == {
        "ns/mod.py": False,
        "ns/tool": True,
        "ns/lib.so": False,
        "mod-1.0.data/scripts/other": True,
        "mod-1.0.data/data/share/mod.txt": False,
        **{f"mod-1.0.dist-info/{name}": False for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")},
    }
    assert [point.name for point in wheel.entry_points] == ["mod"]
    for chunks in wheel.chunks(wheel.members):  # compares with RECORD
        assert b"".join(chunk.data for chunk in chunks) is not None
    packed = output.read_bytes()
    again = tmp_path / "again"
    again.mkdir()
    assert pack(again)[1].read_bytes() == packed


def test_an_installed_package_of_another_python_is_rejected(tmp_path, capsys):
    status, output = pack(tmp_path, version="3.12")
    assert status == 1
    assert not output.exists()
    assert "mod-1.0: the installed package is for cp313-cp313-linux_x86_64, not for Python 3.12. Set" in (
        capsys.readouterr().err
    )
