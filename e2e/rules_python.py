"""Checks Bentos and tests with a current rules_python, which Debian doesn't have."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from queries import NOT_OURS
from workbench import REPOSITORY, SkippedError

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

# Names a directory with a program `setup`, which writes modules, a registry, interpreters, `judge.bazelrc`, and
# `python.MODULE.bazel` into another directory.
JUDGE = "RULES_BENTO_RULES_PYTHON"
PROVIDING = threading.Lock()  # the first scenario writes the directory, for all
SMOKE, TEAMS = "e2e/smoke", "e2e/teams"
LAYOUTS = "tests/sources/layouts"
# The layouts are tested in a workspace that depends on this module.
REPLACED = {
    '"//rules:defs.bzl"': '"@rules_bento//rules:defs.bzl"',
    '"@layout_base"': '"@base"',
    'python_version = "3.12"': 'python_version = "3.11"',
}
SKYLIB = '\nbazel_dep(name = "bazel_skylib", version = "1.8.2")\n'
TESTS = ("//:all", "//presubmit:second_python_test", f"//{LAYOUTS}/...")
# The Python of each team.
PYTHONS = {"legacy": "3.12", "prices": "3.12", "search": "3.11", "vision": "3.13"}
IMPORTED = {
    "above",
    "base.parts",
    "company.two",
    "copied",
    "inner",
    "moved.raw",
    "nested.inner",
    "orders_api",
    "paged",
    "plugged.kinds.one",
    "python.runfiles",
    "schemas.iris_pb2",
    "sibling",
    "stock_api",
    "sub.deep",
    "words",
    "wrapped",
}
# The toolchain of a module on a page.
OF_TOOLCHAIN = re.compile(r"^python = .*\npython\.toolchain\(.*\n", re.MULTILINE)
LAYOUT_HEAD = """\
load("@rules_python//python:py_library.bzl", "py_library")
package(default_visibility = ["//visibility:public"])
"""
# `bentoml import` removes the permission to execute files.
PROGRAMS = {"cctool", "execbit", "fgtool", "pytool", "shwrap"}
SITE_PACKAGES = "--@rules_python//python/config_settings:venvs_site_packages=yes"
CASES = """\
load("@rules_bento//rules:defs.bzl", "bento_service", "python_image")
load("@rules_python//python:py_binary.bzl", "py_binary")

# Images in the default Python, stated or not, alone and in an index.
bento_service(
    name = "installed",
    srcs = ["service.py"],
    base = "@base_3_11",
    platforms = ["@rules_bento//toolchains/platforms:linux_amd64"],
    requirements = [
        "@pip//bentoml",
        "@pip//numpy",
        "//:requirements.txt",
    ],
    service = "service:Service",
)

py_binary(
    name = "service",
    srcs = ["service.py"],
    deps = ["@pip//numpy"],
)

python_image(
    name = "program",
    base = "@base_3_11",
    binary = ":service",
    python_version = "3.11",
)

# The constraint that the image also has.
bento_service(
    name = "constrained",
    srcs = ["service.py"],
    base = "@base_3_11",
    requirements = ["@locked//bentoml"],
    service = "service:Service",
    target_compatible_with = ["@platforms//os:linux"],
)
"""
UNTAGGED = """
local_directory(
    name = "untagged",
    build_file_content = '''
load("@@//tests/sources:rules.bzl", "client")
load("@rules_python//python:py_library.bzl", "py_library")

py_library(
    name = "words",
    srcs = ["site-packages/words.py"],
    imports = ["site-packages"],
    visibility = ["//visibility:public"],
)

# An output directory with installed packages.
client(
    name = "installed",
    below = ["lib", "site-packages"],
    package = "words",
    visibility = ["//visibility:public"],
)
''',
    path = "untagged",
)
"""


def current_rules_python_is_supported(bench: Workbench) -> str:
    """Test library layouts, packages of `pip.parse`, and a second Python."""
    checkout = bench.checkout("rules_python")
    workspace = checkout.root / SMOKE
    shutil.copytree(REPOSITORY / SMOKE / "presubmit", workspace / "presubmit")
    provide_rules_python(checkout, SMOKE)
    checkout.write(f"{SMOKE}/MODULE.bazel", checkout.read(f"{SMOKE}/MODULE.bazel") + SKYLIB)
    shutil.copytree(checkout.root / LAYOUTS, workspace / LAYOUTS)
    shutil.copy(checkout.root / LAYOUTS / "../rules.bzl", workspace / LAYOUTS / "..")
    checkout.write(f"{SMOKE}/{LAYOUTS}/../BUILD.bazel", "")
    for old, new in REPLACED.items():
        checkout.edit(f"{SMOKE}/{LAYOUTS}/BUILD.bazel", old, new)
    checkout.build("//presubmit:hello", workspace=SMOKE)
    tested = checkout.bazel("test", *TESTS, workspace=SMOKE).succeeded()
    assert {"TestRunner"} <= set(tested.ran), tested.told()
    return f"{tested.ran.count('TestRunner')} tests"


def teams_share_a_repository(bench: Workbench) -> str:
    """Compare the modules of tests, Bentos, servers, and images, in a repository with three Pythons and two hubs."""
    checkout = bench.checkout("teams")
    workspace = checkout.root / TEAMS
    provide_rules_python(checkout, TEAMS)
    shutil.copy(checkout.root / SMOKE / "requirements.lock.json", workspace)
    shutil.copytree(checkout.root / SMOKE / "base", workspace / "base")
    checkout.write(f"{TEAMS}/base/BUILD.bazel", "")
    shutil.copytree(checkout.root / LAYOUTS / "lib", workspace / LAYOUTS / "lib")
    shutil.copy(checkout.root / LAYOUTS / "../rules.bzl", workspace / LAYOUTS / "..")
    checkout.write(f"{TEAMS}/{LAYOUTS}/../BUILD.bazel", "")
    checkout.edit(f"{TEAMS}/{LAYOUTS}/lib/BUILD.bazel", f"//{LAYOUTS}:__pkg__", "//visibility:public")

    write_layouts(workspace)

    asked = checkout.bazel("query", "--keep_going", "deps(//...)", workspace=TEAMS)
    errors = [line for line in asked.errors.splitlines() if line.startswith("ERROR")]
    assert not [line for line in errors if not any(word in line for word in NOT_OURS)], asked.told()
    assert "//prices:prices_test" in asked.output, asked.told()
    modules = compared_modules(checkout, "//...", teams=PYTHONS)
    # The same libraries, declared by another rule.
    checkout.edit(f"{TEAMS}/probe/BUILD.bazel", "lib:all", "lib:foreign_all")
    compared_modules(checkout, "//prices:all", teams={"prices": "3.12"})
    checkout.edit(f"{TEAMS}/probe/BUILD.bazel", "lib:foreign_all", "lib:all")
    # With other flags, Bazel analyzes all targets again.
    compared_modules(checkout, SITE_PACKAGES, "//prices:all", teams={"prices": "3.12"})
    special_cases_are_supported(checkout)
    return f"{modules} modules of {len(PYTHONS)} teams; {', '.join(sorted(set(PYTHONS.values())))}"


def write_layouts(workspace: Path) -> None:
    """Write the files in `layouts.txt`, each after a line `-- PATH`."""
    sections = (workspace / "layouts.txt").read_text("utf-8").split("-- ")[1:]
    texts = dict(section.split("\n", 1) for section in sections)
    names = {path.partition("/")[0] for path in texts if "/" in path} - {"shared"}
    for path, text in texts.items():
        file = workspace / ("" if path.startswith("shared/") else "layouts") / path
        file.parent.mkdir(parents=True, exist_ok=True)
        head = LAYOUT_HEAD if path.endswith("BUILD.bazel") else ""
        file.write_text(head + text.replace('"NAMES"', f'"{" ".join(sorted(names))}"'), "utf-8")


def compared_modules(checkout: Checkout, *arguments: str, teams: dict[str, str]) -> int:
    """Run the tests of teams. Returns the number of modules, which are equal in all programs of a team."""
    outputs = checkout.root / TEAMS / "bazel-out"
    for old in outputs.glob("*/testlogs/*/*/test.outputs/*.json"):
        old.chmod(0o644)
        old.unlink()
    # Without cached results, because Bazel doesn't write the removed files again.
    flags = ("--build_tests_only", "--nocache_test_results", "--nozip_undeclared_test_outputs")
    checkout.bazel("test", *flags, *arguments, workspace=TEAMS).succeeded()
    counted = 0
    for team, version in teams.items():
        paths = {path.stem: path for path in outputs.glob(f"*/testlogs/{team}/*/test.outputs/*.json")}
        found = {kind: json.loads(path.read_text("utf-8")) for kind, path in paths.items()}
        expected = found.pop("py_test")
        assert sorted(found) == ["bento_test", "image", "stock"], (team, sorted(found))
        assert expected["sys"] == [version, ""], (team, expected["sys"])
        assert set(expected) >= IMPORTED, (team, sorted(expected))
        assert not [name for name, answer in expected.items() if answer[0].endswith("Error")], expected
        run = expected.pop("run")
        assert found["image"].pop("run") == run == ["probe/main.py", f"--team {team}"], (team, run)
        for kind, modules in found.items():
            programs = PROGRAMS.intersection(expected) if kind == "stock" else set()
            assert not [name for name in programs if modules[name][0] != "PermissionError"], modules
            names = {*modules, *expected} - programs
            different = {name for name in names if modules.get(name) != expected.get(name)}
            assert not different, (team, kind, sorted(different))
        counted += len(expected)
    return counted


def special_cases_are_supported(checkout: Checkout) -> None:
    """Check constraints of `bento_service`, and that a lock without wheels fails only its own targets."""
    checkout.write(f"{TEAMS}/cases/BUILD.bazel", CASES)
    checkout.write(f"{TEAMS}/cases/service.py", "")
    checkout.build("--nobuild", "//cases:all", workspace=TEAMS)
    skipped = checkout.bazel("build", "--nobuild", "--define=search=off", "//search:search", workspace=TEAMS)
    assert "is incompatible" in skipped.errors, skipped.told()
    assert "crashed" not in skipped.errors, skipped.told()
    packed = checkout.bazel("aquery", 'mnemonic("BentoWheel", deps(//prices:image))', workspace=TEAMS).succeeded()
    assert "Mnemonic: BentoWheel" in packed.output, packed.told()
    assert "no-cache" not in packed.output  # nothing of the machine enters the wheels
    images = "set(//prices:image //cases:all)"
    compiled = checkout.bazel("aquery", f'mnemonic("BentoBytecode", deps({images}))', workspace=TEAMS).succeeded()
    assert "/encodings/" not in compiled.output, "actions read each file of the interpreter"
    # Without the configuration. The repository of a wheel is for one version of Python.
    written = re.findall(r"(?m)^  Outputs: \[bazel-out/[^/]*/([^],]*)", compiled.output)
    assert written, compiled.told()
    again = [output for output, times in Counter(written).items() if times > 1]
    assert not again, f"compiled in several configurations: {again}"
    module = checkout.read(f"{TEAMS}/MODULE.bazel")
    checkout.write(f"{TEAMS}/MODULE.bazel", module + 'bento.pypi(name = "locked", lock = "//:docopt.lock.json")\n')
    checkout.build("--nobuild", "@base_3_11", workspace=TEAMS)  # without the extension of hubs, which fails
    checkout.bazel("build", "--nobuild", "@locked//numpy", workspace=TEAMS).failed(
        "is defined twice in the module teams"
    )
    checkout.write(f"{TEAMS}/MODULE.bazel", module)
    checkout.edit(f"{TEAMS}/MODULE.bazel", "        python_version = version,\n    )\n    for", "    )\n    for")
    checkout.bazel("build", "--nobuild", "@base_3_11", workspace=TEAMS).failed(
        "in the variable PYTHON_VERSION. Set python_version"
    )
    checkout.bazel("build", "--nobuild", "@broken//docopt", workspace=TEAMS).failed(
        "docopt==0.6.2 has no wheel for linux_"
    )
    unknown_layouts_fail(checkout)


def unknown_layouts_fail(checkout: Checkout) -> None:
    """Check that the modules of a package without the tags of rules_python are an error, not sources of the Bento."""
    checkout.write(f"{TEAMS}/MODULE.bazel", checkout.read(f"{TEAMS}/MODULE.bazel") + UNTAGGED)
    checkout.write(f"{TEAMS}/untagged/site-packages/words.py", "")
    checkout.write(f"{TEAMS}/untagged/REPO.bazel", "")
    checkout.edit(
        f"{TEAMS}/cases/BUILD.bazel", "    requirements", '    deps = ["@untagged//:words"],\n    requirements'
    )
    checkout.bazel("build", "--nobuild", "//cases:constrained_bento", workspace=TEAMS).failed(
        "untagged/site-packages belongs to an installed package, but the rule py_library", "as rules_python 0.40.0 to "
    )
    checkout.edit(f"{TEAMS}/cases/BUILD.bazel", "@untagged//:words", "@untagged//:installed")
    checkout.bazel("build", "--nobuild", "//cases:constrained_bento", workspace=TEAMS).failed(
        "untagged/installed/lib/site-packages belongs to an installed package, but the rule client"
    )


def provide_rules_python(checkout: Checkout, workspace: str) -> None:
    """Write MODULE.bazel of a workspace for the rules_python of this machine or, otherwise, of the network.

    Raises SkippedError if neither exists.
    """
    module = (REPOSITORY / workspace / "MODULE.bazel").read_text("utf-8")
    is_provided = provide_modules(checkout, workspace)
    if is_provided:
        include = '\ninclude("//:python.MODULE.bazel")\n\n'
        module = re.sub(r"(?s)\npython = use_extension.*?\n(?=pip = )", include, module)
    checkout.write(f"{workspace}/MODULE.bazel", module)
    if not is_provided:
        require_rules_python(checkout, workspace)


def provide_modules(checkout: Checkout, workspace: str, default: str = "3.11") -> bool:
    """Write `.bazelrc` and `python.MODULE.bazel` for the rules_python of this machine. Returns whether it exists."""
    judge = os.environ.get(JUDGE)
    if not judge:
        return False
    provided = checkout.root.parents[1] / "provided"
    with PROVIDING:
        if not provided.exists():
            subprocess.run([sys.executable, Path(judge, "setup"), provided], check=True, capture_output=True)
    module = (provided / "python.MODULE.bazel").read_text("utf-8")
    module = module.replace('defaults(python_version = "3.11")', f'defaults(python_version = "{default}")')
    checkout.write(f"{workspace}/python.MODULE.bazel", module)
    checkout.write(f"{workspace}/.bazelrc", f'import "{provided}/judge.bazelrc"\n')
    return True


def require_rules_python(checkout: Checkout, workspace: str) -> None:
    """Raise SkippedError if the network doesn't provide a current rules_python."""
    loaded = checkout.bazel("query", "@rules_python//python/config_settings:venvs_site_packages", workspace=workspace)
    if loaded.code:
        reason = next((line for line in loaded.errors.splitlines() if line.startswith("ERROR")), "no answer")
        raise SkippedError(f"{JUDGE} isn't set, and the network provides no current rules_python: {reason[:200]}")
