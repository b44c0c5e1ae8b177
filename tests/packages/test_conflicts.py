"""Locks with conflicts (`tool.uv.conflicts`): each choice has the packages that real uv exports for it."""

import os
import random
import re
import subprocess
import sys
import time
from contextlib import nullcontext

import pytest
from packaging.markers import Marker
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages import lock_format
from rules_bento.bentos.packages.requirement_syntax import LockedRequirements
from rules_bento.bentos.packages.uv_lock_conflicts import Choice, PackageSelection

from tests.packages.conflicting_projects import choices, draw, offered
from tests.packages.metadata_index import Index, package, serve

UV = os.environ["RULES_BENTO_UV"]
SEED, COUNT = (int(number) for number in os.environ.get("DRAWN_LOCKS", "0:15").split(":"))
ENVIRONMENTS = [
    {"python_version": python, "python_full_version": f"{python}.1", "platform_machine": cpu, "sys_platform": system}
    for system, cpu in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64"))
    for python in ("3.11", "3.12")
]


def uv(*arguments, directory):
    return subprocess.run([UV, *arguments], cwd=directory, check=False, capture_output=True, text=True)


def locked(directory, address, pyprojects):
    """Lock a project; returns what uv says."""
    for at, (name, text) in enumerate(pyprojects.items()):
        place = directory / name if at else directory
        place.mkdir(parents=True, exist_ok=True)
        if not at and "[[tool.uv.index" not in text:
            text += f'[[tool.uv.index]]\nurl = "{address}"\ndefault = true\n'
        (place / "pyproject.toml").write_text(text, "utf-8")
    return uv("lock", "--python", sys.executable, directory=directory)


def exported(directory, members, extras, groups):
    """The pins of `uv export` for each environment; None where uv rejects the choice."""
    choice = {"package": members, "extra": extras, "group": groups}
    flags = [f"--{kind}={name}" for kind, names in choice.items() for name in names]
    frozen = ["--frozen", "--no-hashes", "--no-header", "--no-annotate", "--no-emit-workspace"]
    done = uv("export", *frozen, *flags, "--python", sys.executable, directory=directory)
    if done.returncode:
        assert re.search(r"are\s+incompatible\s+with\s+the", done.stderr), done.stderr
        return None
    lines = [line.partition(" ; ") for line in done.stdout.splitlines()]
    return [
        sorted(pin for pin, _, marker in lines if not marker or Marker(marker).evaluate(environment))
        for environment in ENVIRONMENTS
    ]


@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT, 3))
def test_exported_requirements_are_those_of_uv(seed, tmp_path):
    """With hashes and markers, for members, extras, and groups of one member."""
    drawn = draw(random.Random(seed))
    with serve(Index(offered())) as address:
        if locked(tmp_path, address, drawn).returncode:
            return
    document = lock_format.read_uv_lock((tmp_path / "uv.lock").read_text("utf-8"), "uv.lock")
    some = [each for each in choices(drawn) if len(each[0]) == 1]
    for (member,), extras, groups in random.Random(seed).sample(some, min(6, len(some))):
        words = [f"--package={member}", "--no-default-groups", *(f"--extra={name}" for name in extras)]
        words += [f"--group={name}" for name in groups]
        words += ["--frozen", "--no-header", "--no-annotate", "--no-emit-workspace", "--python", sys.executable]
        theirs = uv("export", "--quiet", *words, directory=tmp_path)
        try:
            selection = PackageSelection(extras, groups).choice(document, member, [])
            lines = lock_format.export(document, selection, "uv.lock")
        except BentoError as error:
            assert theirs.returncode or "as a local path" in str(error), words
        else:
            ours = LockedRequirements("", tuple((line.text, line.hashes) for line in lines))
            assert ours.pinned_with_hashes == theirs.stdout, words


@pytest.mark.parametrize("version", ["1 --index-url=x", "1\n-i x", "1;", "1\x1b[2J", "", "@ file:///x"])
def test_an_exported_version_is_a_version(version):
    member = {"name": "p", "source": {"virtual": "."}, "dependencies": [{"name": "q"}]}
    files = [{"hash": "md5:0"}, {"hash": "sha256:" + "0" * 64}]
    package = {"name": "q", "version": "1", "source": {"registry": "x"}, "wheels": files}
    choice = Choice(["p"], [], [])
    [line] = lock_format.export({"package": [member, package]}, choice, "uv.lock")
    assert (line.text, line.hashes) == ("q==1", ("0" * 64,))
    with pytest.raises(BentoError, match=r"^uv\.lock: q: "):
        lock_format.export({"package": [member, package | {"version": version}]}, choice, "uv.lock")


def closures(document):
    """The pins of a lock in normal form for each environment, as hubs find them."""
    return [sorted(closure(document, environment)) for environment in ENVIRONMENTS]


def closure(document, environment):
    found, queue = {}, list(document["roots"])
    while queue:
        edge = queue.pop()
        if "marker" in edge and not Marker(edge["marker"]).evaluate(environment):
            continue
        keys = ("name", "version", "index")
        fits = lambda entry: all(edge.get(key, entry.get(key)) == entry.get(key) for key in keys)  # noqa: E731
        [target] = filter(fits, document["packages"])
        key = f"{target['name']}=={target['version']}"
        for extra in ("", *edge.get("extras", [])):
            if extra not in found.setdefault(key, set()):
                found[key].add(extra)
                queue += target["extras"][extra] if extra else target.get("dependencies", [])
    return found


def ours(directory, members, extras, groups):
    text = (directory / "uv.lock").read_text("utf-8")
    try:
        return lock_format.from_uv_lock(text, "uv.lock", Choice(members, extras, groups))
    except BentoError as error:
        assert re.search(r" conflict \(tool\.uv\.conflicts\), but bento\.pypi selects both\. Select", str(error)), error
        return None


def test_drawn_locks_have_the_closures_of_uv(tmp_path):
    counts = {"locks": 0, "choices": 0, "rejected": 0}
    with serve(Index(offered())) as address:
        seed = SEED
        while counts["locks"] < COUNT:
            pyprojects, directory = draw(random.Random(seed)), tmp_path / str(seed)
            seed += 1
            if locked(directory, address, pyprojects).returncode:
                continue  # other requirements of the project rule each other out
            counts["locks"] += 1
            drawn = list(choices(pyprojects))
            for choice in random.Random(seed).sample(drawn, min(len(drawn), 6)):
                expected, found = exported(directory, *choice), ours(directory, *choice)
                what = f"seed {seed - 1}: {choice}\n{pyprojects}\n{(directory / 'uv.lock').read_text()}"
                counts["choices"] += 1
                counts["rejected"] += found is None
                if found is None:
                    assert expected is None or has_two(expected), what
                else:
                    assert expected == closures(found), what
                    assert "extra-" not in str(found), what
    print(counts, "seeds", SEED, "to", seed)  # noqa: T201 (figures of a longer run: DRAWN_LOCKS=<seed>:<count>)
    assert counts["choices"] > 3 * COUNT
    assert counts["choices"] // 20 < counts["rejected"] < counts["choices"] // 2


def has_two(pins):
    """Whether an environment has two versions of a package: `uv sync` rejects that, `uv export` does not."""
    return any(len({pin.partition("==")[0] for pin in some}) < len(some) for some in pins)


PROJECT = """\
[project]
name = "proj"
version = "0"
requires-python = ">=3.10"
dependencies = ["app"]
[project.optional-dependencies]
{extras}
[tool.uv]
package = false
{settings}
"""


def project(directory, address, extras, settings):
    done = locked(directory, address, {"proj": PROJECT.format(extras=extras, settings=settings)})
    assert done.returncode == 0, done.stderr
    return directory


def test_a_version_of_several_indexes_is_that_of_the_choice(tmp_path):
    """CPU and CUDA builds of one package: the same version, or one with a local part, from another index."""
    linux, mac, tagged = "cp311-cp311-manylinux_2_28_x86_64", "cp311-none-macosx_11_0_arm64", "cp311-cp311-linux_x86_64"
    public = [
        package("app", "1", "torch"),
        package("nvidia", "1"),
        package("torch", "2.6.0", "nvidia ; sys_platform == 'linux'", wheels=(linux, mac)),
    ]
    cpu = [package("torch", "2.6.0", wheels=(mac,)), package("torch", "2.6.0+cpu", wheels=(tagged,))]
    cuda = [package("torch", "2.6.0+cu124", "nvidia", wheels=(tagged,))]
    with serve(Index(public)) as address, serve(Index(cpu)) as of_cpu, serve(Index(cuda)) as of_cuda:
        settings = f"""\
conflicts = [[{{ extra = "cpu" }}, {{ extra = "cuda" }}, {{ extra = "public" }}]]
environments = ["sys_platform == 'linux'", "sys_platform == 'darwin' and platform_machine == 'arm64'"]
[tool.uv.sources]
torch = [
  {{ index = "cpu", extra = "cpu" }},
  {{ index = "cuda", extra = "cuda", marker = "sys_platform == 'linux'" }},
]
[[tool.uv.index]]
name = "cpu"
url = "{of_cpu}"
explicit = true
[[tool.uv.index]]
name = "cuda"
url = "{of_cuda}"
explicit = true
[[tool.uv.index]]
url = "{address}"
default = true
"""
        directory = project(tmp_path / "p", address, 'cpu = ["torch"]\ncuda = ["torch"]\npublic = ["torch"]', settings)
        torches = {}
        for extras in ([], ["cpu"], ["cuda"], ["public"]):
            found = ours(directory, ["proj"], extras, [])
            assert closures(found)[:6] == exported(directory, ["proj"], extras, [])[:6]  # without Intel's Macs
            torches["".join(extras)] = {
                file for entry in found["packages"] if entry["name"] == "torch" for file in entry["files"].items()
            }
    assert {name for name, _ in torches["cpu"]} == {f"torch-2.6.0-{mac}.whl", f"torch-2.6.0+cpu-{tagged}.whl"}
    assert torches["public"] == torches[""]
    assert not torches["cpu"] & torches["public"], "the wheel of one index in the place of the other's"


def test_a_version_from_two_indexes_is_distinguished_by_platform(tmp_path):
    linux, mac = "cp311-cp311-manylinux_2_28_x86_64", "cp311-none-macosx_11_0_arm64"
    torch = package("torch", "2.6.0", "nvidia", wheels=(linux, mac))
    public = [package("app", "1", "torch"), torch, package("nvidia", "1")]
    with serve(Index(public)) as address, serve(Index([package("torch", "2.6.0", wheels=(linux, mac))])) as of_cpu:
        settings = f"""\
[tool.uv.sources]
torch = [{{ index = "cpu", marker = "sys_platform != 'linux'" }}]
[[tool.uv.index]]
name = "cpu"
url = "{of_cpu}"
explicit = true
[[tool.uv.index]]
url = "{address}"
default = true
"""
        directory = project(tmp_path / "p", address, 'all = ["torch"]', settings)
        found = ours(directory, None, ["all"], None)
        assert closures(found) == exported(directory, ["proj"], ["all"], [])
    assert sorted(entry["index"] for entry in found["packages"] if entry["name"] == "torch") == ["1", "2"]


CONFLICTING = """\
version = 1
requires-python = ">=3.10"
conflicts = [[{ package = "p", extra = "cpu" }, { package = "p", extra = "gpu" }], [{ package = "p", extra = "gpu" }, { package = "p", group = "dev" }]]
[[package]]
name = "p"
source = { virtual = "." }
dependencies = [{ name = "web" }]
[package.optional-dependencies]
cpu = [{ name = "core", version = "1" }]
gpu = [{ name = "core", version = "2" }]
docs = [{ name = "web" }]
[package.dev-dependencies]
dev = [{ name = "web" }]
[[package]]
name = "web"
version = "1"
source = { registry = "https://host/simple" }
dependencies = [
    { name = "core", version = "1", marker = "extra == 'extra-1-p-cpu' or extra != 'extra-1-p-gpu'" },
    { name = "core", version = "2", marker = "(sys_platform == 'linux' and extra == 'extra-1-p-gpu') or (extra == 'extra-1-p-cpu' and extra == 'extra-1-p-gpu')" },
]
[[package]]
name = "core"
version = "1"
source = { registry = "https://host/simple" }
[[package]]
name = "core"
version = "2"
source = { registry = "https://host/simple" }
"""

CORE, SOURCE = '{ name = "core", version = "1"', 'source = { registry = "https://%s/simple" }'
OTHER_CORE = """\
[[package]]
name = "core"
version = "1"
source = { registry = "https://other/simple" }
dependencies = [{ name = "p", extra = ["gpu"] }]
"""


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(), r"the extra 'cpu' of p and the extra 'gpu' of p conflict .*extras = \[\"cpu\", \"docs\"\] in bento"),
        (Choice(None, ["gpu"]), r"the extra 'gpu' of p and the group 'dev' of p conflict .* with groups = \[\] in b"),
        (Choice(None, ["cpu", "gpu"], []), r".*both\. Select only one, for example with extras = \[\"cpu\"\] in .* second"),
        (Choice(None, ["gpus"]), r"extras: the lock doesn't contain 'gpus'\. Valid values: cpu, docs, gpu\."),
        (Choice(None, [], ["tests"]), r"groups: the lock doesn't contain 'tests'\. Valid values: dev\."),
        (Choice(["q"]), r"members: the lock doesn't contain 'q'\. Valid values: p\."),
    ],
)  # fmt: skip
def test_a_choice_that_uv_rejects_is_rejected_with_another(choice, message):
    with pytest.raises(BentoError, match=rf"^uv\.lock: {message}"):
        lock_format.from_uv_lock(CONFLICTING, "uv.lock", choice)


def test_an_edge_goes_to_the_package_of_its_index():
    """The other index's `core` requires the extra that conflicts, so a wrong edge would be a conflict."""
    text = CONFLICTING.replace(CORE, f"{CORE}, {SOURCE % 'host'}") + OTHER_CORE
    lock_format.from_uv_lock(text, "uv.lock", Choice(None, ["cpu"], []))
    other = text.replace(SOURCE % "host", SOURCE % "other")
    with pytest.raises(BentoError, match="the extra 'cpu' of p and the extra 'gpu' of p conflict"):
        lock_format.from_uv_lock(other, "uv.lock", Choice(None, ["cpu"], []))


def test_without_a_choice_a_lock_has_all_that_conflicts():
    found = lock_format.from_uv_lock(CONFLICTING, "uv.lock")
    assert [entry["name"] + entry["version"] for entry in found["packages"]] == ["web1", "core1", "core2"]


@pytest.mark.parametrize(
    "marker",
    ["extra", "extra == 'x' or", "(extra == 'x'", "extra == 'x')", "extra < 'x'", "'x' in extra", "extra == 'x' extra == 'y'",
     "() or extra == 'x'", "(" * 99 + "extra == 'x'" + ")" * 99, "extra == 'x' and $",
     "extra == 'extra-1-p-cpu'" + " or extra == 'extra-1-p-cpu'" * 1000],
)  # fmt: skip
def test_a_marker_that_is_none_is_rejected(marker):
    text = CONFLICTING.replace("extra == 'extra-1-p-cpu' or extra != 'extra-1-p-gpu'", marker)
    with pytest.raises(BentoError, match=r"(?s)^uv\.lock: unsupported marker .*\. Run `uv lock` again"):
        lock_format.from_uv_lock(text, "uv.lock", Choice(None, ["gpu"], []))


def any_of(name, count):
    return "(" + " or ".join(f"{name} != '{number}'" for number in range(count)) + ")"


@pytest.mark.parametrize(
    "marker",
    [
        f"{any_of('os_name', 250)} and {any_of('platform_release', 250)}",
        " and ".join(f"(os_name != 'a{number}' or platform_release != 'b{number}')" for number in range(200)),
    ],
    ids=["two", "many"],
)
def test_a_marker_with_too_many_combinations_is_rejected_soon(marker):
    """Each edge of a lock with 1000 edges has the marker; the bound is of all edges together, and of CPU time."""
    marker = f"extra == 'extra-1-p-gpu' and ({marker})"
    edge = '{ name = "core", version = "1", marker = "MARKER" }'
    text = CONFLICTING.replace(
        "dependencies = [", "dependencies = [\n" + f"{edge},\n".replace("MARKER", marker) * 1000, 1
    )
    assert text.count(marker) == 1000
    begin = time.process_time()
    with pytest.raises(BentoError, match=r"^uv\.lock: the markers are too complex\. Simplify"):
        lock_format.from_uv_lock(text, "uv.lock", Choice(None, ["gpu"], []))
    assert time.process_time() - begin < 60


@pytest.mark.parametrize(
    ("marker", "is_conflict"),
    [
        ("sys_platform == 'win32'", False),
        ("sys_platform != 'linux'", False),
        ("sys_platform == 'linux'", True),
        ("os_name == 'posix'", True),
    ],
)
def test_extras_conflict_only_if_both_can_be_active(marker, is_conflict):
    text = CONFLICTING.replace("extra-1-p", "extra-1-q").replace('package = "p"', 'package = "q"')
    edges = [
        f'{{ name = "q", extra = ["{extra}"], marker = "{of}" }}'
        for extra, of in (("gpu", "sys_platform == 'linux'"), ("cpu", marker))
    ]
    text = text.replace('gpu = [{ name = "core", version = "2" }]', f"gpu = [{', '.join(edges)}]")
    text += '[[package]]\nname = "q"\nversion = "1"\nsource = { registry = "https://host/simple" }\n'
    text += "[package.optional-dependencies]\ngpu = []\ncpu = []\n"
    conflict = pytest.raises(BentoError, match="the extra '[cg]pu' of q and the extra '[cg]pu' of q conflict")
    with conflict if is_conflict else nullcontext():
        lock_format.from_uv_lock(text, "uv.lock", Choice(None, ["gpu"], []))


def test_an_extra_on_one_platform_is_active_there():
    """A package of the workspace, or any other, whose extras conflict, is required with one on Linux only."""
    marker = "extra == 'extra-1-p-cpu' or extra != 'extra-1-p-gpu'"
    text = CONFLICTING.replace("extra-1-p", "extra-1-q").replace('package = "p"', 'package = "q"').replace(
        'gpu = [{ name = "core", version = "2" }]', "gpu = [{ name = \"q\", extra = [\"gpu\"], marker = \"sys_platform == 'linux'\" }]"
    )  # fmt: skip
    text += '[[package]]\nname = "q"\nversion = "1"\nsource = { registry = "https://host/simple" }\n'
    text += "[package.optional-dependencies]\ngpu = []\n"
    web = lock_format.from_uv_lock(text, "uv.lock", Choice(None, ["gpu"], []))["packages"][0]
    assert marker.replace("-p-", "-q-") in text
    markers = {edge["version"]: edge["marker"] for edge in web["dependencies"]}
    assert markers == {"1": "sys_platform != 'linux'", "2": "sys_platform == 'linux'"}
