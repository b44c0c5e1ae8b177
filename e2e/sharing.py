"""Builds ten services of one repository, and checks that the common parts of their images are built once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

SERVICES = 10
PACKAGES = ("jinja2", "pathspec", "rich", "scikit_learn", "zstandard")
LOAD = 'load("//rules:defs.bzl", "bento_image", "bento_package")\n'
SERVICE = """
bento_package(
    name = "bento_{number}",
    srcs = ["service_{number}.py"],
    requirements = {requirements},
    service = "service_{number}:Service",
)

bento_image(
    name = "image_{number}",
    base = "//examples/base:python",
    bento = ":bento_{number}",
)
"""
SOURCE = """\
import bentoml


@bentoml.service
class Service:
    @bentoml.api
    def number(self) -> int:
        return {}
"""


def each_wheel_is_converted_once(bench: Workbench) -> str:
    """Check that each wheel has one action, and large wheels two, although the services have different packages."""
    checkout = bench.plain
    build = LOAD
    for number in range(SERVICES):
        # Each service excludes another package, or none.
        packages = ["bentoml", *(name for at, name in enumerate(PACKAGES) if at != number)]
        requirements = json.dumps([f"@pypi//{name}" for name in packages])
        build += SERVICE.format(number=number, requirements=requirements)
        checkout.write(f"tests/ten/service_{number}.py", SOURCE.format(number))
    checkout.write("tests/ten/BUILD.bazel", build)
    one = conversions(checkout, "//tests/ten:image_9")
    ten = conversions(checkout, "//tests/ten:all")
    repeated = {name: count for name, count in ten.items() if count != one.get(name, count)}
    assert not repeated, f"converted more often for ten services than for one: {repeated}"
    assert len(ten) >= len(one) > 60, (len(one), len(ten))
    assert set(ten.values()) == {1, 2}, ten  # a large wheel can be a layer, or a part of a layer
    return f"{len(ten)} wheels, {sum(ten.values())} conversions for {SERVICES} images"


def conversions(checkout: Checkout, targets: str) -> dict[str, int]:
    """Return the number of actions that read each wheel to build layers, by the path of the wheel."""
    query = f'mnemonic("BentoLayer", deps({targets}))'
    graph = json.loads(checkout.bazel("aquery", "--output=jsonproto", query).succeeded().output)
    fragments = {fragment["id"]: fragment for fragment in graph["pathFragments"]}
    artifacts = {artifact["id"]: artifact["pathFragmentId"] for artifact in graph["artifacts"]}
    sets = {entry["id"]: entry for entry in graph["depSetOfFiles"]}
    found: dict[str, int] = {}
    for action in graph["actions"]:
        files = [path_of(fragments, artifacts[file]) for file in files_of(sets, action.get("inputDepSetIds", []))]
        for wheel in {file for file in files if file.endswith(".whl")}:
            found[wheel] = found.get(wheel, 0) + 1
    return found


def files_of(sets: dict[int, dict[str, Any]], waiting: list[int]) -> set[int]:
    found: set[int] = set()
    seen: set[int] = set()
    waiting = list(waiting)
    while waiting:
        entry = waiting.pop()
        if entry not in seen:
            seen.add(entry)
            found.update(sets[entry].get("directArtifactIds", []))
            waiting += sets[entry].get("transitiveDepSetIds", [])
    return found


def path_of(fragments: dict[int, dict[str, Any]], number: int) -> str:
    labels: list[str] = []
    at: int | None = number
    while at:
        labels.append(fragments[at]["label"])
        at = fragments[at].get("parentId")
    return "/".join(reversed(labels))
