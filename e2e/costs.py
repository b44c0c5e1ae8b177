"""Counts the cost of a first build, and of changes in a workspace of many services: processes, bytes, and targets."""

from __future__ import annotations

import json
import re
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

from monorepo import external_directory
from queries import repositories_of_queries
from workbench import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workbench import Checkout, Result, Spawn, Workbench

COMMITTED = REPOSITORY / "bench/gate.json"
MONOREPO = "e2e/monorepo"
SERVICES = "//services/..."
NUMBER = 6
LIBRARY = "lib/scaling.py"
LOCK = "requirements.lock.json"
PACKAGE = "threadpoolctl"  # a requirement of scikit-learn
# The targets whose dependencies are counted, and README's first command, which trains a model.
MANY, FIRST = "all services", "//examples/iris:iris_bento"
# Except the one that Bazel fetches only if a Debian package isn't in its download cache.
OWN_REPOSITORY = re.compile(r"(_main)?[~+]bento(?!_tools[~+]bento_host_mirrors$).*")
BUILD = """\
load("@rules_bento//rules:defs.bzl", "bento_package")

bento_package(
    name = "{name}",
    srcs = ["service.py"],
    requirements = [{requirements}],
    service = "service:Service",
    deps = ["//lib"],
)
"""
SERVICE = """\
import bentoml
from lib import scaling


@bentoml.service(name="{name}")
class Service:
    @bentoml.api
    def answer(self, values: list[float]) -> list[float]:
        return list(scaling.scaled(values))
"""
# Without the library.
STANDALONE = (
    SERVICE.format(name="service").replace("from lib import scaling\n", "").replace("scaling.scaled(values)", "values")
)
MODEL = """\
load("@rules_bento//rules:defs.bzl", "bento_model", "bento_package")

bento_model(name = "weights", srcs = ["weights.bin"], tag = "weights")

bento_package(
    name = "model",
    srcs = ["service.py"],
    bundle_models = True,
    models = [":weights"],
    requirements = ["@pypi//bentoml"],
    service = "service:Service",
    deps = ["//lib"],
)
"""
IMAGE = """\
load("//rules:defs.bzl", "bento_image", "bento_package")

bento_package(name = "bento", srcs = ["service.py"], requirements = [{requirements}], service = "service:Service")

bento_image(name = "image", base = "//tests/images:gzip_base", bento = ":bento", compression = "gzip")
"""
# A service with a test, a development environment, and an image, and Bentos in two more Pythons.
PYTHONS = """\
load("//rules:defs.bzl", "bento_package", "bento_service")

bento_service(
    name = "service",
    srcs = ["service.py"],
    base = "//tests/images:gzip_base",
    requirements = ["@pypi//bentoml", "@pypi//pandas"],
    service = "service:Service",
    test_requirements = ["@pypi//pytest"],
    test_srcs = ["service_test.py"],
)

[
    bento_package(
        name = "of_python_" + version,
        srcs = ["service.py"],
        python_version = version,
        requirements = ["@pypi//bentoml", "@pypi//pandas"],
        service = "service:Service",
    )
    for version in ("3.11", "3.12")
]
"""
CONFIGURATION = re.compile(r"[0-9a-f]{64} ", re.MULTILINE)
# Writes a stub wheel for each file in the closure of a requirement, once for all services.
RESOLVE = "BentoResolve"
# They write tools, which all services share.
TOOLS = {"BentoCompile", "BentoHelperPackages", "BentoInterpreter"}
OF_MODEL = '    weights = bentoml.models.BentoModel("weights:latest")\n\n'

Costs = dict[str, dict[str, dict[str, int]]]
"""By change and mnemonic: `actions`; `inputs` of one, but for the interpreter's; `bytes` that none wrote before."""


def changes_match_committed_costs(bench: Workbench) -> str:
    """Check that no change costs more processes, inputs, bytes, or targets than bench/gate.json specifies."""
    counted = count(bench)
    worse = "\n".join(compared(json.loads(COMMITTED.read_text("utf-8")), counted))
    assert not worse, f"more than in bench/gate.json. To accept it, run `python bench/gate.py --write`:\n{worse}"
    return f"{len(counted['changes'])} changes of {NUMBER + 1} services cost no more than before"


def count(bench: Workbench) -> dict[str, Any]:
    """Return the content for bench/gate.json. Uses the checkouts `monorepo` and `spare`, and leaves changes in them."""
    checkout = bench.monorepo
    for path in (LIBRARY, LOCK):  # the state before other scenarios
        checkout.write(f"{MONOREPO}/{path}", (REPOSITORY / MONOREPO / path).read_text("utf-8"))
    write_services(checkout, MONOREPO, NUMBER)
    write_model(checkout)
    changes: Costs = {}
    analysed: dict[str, int] = {}
    kept: set[str] = set()

    def build(change: str) -> None:
        built = checkout.build(SERVICES, workspace=MONOREPO)
        changes[change] = costs(built.spawns, kept)
        analysed[change] = analyzed(built)

    build("from nothing")
    build("nothing")
    add_line(checkout, f"{MONOREPO}/services/service_001/service.py")
    build("a line of a service")
    add_line(checkout, f"{MONOREPO}/{LIBRARY}")
    build("a line of the library")
    write_newer_package(checkout, MONOREPO)
    build("a package of the lock")
    add_line(checkout, f"{MONOREPO}/services/model/weights.bin")
    build("a byte of a model")
    del analysed["from nothing"]  # the server still has some results of earlier builds
    return {
        "targets": {MANY: configured(checkout, SERVICES, MONOREPO)},
        "first build": first_build(bench.spare),
        "configurations": configurations(bench.spare),
        "analysed again": analysed,
        "cached": cached(bench.spare),
        "queried": repositories_of_queries(bench),
        "changes": changes,
    }


def first_build(checkout: Checkout) -> dict[str, int]:
    """Return the costs of README's first command in an empty output base: targets, processes, and own repositories."""
    assert not (checkout.root / "bazel-out").is_symlink(), "another build was the first"
    built = checkout.build(FIRST)
    made = [path for path in external_directory(checkout, ".").iterdir() if OWN_REPOSITORY.fullmatch(path.name)]
    packed = [spawn for spawn in built.spawns if spawn.mnemonic == "BentoHelperPackages"]
    return {
        "targets configured": analyzed(built),
        "processes": len(built.spawns),
        "repositories": len(made),
        "BentoHelperPackages": len(packed),
    }


def configurations(checkout: Checkout) -> dict[str, int]:
    """Return the number of configurations in which a new server analyzes targets."""
    checkout.bazel("shutdown").succeeded()
    checkout.write("tests/pythons/BUILD.bazel", PYTHONS)
    checkout.write("tests/pythons/service.py", STANDALONE)
    checkout.write("tests/pythons/service_test.py", "")
    checkout.build("--nobuild", "//tests/pythons/...")
    listed = checkout.bazel("config").succeeded()
    return {"a service, and Bentos in two more Pythons": len(CONFIGURATION.findall(listed.output))}


def analyzed(built: Result) -> int:
    """Return the number of targets that Bazel configured in a build."""
    found = re.search(r"(\d+) targets configured", built.errors)
    assert found, built.told()
    return int(found[1])


def cached(checkout: Checkout) -> dict[str, int]:
    """Return the bytes of outputs that a service, a line, and a package add to an empty cache, with layers as recipes.

    The service has an image with gzip layers. Its wheels aren't outputs.
    """
    kept: set[str] = set()

    def added(*packages: str) -> int:
        requirements = ", ".join(f'"@pypi//{package}"' for package in packages)
        checkout.write("tests/gate/BUILD.bazel", IMAGE.format(requirements=requirements))
        new: dict[str, int] = {}
        for spawn in checkout.build("//tests/gate:image").spawns:
            if spawn.mnemonic.startswith("Bento") and spawn.mnemonic not in TOOLS:
                new |= {digest: size for digest, size in spawn.sizes.items() if digest not in kept}
        kept.update(new)
        return sum(new.values())

    checkout.write("tests/gate/service.py", STANDALONE)
    found = {"a service with an image": added("bentoml")}
    add_line(checkout, "tests/gate/service.py")
    return found | {"a line of it": added("bentoml"), "a package of it": added("bentoml", "pandas")}


def write_services(checkout: Checkout, workspace: str, number: int) -> None:
    """Write services that share a library and a lock. Every tenth service requires scikit-learn."""
    for index in range(number):
        name = f"service_{index:03}"
        requirements = ["@pypi//bentoml", *(["@pypi//scikit_learn"] if index % 10 == 0 else [])]
        text = BUILD.format(name=name, requirements=", ".join(f'"{label}"' for label in requirements))
        checkout.write(f"{workspace}/services/{name}/BUILD.bazel", text)
        checkout.write(f"{workspace}/services/{name}/service.py", SERVICE.format(name=name))


def write_model(checkout: Checkout) -> None:
    """Write one more service, which includes a model."""
    directory = f"{MONOREPO}/services/model"
    checkout.write(f"{directory}/BUILD.bazel", MODEL)
    checkout.write(f"{directory}/weights.bin", "".join(f"{index}\n" for index in range(100_000)))
    service = SERVICE.format(name="model").replace("    @bentoml.api", OF_MODEL + "    @bentoml.api")
    checkout.write(f"{directory}/service.py", service)


def add_line(checkout: Checkout, path: str) -> None:
    """Add a comment to a file."""
    checkout.write(path, checkout.read(path) + "\n# Another line.\n")


def write_newer_package(checkout: Checkout, workspace: str) -> None:
    """Change the locked version of a package."""
    path = f"{workspace}/{LOCK}"
    text = checkout.read(path)
    newer = re.sub(rf'("name": "{PACKAGE}",\s*"version": ")[^"]*', r"\g<1>99.0", text)
    assert newer != text, f"the lock doesn't contain {PACKAGE}"
    checkout.write(path, re.sub(rf'"{PACKAGE}-[0-9.]+(-py3|\.tar)', rf'"{PACKAGE}-99.0\1', newer))


def costs(spawns: Iterable[Spawn], kept: set[str]) -> dict[str, dict[str, int]]:
    """Return the cost of a build's processes by mnemonic. `kept` contains the digests in the cache, and is updated."""
    kinds: dict[str, list[Spawn]] = {}
    sent: Counter[str] = Counter()
    for spawn in spawns:
        if "//services/" in spawn.target or spawn.mnemonic == RESOLVE:
            kinds.setdefault(spawn.mnemonic, []).append(spawn)
            new = {digest: size for digest, size in spawn.sizes.items() if digest not in kept}
            sent[spawn.mnemonic] += sum(new.values())
            kept.update(new)
    return {
        kind: {
            "actions": len(found),
            "inputs": int(median(sum("bento_python/" not in path for path in spawn.inputs) for spawn in found)),
            "bytes": sent[kind],
        }
        for kind, found in sorted(kinds.items())
    }


def configured(checkout: Checkout, target: str, workspace: str) -> int:
    """Return the number of targets and files that Bazel configures for a target."""
    listed = checkout.bazel("cquery", f"deps({target})", "--output=label", workspace=workspace).succeeded()
    return len(listed.output.splitlines())


def compared(committed: dict[str, Any], counted: dict[str, Any]) -> list[str]:
    """Return a line for each figure that has increased, or isn't committed."""
    worse = []
    before, after = figures(committed), figures(counted)
    for figure, found in after.items():
        limit = before.get(figure, 0)
        if found > limit:
            worse.append(f"  {figure}: {limit} -> {found}")
    return worse


def figures(counted: dict[str, Any]) -> dict[str, int]:
    """Return all figures by name."""
    found = {f"targets of {target}": number for target, number in counted["targets"].items()}
    found |= {f"configurations of {targets}": number for targets, number in counted["configurations"].items()}
    found |= {f"first build of {FIRST}, {unit}": number for unit, number in counted["first build"].items()}
    found |= {f"targets analysed again after {change}": number for change, number in counted["analysed again"].items()}
    found |= {f"bytes that {change} adds to a cache": number for change, number in counted["cached"].items()}
    found |= {f"repositories that a query of {place} fetches": number for place, number in counted["queried"].items()}
    for change, kinds in counted["changes"].items():
        for kind, cost in kinds.items():
            found |= {f"{change}, {kind}, {unit}": number for unit, number in cost.items()}
    return found


def dumped(counted: dict[str, Any]) -> str:
    """Return the content of bench/gate.json, with a line for each mnemonic, so that diffs are readable."""
    changes = []
    for change, kinds in counted["changes"].items():
        lines = ",\n".join(f"   {json.dumps(kind)}: {json.dumps(cost)}" for kind, cost in kinds.items())
        changes.append(f"  {json.dumps(change)}: {{" + (f"\n{lines}\n  }}" if lines else "}"))
    parts = []
    for key in ("targets", "configurations", "first build", "analysed again", "cached", "queried"):
        numbers = ",\n".join(f"  {json.dumps(of)}: {number}" for of, number in counted[key].items())
        parts.append(f" {json.dumps(key)}: {{\n{numbers}\n }},\n")
    return "{\n" + "".join(parts) + ' "changes": {\n' + ",\n".join(changes) + "\n }\n}\n"
