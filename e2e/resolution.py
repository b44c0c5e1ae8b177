"""MODULE.bazel states what the project needs, in versions that a registry resolves without an override of ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from enter import provisioned_root

if TYPE_CHECKING:
    from workbench import Workbench

# Where the Bazel of tools/bazel finds the root that it is provisioned in.
SEEN_AS = Path("/")
SYSTEM_RC = "etc/bazel/bazelrc"


def the_modules_resolve_by_a_registry(bench: Workbench) -> str:
    """With a registry that is a folder: real names and versions, the sources that Debian carries.

    Bazel's own modules, of which Debian has no registry, stay overridden.
    """
    checkout = bench.checkout("resolution")
    root = provisioned_root(checkout.root)
    needed = dependencies(checkout.read("MODULE.bazel"))
    assert needed, "MODULE.bazel states nothing"
    overrides, others = split_overrides((root / SYSTEM_RC).read_text("utf-8"), needed)
    registry = bench.folder / "registry"
    for name, folder in overrides.items():
        add_module(registry, root, name, needed[name], folder)
    checkout.write("user.bazelrc", "")
    rc = checkout.root.parent / "bazelrc"
    rc.write_text(others + f"common --registry=file://{registry}\n", "utf-8")
    startup = ("--nosystem_rc", f"--bazelrc={rc}")
    graph = checkout.bazel("mod", "graph", "--output=json", startup=startup)
    # Modules that Bazel and Debian have ask for older versions of these, which resolution has to see as well.
    while found := re.search(r"module (\S+)@(\S+) not found in registries", graph.errors):
        assert found[1] in overrides, graph.told()
        add_module(registry, root, found[1], found[2], overrides[found[1]])
        graph = checkout.bazel("mod", "graph", "--output=json", startup=startup)
    graph.succeeded()
    found = {module["key"] for module in json.loads(graph.output)["dependencies"]}
    wanted = {f"{name}@{version}" for name, version in needed.items()}
    assert wanted <= found, f"{sorted(wanted - found)} are not among {sorted(found)}"
    built = checkout.bazel("build", "//examples/features", "//tests/analysis:bento", startup=startup).succeeded()
    assert "BentoArchive" in built.ran, built.told()
    rc.write_text(others + f"common --registry=file://{bench.folder}/empty\n", "utf-8")
    failed = checkout.bazel("mod", "graph", startup=startup)
    assert failed.code != 0, "the registry is not asked"
    return f"{', '.join(sorted(wanted))} resolve, and a Bento is built with them"


def dependencies(module: str) -> dict[str, str]:
    """Name and version of each bazel_dep."""
    return dict(re.findall(r'^bazel_dep\(name = "([^"]+)", version = "([^"]+)"', module, re.MULTILINE))


def split_overrides(rc: str, needed: dict[str, str]) -> tuple[dict[str, Path], str]:
    """The folders of the needed modules, and the rest of Debian's bazelrc."""
    ours: dict[str, Path] = {}
    others = []
    for line in rc.splitlines():
        found = re.fullmatch(r"common --override_module=([^=]+)=(.+)", line)
        if found and found[1] in needed:
            ours[found[1]] = Path(found[2])
        else:
            others.append(line)
    assert ours.keys() == needed.keys(), f"Debian carries {sorted(ours)} of {sorted(needed)}"
    return ours, "".join(f"{line}\n" for line in others)


def add_module(registry: Path, root: Path, name: str, version: str, folder: Path) -> None:
    """Say that a version of a module is what lies in a folder of the root."""
    text = (root / folder.relative_to(SEEN_AS) / "MODULE.bazel").read_text("utf-8")
    place = registry / "modules" / name / version
    place.mkdir(parents=True)
    (registry / "bazel_registry.json").write_text("{}")
    (place / "MODULE.bazel").write_text(re.sub(r'version = "[^"]*"', f'version = "{version}"', text, count=1))
    (place / "source.json").write_text(json.dumps({"type": "local_path", "path": str(folder)}))
