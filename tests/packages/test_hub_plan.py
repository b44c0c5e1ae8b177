"""The plan of a package hub: packages for each platform, their targets, and messages for what a hub lacks."""

import json

import pytest
from rules_bento.bentos.packages.hub_plan import HubPlan
from rules_bento.bentos.packages.platforms import includes_python, marker_environment, system_and_machine

SHA = "ab" * 32
PLATFORMS = ["linux_amd64", "darwin_arm64"]
HOSTILE = '3.10", tags = ["no-sandbox"], x = "\n{version}'


def entry(name, version="1", *dependencies, **fields):
    edges = [edge if isinstance(edge, dict) else {"name": edge} for edge in dependencies]
    files = {f"{name}-{version}-py3-none-any.whl": SHA}
    release = {"name": name, "version": version, "dependencies": edges, "files": files}
    return release | {"repository": f"pypi__{name}_{version}"} | fields


def plan(packages, roots, *, python="3.12", hub="pypi", requires=">=3.10", platforms=PLATFORMS):
    edges = [root if isinstance(root, dict) else {"name": root} for root in roots]
    lock = {"packages": packages, "requires_python": requires, "roots": edges}
    settings = {"glibc": "2.28", "hub": hub, "lock": lock, "macos": "13.0", "platforms": platforms}
    return HubPlan(settings, python).documents()


def targets(text):
    """Return the targets of a BUILD file by name."""
    found = {}

    def rule(kind):
        return lambda **values: found.update({values.get("name", kind): (kind, values)})

    kinds = ("deferred", "failing_target", "locked_package", "package", "requirement")
    names = {kind: rule(kind) for kind in kinds}
    exec(text, {"load": lambda *_: None, "select": lambda cases, no_match_error: (cases, no_match_error), **names})
    return found


def problem(documents, name):
    build = targets(documents[f"packages/{name}"]["build"])
    [said] = {values["problem"] for kind, values in build.values() if kind == "failing_target"}
    return said


@pytest.mark.parametrize(
    ("marker", "platform", "python", "expected"),
    [
        ("", "linux_amd64", "3.11", True),
        ("python_version < '3.11'", "linux_amd64", "3.11", False),
        ("python_version < '3.11'", "linux_amd64", "3.9", True),
        ("python_version >= '3.10'", "linux_amd64", "3.9", False),
        ("python_full_version >= '3.11.4'", "linux_amd64", "3.11", False),
        ("python_full_version >= '3.11.4'", "linux_amd64", "3.11.10", True),
        ("python_full_version == '3.11.*'", "linux_amd64", "3.11.10", True),
        ("python_full_version != '3.11.*'", "linux_amd64", "3.12", True),
        ("python_version ~= '3.10'", "linux_amd64", "3.14", True),
        ("python_full_version ~= '3.10.1'", "linux_amd64", "3.11.0", False),
        ("'3.10' <= python_version", "linux_amd64", "3.12", True),
        ("sys_platform == 'linux'", "linux_amd64", "3.12", True),
        ("sys_platform == 'win32'", "linux_amd64", "3.12", False),
        ("sys_platform != 'darwin'", "darwin_arm64", "3.12", False),
        ("platform_machine == 'arm64' and sys_platform == 'darwin'", "darwin_arm64", "3.12", True),
        ("platform_machine == 'aarch64'", "linux_arm64", "3.12", True),
        ('platform_system == "Linux" and platform_machine == "x86_64"', "linux_amd64", "3.12", True),
        ("os_name == 'nt' or python_version > '3.11' and sys_platform == 'linux'", "linux_amd64", "3.12", True),
        ("(os_name == 'nt' or python_version > '3.11') and sys_platform == 'darwin'", "linux_amd64", "3.12", False),
        ("(python_version < '3.8' or (python_version < '3.13' and (sys_platform == 'linux')))", "linux_amd64", "3.12", True),
        ("sys_platform in 'linux darwin'", "linux_amd64", "3.12", True),
        ("sys_platform not in 'linux darwin'", "darwin_amd64", "3.12", False),
        ("platform_python_implementation == 'CPython'", "linux_amd64", "3.12", True),
        ("implementation_name == 'pypy'", "linux_amd64", "3.12", False),
        ("platform_python_implementation != 'PyPy' and python_full_version < '3.15'", "linux_amd64", "3.14.6", True),
    ],
)  # fmt: skip
def test_markers_are_those_of_the_platform(marker, platform, python, expected):
    edge = {"name": "a", "marker": marker}
    documents = plan([entry("a")], [edge], python=python, requires="", platforms=[platform])
    assert documents["hub"]["active"] == (["a"] if expected else [])


@pytest.mark.parametrize(
    ("specifiers", "python", "expected"),
    [
        ("", "3.12.1", True),
        (">=3.10", "3.9.20", False),
        (">=3.10", "3.10.0", True),
        (">=3.9,<3.13", "3.13.0", False),
        (">=3.9, <3.13", "3.12.7", True),
        ("!=3.11.*,>=3.8", "3.11.2", False),
        ("!=3.11.3,>=3.8", "3.11.2", True),
        ("==3.12.*", "3.12.4", True),
        ("~=3.10", "3.14.0", True),
        ("~=3.10.1", "3.11.0", False),
        (">3.9", "3.10.0", True),
        # For `X.Y`, the range must include a patch release.
        (">=3.11.4", "3.11", True),
        ("<3.11.4", "3.11", True),
        ("<3.11", "3.11", False),
        (">=3.6.*", "3.11", True),
        ("==3.12.7", "3.12", True),
        ("==3.12.7", "3.11", False),
        (">3.12.2,<3.12.4", "3.12", True),
        (">3.12.2,<3.12.3", "3.12", False),
        ("==3.12.7", "3.12.6", False),
    ],
)
def test_ranges_include_python(specifiers, python, expected):
    assert includes_python(specifiers, python) is expected


def test_variables_are_those_of_python():
    assert marker_environment(*system_and_machine("linux_arm64"), "3.12")["python_full_version"] == "3.12.0"
    assert marker_environment(*system_and_machine("linux_arm64"), "3.12.4")["python_version"] == "3.12"


@pytest.mark.parametrize(
    ("hub", "lock", "python", "remedy"),
    [
        ("own", ">=3.12", "3.11", 'Set python_version = "3.12" in bento.pypi, or update the lock.'),
        ("own", "==3.9.*", "3.11", "Update the lock."),
        ("own__python_3_12", "==3.11.*", "3.12", "A requirements file is read for one Python: use a uv.lock whose requires-python includes 3.12, or a second bento.pypi tag."),
    ],
)  # fmt: skip
def test_a_python_that_the_lock_lacks_fails_the_targets(hub, lock, python, remedy):
    documents = plan([entry("a", extras={"x": []})], ["a"], hub=hub, requires=lock, python=python)
    assert problem(documents, "a") == f"@{hub} is for Python {python}, but the lock is for {lock}. {remedy}"
    assert documents["hub"] == {"active": ["a"], "packages": {"a": ["a", "whl", "x"]}}


def test_targets_have_the_closure_of_each_platform():
    linux = {"name": "b", "extras": ["whl"], "marker": "sys_platform == 'linux'"}
    packages = [entry("a", "1", linux), entry("b", extras={"whl": [{"name": "c"}]}), entry("c", "1", "b"), entry("d")]
    documents = plan(packages, ["a"])
    assert documents["hub"]["active"] == ["a", "b", "c"]
    assert documents["hub"]["packages"]["b"] == ["b", "whl", "extra_whl"]
    cases, no_match = targets(documents["packages/a"]["build"])["a"][1]["packages"]
    assert list(cases) == [f"@rules_bento//toolchains/platforms:is_{platform}" for platform in PLATFORMS]
    names = [[label.split("__")[1] for label in labels] for labels in cases.values()]
    assert names == [["a", "b", "c"], ["a"]]
    assert no_match.startswith("@pypi is for linux_amd64, darwin_arm64, but the build is for another platform.")
    assert problem(documents, "d").startswith("@pypi has d for Python 3.12 on none of linux_amd64, darwin_arm64")
    [locked] = documents["packages/b"]["locked"].items()
    assert locked == ("1", {key: value for key, value in packages[1].items() if key != "repository"})


@pytest.mark.parametrize(
    ("packages", "said"),
    [
        ([entry("a", "1", "b")], "@pypi: the lock requires b, but doesn't include the package. Update the lock"),
        ([entry("a", "1", {"name": "a", "version": "2"})], "@pypi: the lock requires a 2, but doesn't include"),
        ([entry("a"), entry("a", "2", {"name": "a", "version": "1"})], "@pypi: the lock contains a 2 and a 1 for the same platform. Update the lock"),
    ],
)  # fmt: skip
def test_a_lock_that_contradicts_itself_fails_all_targets(packages, said):
    root = {"name": "a", "version": packages[-1]["version"]}
    documents = plan([*packages, entry("other")], [root])
    assert problem(documents, "a").startswith(said)
    assert problem(documents, "other").startswith(said)


@pytest.mark.parametrize(
    ("files", "platform", "expected"),
    [
        (["a-1-py3-none-any.whl", "a-1.zip"], "linux_amd64", "a-1-py3-none-any.whl"),
        ([], "linux_amd64", "the lock has no file for a on linux_amd64 with CPython 3.12. Lock for all platforms"),
        (
            ["a-1-cp312-cp312-win32.whl"],
            "darwin_arm64",
            "a==1 has no wheel for darwin_arm64 with CPython 3.12 and macOS 13.0. Select another version of the package "
            "and update the lock. Files in the lock:\n  a-1-cp312-cp312-win32.whl",
        ),
        (
            ["a-1-py3-none-manylinux_2_34_x86_64.whl"],
            "linux_amd64",
            "a==1 has no wheel for linux_amd64 with CPython 3.12 and glibc 2.28, but a wheel for glibc 2.34. Select "
            'another version of the package and update the lock, or set glibc = "2.34" in bento.pypi if all base images '
            "have at least this version. Files in the lock:\n  a-1-py3-none-manylinux_2_34_x86_64.whl",
        ),
    ],
)
def test_each_platform_has_a_wheel_or_a_message(files, platform, expected):
    choice = plan([entry("a", files=dict.fromkeys(files, SHA))], ["a"])[f"wheels/pypi__a_1__{platform}"]
    found = choice.get("wheel") or choice["problem"]
    assert found == expected if found in files else found.startswith(expected)
    assert choice.get("source") == ("a-1.zip" if "a-1.zip" in files else None)


def test_a_wheel_without_hash_is_named():
    choice = plan([entry("a", rejected_files=["a-1-py3-none-any.whl"], files={"a-1.zip": SHA})], ["a"])
    said = choice["wheels/pypi__a_1__linux_amd64"]["problem"]
    assert said.startswith("a==1: the hash of a-1-py3-none-any.whl isn't in the lock. Update the lock")


def test_packages_without_a_wheel_are_built():
    newer = {"a-1-py3-none-manylinux_2_39_x86_64.whl": SHA, "a-1.tar.gz": SHA}
    documents = plan([entry("a", files=newer)], ["a"])
    cases, _ = targets(documents["packages/a"]["build"])["a"][1]["modules"]
    assert cases["@rules_bento//toolchains/platforms:is_linux_amd64"] == ["@pypi__a_1__linux_amd64_source//:modules"]
    assert documents["wheels/pypi__a_1__linux_amd64"]["newer"] == (
        'a==1 has a wheel for linux_amd64, but the wheel requires glibc 2.39. Set glibc = "2.39" in bento.pypi if all '
        "base images have at least this version."
    )
    assert "newer" not in documents["wheels/pypi__a_1__darwin_arm64"]


def test_strings_of_a_lock_are_quoted():
    """Even if the shapes of strings weren't checked."""
    documents = plan([entry("a", HOSTILE, extras={HOSTILE: []})], ["a"], hub=HOSTILE)
    found = targets(documents["packages/a"]["build"])
    assert {*found} == {"package", "_locked", "whl", "a", HOSTILE}
    assert found[HOSTILE][1]["extra"] == HOSTILE
    assert found["whl"][1]["no_match_error"].startswith(f"@{HOSTILE} is for linux_amd64")
    assert json.loads(json.dumps(documents)) == documents
