"""Of real releases, and of made ones, hubs take the wheel that uv takes, for each platform, system and Python."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from rules_bento.bentos.packages.platforms import system_and_machine
from rules_bento.bentos.packages.wheel_choice import best_wheel, oldest_system

# The newest versions of macOS, and of glibc on Linux, that a wheel can require.
SYSTEMS = {
    "linux_arm64": ("2.17", "2.28", "2.39"),
    "linux_amd64": ("2.17", "2.28", "2.39"),
    "darwin_arm64": ("12.0", "14.0", "26.0"),
    "darwin_amd64": ("10.15", "12.0", "14.0", "26.0"),
}
TARGETS = [
    (platform, system, python)
    for platform, systems in SYSTEMS.items()
    for system in systems
    for python in ("3.12", "3.14")
]
# Among the wheels of each release is one that fits everywhere and is the last choice, so that no resolver fails.
LAST = "py30-none-any"
PARAGRAPHS = Path("tests/packages/wheel_names.txt").read_text("utf-8").split("\n\n")[1:]
RELEASES = {release: [*tags.split(), LAST] for release, tags in (text.split("\n", 1) for text in PARAGRAPHS)}
# A project for each release, so that uv chooses for all of them at once.
PROJECTS = {release: f"c{number}" for number, release in enumerate(RELEASES)}


@pytest.fixture(scope="module")
def links(tmp_path_factory):
    """A folder of wheels that are nothing but metadata, under the tags of the real ones."""
    directory = tmp_path_factory.mktemp("links")
    for release, project in PROJECTS.items():
        first, *others = (directory / f"{project}-1-{tags}.whl" for tags in RELEASES[release])
        with zipfile.ZipFile(first, "w") as archive:
            archive.writestr(f"{project}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: 1\n")
            archive.writestr(f"{project}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
            archive.writestr(f"{project}-1.dist-info/RECORD", "")
        for other in others:
            other.hardlink_to(first)
    return directory


def _uv_platform(platform, system):
    machine = system_and_machine(platform)[1]
    if platform.startswith("darwin_"):
        return f"{machine.replace('arm64', 'aarch64')}-apple-darwin"
    return f"{machine}-manylinux_{system.replace('.', '_')}"


def _chosen_by_uv(links, scratch, platform, system, python):
    source = scratch / "requirements.in"
    source.write_text("".join(f"{project}\n" for project in PROJECTS.values()), "utf-8")
    command = [os.environ["RULES_BENTO_UV"], "pip", "compile", "--verbose", "--no-config", "--no-cache", "--offline"]
    command += ["--no-python-downloads", "--python", sys.executable, "--no-index", "--find-links", str(links)]
    command += ["--python-version", python, "--python-platform", _uv_platform(platform, system), str(source)]
    environment = {"HOME": str(scratch), "MACOSX_DEPLOYMENT_TARGET": system}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    chosen = dict(re.findall(r"Selecting: (c\d+)==1 \[\S+\] \(c\d+-1-(\S+)\.whl\)", done.stderr))
    return {release: chosen[project] for release, project in PROJECTS.items()}


@pytest.mark.parametrize(("platform", "system", "python"), TARGETS)
def test_hubs_take_the_wheel_that_uv_takes(platform, system, python, links, tmp_path):
    chosen = {
        release: best_wheel([f"a-1-{tag}.whl" for tag in tags], platform, python, system).removeprefix("a-1-")[:-4]
        for release, tags in RELEASES.items()
    }
    assert chosen == _chosen_by_uv(links, tmp_path, platform, system, python)


@pytest.mark.parametrize(
    ("files", "platform", "python", "glibc", "expected"),
    [
        (["a-1-py3-none-any.whl", "a-1.tar.gz"], "linux_amd64", "3.12", "2.28", "a-1-py3-none-any.whl"),
        (["a-1-py2-none-any.whl"], "linux_amd64", "3.12", "2.28", None),
        (["a-1-py2.py3-none-any.whl"], "darwin_arm64", "3.12", "2.28", "a-1-py2.py3-none-any.whl"),
        (["a-1-py3-none-any.whl", "a-1-cp312-cp312-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.12", "2.28", "a-1-cp312-cp312-manylinux_2_17_x86_64.whl"),
        (["a-1-cp312-cp312-manylinux_2_34_x86_64.whl"], "linux_amd64", "3.12", "2.28", None),
        (["a-1-cp312-cp312-manylinux_2_34_x86_64.whl"], "linux_amd64", "3.12", "2.34", "a-1-cp312-cp312-manylinux_2_34_x86_64.whl"),
        (["a-1-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"], "linux_amd64", "3.12", "2.17", "a-1-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"),
        (["a-1-cp312-cp312-manylinux2014_aarch64.whl"], "linux_amd64", "3.12", "2.28", None),
        (["a-1-cp312-cp312-musllinux_1_2_x86_64.whl"], "linux_amd64", "3.12", "2.28", None),
        (["a-1-cp312-cp312-manylinux_2_17_x86_64.whl", "a-1-cp312-cp312-manylinux_2_28_x86_64.whl"], "linux_amd64", "3.12", "2.28", "a-1-cp312-cp312-manylinux_2_28_x86_64.whl"),
        (["a-1-cp39-abi3-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.14", "2.28", "a-1-cp39-abi3-manylinux_2_17_x86_64.whl"),
        (["a-1-cp39-abi3-manylinux_2_17_x86_64.whl", "a-1-cp311-abi3-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.14", "2.28", "a-1-cp311-abi3-manylinux_2_17_x86_64.whl"),
        (["a-1-cp313-abi3-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.12", "2.28", None),
        (["a-1-cp314-cp314t-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.14", "2.28", None),
        (["a-1-cp312-none-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.12", "2.28", "a-1-cp312-none-manylinux_2_17_x86_64.whl"),
        (["a-1-py3-none-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.12", "2.28", "a-1-py3-none-manylinux_2_17_x86_64.whl"),
        (["a-1-cp312-cp312-macosx_11_0_arm64.whl", "a-1-cp312-cp312-macosx_10_9_universal2.whl"], "darwin_arm64", "3.12", "2.28", "a-1-cp312-cp312-macosx_11_0_arm64.whl"),
        (["a-1-cp312-cp312-macosx_10_9_universal2.whl"], "darwin_amd64", "3.12", "2.28", "a-1-cp312-cp312-macosx_10_9_universal2.whl"),
        (["a-1-cp312-cp312-linux_x86_64.whl"], "linux_amd64", "3.12", "2.28", "a-1-cp312-cp312-linux_x86_64.whl"),
        (["a-1-1-py3-none-any.whl"], "linux_amd64", "3.12", "2.28", "a-1-1-py3-none-any.whl"),
    ],
)  # fmt: skip
def test_the_best_wheel_is_chosen(files, platform, python, glibc, expected):
    newest = "13.0" if platform.startswith("darwin_") else glibc
    assert best_wheel(files, platform, python, newest) == expected


@pytest.mark.parametrize(
    ("files", "platform", "expected"),
    [
        (["a-1-cp39-abi3-manylinux_2_31_x86_64.whl", "a-1-cp312-cp312-manylinux_2_34_x86_64.whl", "a-1.tar.gz"], "linux_amd64", "2.31"),
        (["a-1-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"], "linux_amd64", "2.17"),
        (["a-1-cp39-abi3-manylinux_2_31_x86_64.whl"], "linux_arm64", None),
        (["a-1-cp39-abi3-manylinux_2_31_x86_64.whl"], "darwin_arm64", None),
        (["a-1-cp311-cp311-manylinux_2_31_x86_64.whl"], "linux_amd64", None),
        (["a-1.tar.gz"], "linux_amd64", None),
        (["a-1-cp39-abi3-macosx_15_0_universal2.whl", "a-1-cp312-cp312-macosx_14_0_arm64.whl"], "darwin_arm64", "14.0"),
        (["a-1-cp39-abi3-macosx_15_0_universal2.whl", "a-1-cp312-cp312-macosx_14_0_arm64.whl"], "darwin_amd64", "15.0"),
        (["a-1-cp312-cp312-macosx_12_3_arm64.whl"], "darwin_arm64", None),
        (["a-1-cp311-cp311-macosx_14_0_arm64.whl"], "darwin_arm64", None),
    ],
)  # fmt: skip
def test_the_oldest_system_is_found(files, platform, expected):
    assert oldest_system(files, platform, "3.12") == expected
