"""Checks package hubs with missing locks, other platforms, other names, and BUILD files in wheels; and interpreters."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from typing import TYPE_CHECKING

from sources import git
from workbench import with_python_here

from tests.helpers.made_wheels import Maker

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Checkout, Workbench

MODULE = """\
module(name = "hubs")
bazel_dep(name = "rules_bento", version = "0.1.0")
local_path_override(module_name = "rules_bento", path = "../..")
bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
bento.pypi(
    name = "pypi",
    build_lock = "//:build.lock.json",
    find_links = ["wheels"],
    lock = "//:requirements.lock.json",
    no_index = True,
    platforms = ["linux_amd64", "linux_arm64"],
)
use_repo(bento, mine = "pypi")
"""
BUILD = """\
load("@mine//:requirements.bzl", "all_requirements", "requirement")
load("@rules_bento//rules:defs.bzl", "bento_package", "bento_requirements")

bento_requirements(name = "requirements", srcs = ["requirements.in"])

bento_package(
    name = "bento",
    srcs = ["service.py"],
    requirements = [requirement("BentoML")],
    service = "service:Service",
)

filegroup(name = "all_of_them", srcs = all_requirements)
"""
EXTRA = """
filegroup(name = "extra", srcs = ["@mine//bentoml:io-image"])
"""
PIP = """
bazel_dep(name = "rules_python", version = "0.22.1")
pip = use_extension("@rules_python//python/extensions:pip.bzl", "pip")
pip.parse(
    name = "pip",
    extra_pip_args = ["--no-index", "--find-links={wheels}"],
    incompatible_generate_aliases = True,
    python_interpreter = "{python}",
    requirements_lock = "//:pip.txt",
)
use_repo(pip, "pip")
"""
PIP_BENTO = """
bento_package(
    name = "pip_bento",
    srcs = ["service.py"],
    python_version = "3.11",
    requirements = ["@pip//bentoml", "pip.txt"],
    service = "service:Service",
)
"""
SERVICE = "import bentoml\n\n\n@bentoml.service\nclass Service:\n    pass\n"
# The package hub of another module, with a lock that both modules can use.
OTHER = """\
module(name = "other")
bazel_dep(name = "rules_bento", version = "0.1.0")
bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
bento.pypi(name = "shared", lock = "//:requirements.lock.json")
"""
USE_PYPI = 'use_repo(bento, "pypi")'
DEPENDENCY = """
bazel_dep(name = "other")
local_path_override(module_name = "other", path = "other")
bento.pypi(name = "shared", lock = "@other//:requirements.lock.json")
use_repo(bento, "shared")
"""
BUILD_FILES = ("BUILD", "BUILD.bazel", "MODULE.bazel", "REPO.bazel", "WORKSPACE", "WORKSPACE.bazel")
PLATFORMS = 'platforms = ["linux_amd64", "linux_arm64"]'


def hubs_report_missing_locks_and_platforms(bench: Workbench) -> str:
    """Create a missing lock. Check that unsupported platforms and names are rejected with the valid values."""
    checkout = bench.consumer()
    lock = write_workspace(checkout)
    missing_lock_can_be_created(checkout, lock)
    packages_of_pip_parse_are_locked(checkout)
    excluded_packages_are_reported(checkout)
    wheels_with_build_files_are_complete(checkout)
    duplicate_hub_names_are_rejected(checkout)
    missing_packages_are_reported(checkout)
    modules_with_equal_settings_share_a_hub(checkout, lock)
    invalid_interpreters_are_reported(checkout)
    changed_interpreters_are_detected(checkout)
    inconsistent_locks_are_rejected(checkout, lock)
    hostile_locks_run_nothing(checkout, lock, bench.directory / "hostile")
    changed_wheels_are_unpacked_again(checkout, lock)
    hostile_wheels_write_nothing_outside(checkout, lock, bench.directory / "outside")
    invalid_locks_fail_only_their_own_targets(checkout)
    unresolved_locks_are_read_again(checkout)
    unsupported_platforms_are_reported(checkout)
    return "absent and hostile locks, BUILD files in wheels, names of several modules, platforms, another name of a hub"


def missing_lock_can_be_created(checkout: Checkout, lock: str) -> None:
    """Build the target that writes a missing lock. A Bento of the same package fails until the lock exists."""
    build = checkout.read("BUILD.bazel")
    checkout.write("BUILD.bazel", build + EXTRA)
    built = checkout.build("//:requirements.update", "//:all_of_them")
    message = (
        'bento.pypi(name = "pypi"): the lock //:requirements.lock.json doesn\'t exist. '
        "`bazel run` the bento_requirements target"
    )
    assert message in built.errors, built.told()
    for target in ("//:bento", "@mine//acme:whl", "//:extra"):  # the server prints the message only once
        failed = checkout.bazel("build", target).failed(message)
        assert "BUILD file not found" not in failed.errors, failed.told()
    checkout.write("BUILD.bazel", build)
    checkout.write("requirements.lock.json", "")  # the lock is still empty
    checkout.build("//:requirements.update")
    checkout.write("requirements.lock.json", lock)
    checkout.build("//:bento")


def packages_of_pip_parse_are_locked(checkout: Checkout) -> None:
    """Build a Bento with packages of Debian's rules_python. Its lock subset equals the one of the same wheels."""
    if sys.version_info >= (3, 12):
        return  # the setuptools of rules_python 0.22.1 doesn't run on it
    module, build = map(checkout.read, ("MODULE.bazel", "BUILD.bazel"))
    wheels = sorted((checkout.directory / "wheels").glob("*.whl"))
    pins = {wheel.name.partition("-")[0]: hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}
    lines = "".join(f"{name}==1.0 --hash=sha256:{digest}\n" for name, digest in pins.items())
    checkout.write("pip.txt", lines)
    checkout.write("MODULE.bazel", module + PIP.format(python=sys.executable, wheels=wheels[0].parent))
    checkout.write("BUILD.bazel", build + PIP_BENTO)
    checkout.build("//:bento", "//:pip_bento")
    outputs = checkout.directory / "bazel-out"
    [own], [theirs] = (
        [json.loads(path.read_text("utf-8")) for path in outputs.glob(f"*/bin/{name}.locked.json")]
        for name in ("bento", "pip_bento")
    )
    own["modules"] = theirs["modules"]  # which only pip.parse knows
    assert own == theirs, f"{own}\n{theirs}"
    checkout.write("pip.txt", lines.replace(pins["bentoml"], "").replace(" --hash=sha256:\n", "\n"))
    checkout.bazel("build", "//:pip_bento").failed("requirements: pip.txt doesn't contain bentoml==1.0 with hashes")
    checkout.write("MODULE.bazel", module)
    checkout.write("BUILD.bazel", build)


def changed_wheels_are_unpacked_again(checkout: Checkout, lock: str) -> None:
    """Check that a hub has the modules of a wheel whose hash changed, and whose name didn't."""
    content = json.loads(lock)
    for number in range(2):
        files = write_wheel(checkout.directory / "wheels", "changing", {f"changing/part{number}.py": ""})
        changing = {"name": "changing", "version": "1.0", "files": files}
        content |= {"packages": [changing], "roots": [{"name": "changing"}]}
        checkout.write("requirements.lock.json", json.dumps(content))
        checkout.build("@mine//changing")
        listed = checkout.bazel("cquery", "@mine//changing", "--output=files").succeeded().output
        assert f"/changing/part{number}.py" in listed, listed
    checkout.write("requirements.lock.json", lock)


def wheels_with_build_files_are_complete(checkout: Checkout) -> None:
    """Check that modules below BUILD files are included, with the hub's local name and with canonical labels."""
    checkout.build("@mine//acme", "//:all_of_them")
    listed = checkout.bazel("cquery", "@mine//acme", "--output=files").succeeded().output.split()
    found = {path.partition("/site-packages/")[2] for path in listed}
    wanted = {f"acme/{name}/data.txt" for name in BUILD_FILES} | {"acme/__init__.py"}
    assert wanted <= found, f"the modules lack {sorted(wanted - found)}"


def duplicate_hub_names_are_rejected(checkout: Checkout) -> None:
    """Check that two package hubs with the same name in a module are an error, and in two modules belong to the first.

    This includes hubs whose additional repositories, for build systems or metadata of a lock, have the same name. A
    root module can lack a name.
    """
    tag = 'bento.pypi(name = "pypi", lock = "//:requirements.lock.json")\n'
    use = "use_repo(bento, mine"
    module = checkout.read("MODULE.bazel")
    nameless = module.replace('module(name = "hubs")\n', "")
    assert nameless != module
    checkout.write("MODULE.bazel", nameless.replace(use, tag + use))
    checkout.bazel("build", "//:bento").failed('bento.pypi(name = "pypi") is defined twice in the module <root> (')
    for name in ("pypi__build", "pypi__lock", "pypi__build__lock"):
        second = tag.replace('"pypi"', f'"{name}"')
        checkout.write("MODULE.bazel", module.replace(use, second + use))
        # The tags as they are in MODULE.bazel, in their order.
        first, last = (f'bento.pypi(name = "{each}")' for each in ("pypi", name))
        said = f"{first} and {last} in the module hubs both declare the repository {name}. Rename one"
        checkout.bazel("build", "//:bento").failed(said)
    other = 'bazel_dep(name = "other")\nlocal_path_override(module_name = "other", path = "other")\n'
    checkout.write("MODULE.bazel", module.replace(use, other + use))
    extension = [line for line in MODULE.splitlines() if line.startswith(("bazel_dep", "bento = "))]
    checkout.write("other/MODULE.bazel", "\n".join(['module(name = "other")', *extension, tag, USE_PYPI]))
    checkout.write("other/BUILD.bazel", 'filegroup(name = "acme", srcs = ["@pypi//acme"])\n')
    for target in ("//:bento", "@other//:acme"):
        for told in ("the modules hubs and other declare this name (", 'write use_repo(bento, pypi = "pypi_hubs").'):
            checkout.bazel("build", "--nobuild", target).failed(told)
    checkout.edit("other/MODULE.bazel", USE_PYPI, USE_PYPI.replace('"pypi"', 'pypi = "pypi_other"'))
    checkout.edit("other/MODULE.bazel", '(name = "pypi"', '(name = "pypi_other"')
    checkout.write("other/requirements.lock.json", checkout.read("requirements.lock.json"))
    built = checkout.bazel("build", "--nobuild", "@other//:acme", "//:bento").succeeded()
    assert "Rename" not in built.errors, built.told()
    checkout.write("MODULE.bazel", module.replace(use, other + use))
    checkout.edit("MODULE.bazel", other, "")


def missing_packages_are_reported(checkout: Checkout) -> None:
    """Check the errors for a missing package: from Bazel (quoted in docs/locks.md), and from `requirement`."""
    failed = checkout.bazel("build", "@mine//flask")
    assert re.search(r"no such package '@@\S*pypi//flask': BUILD file not found", failed.errors), failed.told()
    load = 'load("@mine//:requirements.bzl", "requirement")\n\nfilegroup(name = "x", srcs = [requirement("{}")])\n'
    checkout.write("asking/BUILD.bazel", load.format("Flask"))
    checkout.bazel("query", "//asking:x").failed(
        "the lock of @pypi doesn't contain Flask. Add the package to the requirements"
    )
    checkout.write("asking/BUILD.bazel", load.format("Acme"))
    checkout.bazel("query", "//asking:x").succeeded()


def excluded_packages_are_reported(checkout: Checkout) -> None:
    """Check the error for a package that markers exclude on all platforms, or on the platform of the build."""
    for package, platform, where in (
        ("elsewhere", "linux_amd64", "on none"),
        ("machine", "linux_arm64", "only on linux_amd64"),
    ):
        platforms = f"--platforms=@rules_bento//toolchains/platforms:{platform}"
        for target in ("", ":whl"):
            told = f"{where} of linux_amd64, linux_arm64, because of markers in the lock. Exclude"
            checkout.bazel("build", platforms, f"@mine//{package}{target}").failed(told)


def modules_with_equal_settings_share_a_hub(checkout: Checkout, lock: str) -> None:
    """Check that modules share a package hub if their settings are equal. Otherwise, a message lists differences."""
    module = checkout.read("MODULE.bazel")
    checkout.write("MODULE.bazel", module + DEPENDENCY)
    checkout.write("other/MODULE.bazel", OTHER)
    checkout.write("other/BUILD.bazel", "")
    checkout.write("other/requirements.lock.json", lock)
    query = ("query", "@shared//acme")
    checkout.bazel(*query).succeeded()
    checkout.edit("other/MODULE.bazel", 'name = "shared"', 'name = "shared", glibc = "2.17"')
    told = 'bento.pypi(name = "shared"): the modules hubs and other declare this name (glibc differ). Rename one'
    checkout.bazel("build", "@shared//acme").failed(told)
    checkout.write("MODULE.bazel", module)


def unsupported_platforms_are_reported(checkout: Checkout) -> None:
    """Check the errors for a hub without the platform or the Python version, and for an invalid platform name."""
    build = ("build", "--platforms=@rules_bento//toolchains/platforms:linux_arm64", "@mine//acme")
    module = checkout.read("MODULE.bazel")
    checkout.write("MODULE.bazel", re.sub(r'python_version = "[\d.]+"', 'python_version = "3.9"', module))
    failed = checkout.bazel(*build)
    assert failed.errors.count("@pypi is for Python 3.9, but the lock is for >=3.10. Set") == 1, failed.told()
    checkout.write("MODULE.bazel", module)
    checkout.edit("MODULE.bazel", PLATFORMS, 'platforms = ["linux_amd64"]')
    checkout.bazel(*build).failed("@pypi is for linux_amd64, but the build is for another platform")
    checkout.edit("MODULE.bazel", 'platforms = ["linux_amd64"]', 'platforms = ["linux_x86_64"]')
    checkout.bazel(*build).failed('platforms contains the unknown value "linux_x86_64". Valid values: darwin_amd64')


def invalid_interpreters_are_reported(checkout: Checkout) -> None:
    """Check the errors for two interpreters, for a file that isn't a Python interpreter, and for an old interpreter."""
    module = checkout.read("MODULE.bazel")
    checkout.write("plain/BUILD.bazel", 'genrule(name = "plain", outs = ["x"], cmd = "echo > $@")\n')
    one = 'bento_tools.python(interpreter = "python3")'
    absent = one.replace("python3", "python3.99")
    checkout.write("python3.9", "#!/bin/sh\necho 3.9.18\n")
    old = checkout.directory / "python3.9"
    old.chmod(0o755)
    for tag, said in (
        (f"{one}\n{one}", "0 of 2 bento_tools.python tags set is_default. Set is_default = True in exactly one tag"),
        (absent, f"{absent}: the program isn't on PATH"),
        (one.replace("python3", "/bin/false"), "cannot run /bin/false"),
        (
            one.replace("python3", str(old)),
            f"{old} is Python 3.9.18, but rules_bento requires Python 3.10 or later. Set",
        ),
    ):
        checkout.edit("MODULE.bazel", one, tag)
        checkout.bazel("build", "//:bento").failed(said)
        checkout.build("//plain")  # toolchains of rules_bento are registered, but don't affect it
        queried = checkout.bazel("query", "--repo_env=BENTO_QUERY_PYTHON=python3", "deps(//:bento)").succeeded()
        assert "@pypi__bentoml__package//:bentoml" in queried.output.replace("~", "@"), queried.told()
        checkout.write("MODULE.bazel", module)


def changed_interpreters_are_detected(checkout: Checkout) -> None:
    """Check that another version at the path of the interpreter is detected, also behind a link."""
    module = checkout.read("MODULE.bazel")
    directory = checkout.directory
    for name in ("new", "old"):
        run = 'exec python3 "$@"' if name == "new" else "echo 3.9.18"
        checkout.write(f"{name}.sh", f"#!/bin/sh\n{run}\n")
        (directory / f"{name}.sh").chmod(0o755)
    link = directory / "linked"
    link.symlink_to("new.sh")
    for program in (link, directory / "new.sh"):
        checkout.edit("MODULE.bazel", '(interpreter = "python3")', f'(interpreter = "{program}")')
        checkout.bazel("build", "--nobuild", "//:bento").succeeded()
        if program == link:
            link.unlink()
            link.symlink_to("old.sh")
        else:
            checkout.write("new.sh", "#!/bin/sh\necho 3.9.18\n")
        checkout.bazel("build", "--nobuild", "//:bento").failed(
            f"{program} is Python 3.9.18, but rules_bento requires Python 3.10"
        )
        checkout.write("MODULE.bazel", module)


def inconsistent_locks_are_rejected(checkout: Checkout, lock: str) -> None:
    """Check the error for a dependency on a missing package. An extra can have the name of its package."""
    content = json.loads(lock)
    [acme] = [package for package in content["packages"] if package["name"] == "acme"]
    acme["extras"] = {"acme": [{"name": "bentoml"}]}
    checkout.write("requirements.lock.json", json.dumps(content))
    checkout.bazel("query", "@mine//acme:extra_acme").succeeded()
    for edge, said in (
        ({"name": "lost"}, "the lock requires lost, but doesn't include the package. Update the lock"),
        ({"name": "bentoml", "version": "2.0"}, "the lock requires bentoml 2.0, but doesn't include the package"),
    ):
        acme["extras"] = {"acme": [edge]}
        checkout.write("requirements.lock.json", json.dumps(content))
        checkout.bazel("build", "@mine//acme").failed(said)
    checkout.write("requirements.lock.json", lock)


def hostile_locks_run_nothing(checkout: Checkout, lock: str, directory: Path) -> None:
    """Check that strings of a lock reach no command line or BUILD file, and that reading a lock runs no build."""
    mark = directory / "ran"
    address, commit = hostile_source(directory / "evil", mark)
    module = checkout.read("MODULE.bazel")
    package = {"name": "acme", "version": "1.0", "files": {}, "source": {"git": address, "commit": commit}}
    uv_lock = f"""\
version = 1
requires-python = ">=3.10"
[[package]]
name = "project"
version = "0"
source = {{ virtual = "." }}
dependencies = [{{ name = "acme" }}]
[[package]]
name = "acme"
version = "1.0"
source = {{ git = "--upload-pack=touch {mark};#." }}
"""
    cases = (
        ("uv.lock", uv_lock, "acme: source.git: '--upload-pack=touch "),
        ("git.lock.json", {"source": {"git": f"--upload-pack=touch {mark};", "commit": commit}}, "isn't an https://"),
        ("tags.lock.json", {"version": '1.0", tags = ["no-sandbox"], deprecation = "x'}, "isn't a version (PEP 440)"),
        ("lines.lock.json", {"version": f"1.0\nevil @ {address}"}, "isn't a version (PEP 440)"),
        ("requirements.txt", f"acme @ git+{address}@{commit}\n", "has dynamic dependencies"),
    )
    for name, content, said in cases:
        text = (
            content
            if isinstance(content, str)
            else json.dumps(json.loads(lock) | {"packages": [package | content], "roots": []})
        )
        checkout.write(f"{name}", text)
        checkout.edit("MODULE.bazel", '"//:requirements.lock.json"', f'"//:{name}"')
        checkout.bazel("build", "@mine//acme").failed(said)
        assert not mark.exists(), f"{name}: {mark.read_text('utf-8')}"
        checkout.write("MODULE.bazel", module)


def hostile_wheels_write_nothing_outside(checkout: Checkout, lock: str, outside: Path) -> None:
    """Check that the modules of a wheel with a member outside of its directory aren't unpacked."""
    outside.mkdir()
    content = json.loads(lock)
    names = (f"{'../' * 40}{str(outside)[1:]}/a", f"{outside}/b", f"hostile/../../../../{'x' * 20}")
    for version, name in enumerate(names):
        maker = Maker("hostile", f"{version}.0").add({name: "written by a wheel"})
        wheel = maker.write(checkout.directory / "wheels")
        files = {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest()}
        hostile = {"name": "hostile", "version": maker.version, "files": files}
        content |= {"packages": [hostile], "roots": [{"name": "hostile"}]}
        checkout.write("requirements.lock.json", json.dumps(content))
        checkout.bazel("build", "@mine//hostile").failed(f"cannot unpack the wheel: invalid path '{name}'")
        wheel.unlink()
    assert not list(outside.iterdir())
    checkout.write("requirements.lock.json", lock)


CONFLICTS = """\
version = 1
requires-python = ">=3.10"
conflicts = [[{ package = "project", extra = "cpu" }, { package = "project", extra = "gpu" }]]
[[package]]
name = "project"
version = "0"
source = { virtual = "." }
[package.optional-dependencies]
cpu = []
gpu = []
"""


# Locks by their names, their contents, and the reported errors.
LOCKED = f"acme==1.0 --hash=sha256:{'0' * 64}\n"
BAD_LOCKS = (
    ("uv.lock", CONFLICTS, "conflict (tool.uv.conflicts), but bento.pypi selects both. Select only one"),
    ("bad.lock.json", "{}", "//:bad.lock.json isn't a rules_bento lock in format 1. Generate the lock with"),
    ("bad.lock.json", '{"lock": 1, "packages": []}', "Restore the committed file, or empty the file"),
    ("bad.txt", f"-e ./acme\n{LOCKED}", "//:bad.txt:1: unsupported option -e."),
    ("bad.txt", f"-e ./acme\n{LOCKED}", "`uv export --no-emit-workspace` omits the repository's own packages."),
    (
        "bad.txt",
        "acme==1.0\n",
        "//:bad.txt: acme 1.0 has no hash (SHA-256), so nothing can verify it. Run `uv pip compile",
    ),
    ("bad.txt", "acme==1.0\n", 'Or set lock to the uv.lock in the same directory: lock = "//:uv.lock".'),
    ("poetry.lock", '[[package]]\nname = "acme"\n', "//:poetry.lock: unsupported version 'None' of the lock's form"),
    ("Pipfile.lock", '{"default": {"acme": {}}}', "//:Pipfile.lock: "),
    ("environment.yml", "dependencies: [acme]", "because it lists packages of conda. List the Python packages in"),
    ("pyproject.toml", '[project]\nname = "acme"\n', "pyproject.toml isn't a lock. Run `uv lock`"),
)
# Tags that are invalid in other ways. Each has the label of a target.
BAD_TAGS = """
bento_files = use_extension("@rules_bento//toolchains:extensions.bzl", "bento_files")
bento_files.apt(name = "no_debs", lock = "//:missing.debs.json")
bento_files.base(name = "no_base", digest = "sha256:…", image = "registry.example.com/python", python_version = "3.12")
bento_files.base(name = "no_layout", layout = "//:index.json", python_version = "3.12")
bento_files.hugging_face_model(
    name = "no_model",
    endpoint = "https://hub.example.com",
    files = {"a": "0"},
    repository = "a/b",
    revision = "main",
)
use_repo(bento_files, "no_base", "no_debs", "no_layout", "no_model")
bento.pypi(name = "no_platform", lock = "//:requirements.lock.json", platforms = ["windows"])
use_repo(bento, "no_platform")
"""
LATE = """
bento.pypi(name = "late", find_links = ["{page}"], lock = "//:late.txt", no_index = True, python_version = "3.13")
use_repo(bento, "late")
"""
TAGS = {
    "@no_base": 'invalid digest "sha256:',
    "@no_debs//:packages": "//:missing.debs.json doesn't exist. Create an empty file, and run the bento_debs target",
    "@no_layout": "layout must be an existing index.json file",
    "@no_model": 'invalid revision "main". Use a commit hash',
    "@no_platform//acme": 'platforms contains the unknown value "windows"',
}


def invalid_locks_fail_only_their_own_targets(checkout: Checkout) -> None:
    """Check that invalid hubs and other invalid tags fail only the targets that use them, in the analysis."""
    module = checkout.read("MODULE.bazel")
    tags, cases = "", {}
    for number, (name, text, said) in enumerate(BAD_LOCKS):
        hub = f"bad_{number}"
        checkout.write(f"{hub}/uv.lock", CONFLICTS)
        checkout.write(f"{hub}/{name}", text)
        checkout.write(f"{hub}/BUILD.bazel", f'filegroup(name = "x", srcs = ["@{hub}//acme"])\n')
        tags += f'bento.pypi(name = "{hub}", lock = "//{hub}:{name}")\nuse_repo(bento, "{hub}")\n'
        cases[f"//{hub}:x"] = (f'bento.pypi(name = "{hub}"): ', said.replace("//:", f"//{hub}:"))
    cases |= {target: (f'(name = "{target.partition("//")[0][1:]}"): ', said) for target, said in TAGS.items()}
    checkout.write("MODULE.bazel", module + tags + BAD_TAGS)
    checkout.build("//:bento")
    fail_in_analysis(checkout, cases)
    for number in range(len(BAD_LOCKS)):
        shutil.rmtree(checkout.directory / f"bad_{number}")
    checkout.write("MODULE.bazel", module)


def fail_in_analysis(checkout: Checkout, cases: dict[str, tuple[str, str]]) -> None:
    """Check that targets exist, and that their analysis fails without a traceback of Python, also the second time."""
    checkout.bazel("query", f"set({' '.join(cases)})").succeeded()
    for _ in range(2):
        failed = checkout.bazel("build", "--nobuild", "--keep_going", *cases)
        errors = failed.errors.split("ERROR: ")[1:]
        for target, (place, said) in cases.items():
            found = any(place in error and said in error for error in errors)
            assert found, f"{target}: no error with {place!r} and {said!r}\n{failed.errors}"
        assert not re.search(r'File "[^"]*\.py"', failed.errors), failed.errors


def unresolved_locks_are_read_again(checkout: Checkout) -> None:
    """Check that a lock that uv can't resolve fails only its own targets, and is read again."""
    module = checkout.read("MODULE.bazel")
    wheel = next((checkout.directory / "wheels").glob("acme-*.whl"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    page = checkout.directory / "late.html"
    checkout.write("late.txt", f"acme==1.0 --hash=sha256:{digest}\n")
    checkout.write("MODULE.bazel", module + LATE.format(page=page.as_uri()))
    checkout.build("//:bento")
    checkout.bazel("query", "deps(@late//acme)").succeeded()
    build = ("build", "--nobuild", "@late//acme")
    message = 'bento.pypi(name = "late"): //:late.txt: uv can\'t resolve the locked packages.'
    checkout.bazel(*build).failed(message)
    page.write_text(f'<a href="wheels/{wheel.name}#sha256={digest}">{wheel.name}</a>', "utf-8")
    checkout.bazel(*build).failed("uv can resolve the lock now. Run the command again.")
    checkout.bazel(*build).succeeded()
    checkout.write("MODULE.bazel", module)


def hostile_source(directory: Path, mark: Path) -> tuple[str, str]:
    """Create a repository with a package whose build writes a marker file. Returns its address and a commit."""
    directory.mkdir(parents=True)
    project = '[project]\nname = "acme"\nversion = "1.0"\ndynamic = ["dependencies"]\n'
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (directory / "pyproject.toml").write_text(project + system, "utf-8")
    (directory / "backend.py").write_text(f"open({str(mark)!r}, 'w').write('the build ran')\n", "utf-8")
    git(directory, "init", "--quiet")
    git(directory, "add", ".")
    git(directory, "commit", "--quiet", "--message=first")
    return directory.as_uri(), git(directory, "rev-parse", "HEAD").strip()


def write_workspace(checkout: Checkout) -> str:
    """Write the workspace except the lock, and return the content of the lock."""
    wheels = checkout.directory / "wheels"
    wheels.mkdir(parents=True)
    shipped = {f"acme/{name}/{file}": "" for name in BUILD_FILES for file in (name, "data.txt")}
    files = {
        "acme": write_wheel(wheels, "acme", {"acme/__init__.py": "", **shipped}),
        "bentoml": write_wheel(wheels, "bentoml", {"bentoml.py": ""}),
        "elsewhere": {"elsewhere-1.0-py3-none-any.whl": "0" * 64},
        "machine": write_wheel(wheels, "machine", {"machine.py": ""}),
    }
    markers = {"elsewhere": "sys_platform == 'win32'", "machine": "platform_machine == 'x86_64'"}
    packages = [{"name": name, "version": "1.0", "files": found} for name, found in files.items()]
    texts = {"MODULE.bazel": MODULE, "BUILD.bazel": BUILD, "requirements.in": "acme\nbentoml\n", "service.py": SERVICE}
    for name, text in texts.items():
        checkout.write(f"{name}", with_python_here(text) if name == "MODULE.bazel" else text)
    roots = [{"name": name, "marker": markers.get(name, "")} for name in files]
    return json.dumps({"lock": 1, "requires_python": ">=3.10", "roots": roots, "packages": packages})


def write_wheel(directory: Path, name: str, files: dict[str, str]) -> dict[str, str]:
    """Write a wheel, and return its name and SHA-256 digest."""
    path = Maker(name).add(files).write(directory)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
