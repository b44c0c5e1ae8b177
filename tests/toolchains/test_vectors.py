"""The cases that the Starlark tests hold are what the `packaging` library says."""

import ast
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.tags import compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

_MACHINES = {"darwin_amd64": "x86_64", "darwin_arm64": "arm64", "linux_amd64": "x86_64", "linux_arm64": "aarch64"}
_VARIABLES = {
    "linux": {"os_name": "posix", "platform_system": "Linux", "sys_platform": "linux"},
    "darwin": {"os_name": "posix", "platform_system": "Darwin", "sys_platform": "darwin"},
}


def _vectors(name: str):
    tree = ast.parse(Path("tests/toolchains/vectors.bzl").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(name)


def _environment(platform: str, python_version: str) -> dict[str, str]:
    system, machine = platform.partition("_")[0], _MACHINES[platform]
    parts = python_version.split(".")
    full = python_version if len(parts) > 2 else f"{python_version}.0"
    return _VARIABLES[system] | {
        "implementation_name": "cpython",
        "implementation_version": full,
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_version": "",
        "python_full_version": full,
        "python_version": ".".join(parts[:2]),
        "extra": "",
    }


@pytest.mark.parametrize(("marker", "platform", "python_version", "expected"), _vectors("MARKERS"))
def test_markers_agree_with_packaging(marker, platform, python_version, expected):
    assert not marker or Marker(marker).evaluate(_environment(platform, python_version)) is expected


def _platforms(platform: str, glibc: str) -> list[str]:
    system, machine = platform.partition("_")[0], _MACHINES[platform]
    if system == "darwin":
        return list(mac_platforms((14, 0), machine))
    newest = int(glibc.split(".")[1])
    legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    tags = []
    for minor in range(newest, 4, -1):
        tags.append(f"manylinux_2_{minor}_{machine}")
        if minor in legacy:
            tags.append(f"{legacy[minor]}_{machine}")
    return [*tags, f"linux_{machine}"]


@pytest.mark.parametrize(("files", "platform", "python_version", "glibc", "expected"), _vectors("WHEELS"))
def test_choice_of_wheel_agrees_with_packaging(files, platform, python_version, glibc, expected):
    version = tuple(int(part) for part in python_version.split("."))
    platforms = _platforms(platform, glibc)
    cpython = f"cp{version[0]}{version[1]}"
    order = [*cpython_tags(version, [cpython], platforms), *compatible_tags(version, cpython, platforms)]
    ranks = {tag: rank for rank, tag in enumerate(order)}
    usable = {
        file: min(ranks[tag] for tag in parse_wheel_filename(file)[3] if tag in ranks)
        for file in files
        if file.endswith(".whl") and any(tag in ranks for tag in parse_wheel_filename(file)[3])
    }
    assert (min(usable, key=usable.__getitem__) if usable else None) == expected


@pytest.mark.parametrize(("specifiers", "python_version", "expected"), _vectors("PYTHONS"))
def test_ranges_of_python_agree_with_packaging(specifiers, python_version, expected):
    assert SpecifierSet(specifiers).contains(python_version) is expected
