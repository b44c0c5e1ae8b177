"""Which settings of uv in a pyproject.toml reach the lock, and which are errors. The reference is `uv lock`."""

import json
import os
import re
import subprocess

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.bentos.packages import lock_format as locks
from rules_bento.bentos.packages import uv_settings
from rules_bento.bentos.packages.uv import login_of_index

from tests.packages.metadata_index import Index, package, serve

UV = os.environ["RULES_BENTO_UV"]
LINUX, MACOS = "cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-macosx_11_0_arm64"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A source tree, as `bazel run` names it."""
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")  # of an index that no test reaches
    return tmp_path


def index() -> Index:
    """Return an index in which each setting changes the newest solution."""
    result = Index(
        [
            *(package("web", version, "core") for version in ("1.0", "1.1", "3.0")),
            *(package("core", version) for version in ("1.0", "3.0")),
            *(package("pre", version) for version in ("1.0", "2.0rc1")),
            package("old", "1.0"),
            package("old", "3.0", requires_python=">=3.13"),
            package("source", "1.0"),
            package("source", "2.0", wheels=(), sdist=True),
            package("fast", "1.0"),
            package("fast", "2.0", wheels=(MACOS, LINUX)),
        ]
    )
    result.uploaded = {"1.1": "2022-01-01T00:00:00Z", "3.0": "2998-01-01T00:00:00Z"}
    return result


def project(dependencies: list[str], settings: str) -> str:
    return (
        f'[project]\nname = "own"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = {dependencies}\n'
        f"[tool.uv]\npackage = false\n{settings}\n"
    )


def update(workspace, *words: str, source: str = "pyproject.toml", **indexes: object) -> int:
    arguments = ["update_requirements", "--target", "//:update", "--lock", "lock.json", "--uv", UV]
    arguments += ["--requires-python", ">=3.11", "--source", str(workspace / source), source, "--group", "*"]
    return run([*arguments, "--extra", "*", "--indexes", json.dumps(indexes), *words])


def versions(lock) -> list[tuple[str, str]]:
    return sorted((entry["name"], entry["version"]) for entry in lock["packages"])


def locked_by_uv(workspace, text: str, *addresses: str) -> list[tuple[str, str]]:
    """Lock a project with uv, as its owner does. The last address is the default index."""
    directory = workspace / "owner"
    directory.mkdir(exist_ok=True)
    for at, address in enumerate(addresses):
        text += f'[[tool.uv.index]]\nurl = "{address}"\ndefault = {json.dumps(at + 1 == len(addresses))}\n'
    (directory / "pyproject.toml").write_text(text, "utf-8")
    (directory / "uv.lock").unlink(missing_ok=True)
    subprocess.run([UV, "lock", "--project", str(directory)], check=True, capture_output=True)
    return versions(locks.from_uv_lock((directory / "uv.lock").read_text("utf-8"), "uv.lock"))


def known_keys() -> set[str]:
    tables = [uv_settings.COPIED, uv_settings.READ, uv_settings.REQUIRED_IN_TARGET, uv_settings.UNSUPPORTED]
    keys = [key.removesuffix("?") for table in [*tables, uv_settings.IGNORED] for key in table]
    assert len(keys) == len(set(keys))
    return set(keys)


def keys_of_uv(tmp_path, table: str) -> set[str]:
    """Return the keys that uv's message about an unknown key lists."""
    (tmp_path / "pyproject.toml").write_text(f"[project]\nname = 'x'\nversion = '1'\n{table}\nno-such-key = 1\n")
    done = subprocess.run([UV, "lock", "--offline", "--project", str(tmp_path)], capture_output=True, text=True)
    [listing] = re.findall(r"unknown field `no-such-key`, expected one of (.*)", done.stderr)
    return set(re.findall(r"`([^`]+)`", listing))


def test_each_key_of_uv_is_copied_read_ignored_or_an_error(tmp_path):
    keys = keys_of_uv(tmp_path, "[tool.uv]")
    assert len(keys) > 70
    assert known_keys() == keys


@pytest.mark.parametrize(
    ("dependencies", "settings"),
    [
        (["web"], 'exclude-newer = "2023-01-01T00:00:00Z"'),
        (["web"], 'exclude-newer = "2023-01-01"'),
        (["web"], 'exclude-newer = "30 days"'),
        (["web"], 'exclude-newer-package = { web = "2021-01-01T00:00:00Z" }'),
        (["web"], 'exclude-newer = "P7D"\nexclude-newer-package = { web = false }'),
        (["pre"], 'prerelease = "allow"'),
        (["pre"], 'prerelease-package = { pre = "allow" }'),
        (["web"], 'resolution = "lowest"'),
        (["web"], 'resolution = "lowest-direct"'),
        (["old"], 'fork-strategy = "fewest"'),
        (["source"], "no-build = true"),
        (["source"], 'no-build-package = ["source"]'),
        (["fast"], "required-environments = [\"sys_platform == 'linux' and platform_machine == 'aarch64'\"]"),
        (["fast"], "required-environments = \"sys_platform == 'linux' and platform_machine == 'aarch64'\""),
        (["web"], 'constraint-dependencies = ["web<2", "core<2"]'),
        (["web<3"], 'override-dependencies = ["web==3.0", "core==1.0"]'),
    ],
)
def test_a_setting_has_the_effect_that_it_has_in_uv(workspace, dependencies, settings):
    with serve(index()) as address:
        expected = locked_by_uv(workspace, project(dependencies, settings), address)
        assert expected != locked_by_uv(workspace, project(dependencies, ""), address)
        (workspace / "pyproject.toml").write_text(project(dependencies, settings), "utf-8")
        assert update(workspace, default=address) == 0
    lock = locks.load(workspace / "lock.json")
    assert versions(lock) == expected


def test_an_index_strategy_has_the_effect_that_it_has_in_uv(workspace):
    text = project(["web"], 'index-strategy = "unsafe-best-match"')
    with serve(Index([package("web", "1.0")])) as first, serve(index()) as address:
        expected = locked_by_uv(workspace, text, first, address)
        (workspace / "pyproject.toml").write_text(text, "utf-8")
        assert update(workspace, default=address, extra=[first]) == 0
    assert versions(locks.load(workspace / "lock.json")) == expected == [("core", "3.0"), ("web", "3.0")]


@pytest.mark.parametrize(
    ("values", "version"), [([":all:"], "1.0"), (["x", "Source"], "1.0"), (["source", ":none:"], "1.0"), (["x"], "2.0")]
)
def test_only_binary_in_a_requirements_file_is_applied(workspace, values, version):
    (workspace / "r.in").write_text("".join(f"--only-binary {value}\n" for value in values) + "source\n", "utf-8")
    with serve(index()) as address:
        assert update(workspace, source="r.in", default=address) == 0
        compiled = subprocess.run(
            [UV, "pip", "compile", "--no-header", "--default-index", address, str(workspace / "r.in")],
            capture_output=True,
            check=True,
            text=True,
        )
    assert versions(locks.load(workspace / "lock.json")) == [("source", version)]
    assert f"source=={version}" in compiled.stdout


def test_versions_stay_until_a_setting_excludes_them(workspace):
    """As in a uv.lock: a mode decides all versions again, and a limit only the versions beyond the limit."""
    served = index()
    with serve(served) as address:
        for settings, expected in (
            ('resolution = "lowest"', "1.0"),
            ('resolution = "lowest"\nexclude-newer = "2023-01-01"', "1.0"),
            ('exclude-newer = "2023-01-01"', "1.1"),
            ('fork-strategy = "fewest"', "1.1"),
        ):
            (workspace / "pyproject.toml").write_text(project(["web<3"], settings), "utf-8")
            assert update(workspace, default=address) == 0
            assert dict(versions(locks.load(workspace / "lock.json")))["web"] == expected
        served.add(package("web", "2.0"))
        assert update(workspace, default=address) == 0
    assert dict(versions(locks.load(workspace / "lock.json")))["web"] == "1.1"


def test_a_changed_setting_makes_a_lock_stale(workspace, capfd):
    (workspace / "pyproject.toml").write_text(project(["web"], 'exclude-newer = "2023-01-01"'), "utf-8")
    with serve(index()) as address:
        assert update(workspace, default=address) == 0
    (workspace / "pyproject.toml").write_text(project(["web"], 'exclude-newer = "2024-01-01"'), "utf-8")
    source = str(workspace / "pyproject.toml")
    status = run(
        [
            *("check_requirements", "--target", "//:test", "--lock", str(workspace / "lock.json"), "lock.json"),
            *("--requires-python", ">=3.11", "--source", source, "pyproject.toml", "--group", "*", "--extra", "*"),
            *("--update", "//:update", "--indexes", json.dumps({"default": address})),
        ]
    )
    assert status == 1
    assert "lock.json is stale:\n  tool.uv.exclude-newer differs\nTo update" in capfd.readouterr().err


def message(workspace, capfd, *words: str, **indexes: object) -> str:
    """Run the target, which must fail and leave no lock. Returns the message."""
    assert update(workspace, *words, **indexes) == 1
    assert not (workspace / "lock.json").exists()
    return capfd.readouterr().err


@pytest.mark.parametrize("key", sorted(uv_settings.UNSUPPORTED))
def test_what_is_not_supported_is_an_error_with_its_name(workspace, capfd, key):
    value = {"workspace": "{ members = ['a'] }", "torch-backend": "'cpu'"}.get(key, "['x']")
    (workspace / "pyproject.toml").write_text(project([], f"{key} = {value}"), "utf-8")
    shown = message(workspace, capfd, default="http://127.0.0.1:9/simple")
    assert shown.startswith(f"//:update: pyproject.toml: bento_requirements doesn't support tool.uv.{key}. "), shown


@pytest.mark.parametrize(
    "settings",
    [
        'exclude-newer = "soon"',
        'prerelease = "Allow"',
        'resolution = "lowest"\nfork-strategy = "x"',
        'index-strategy = "any"',
        "exclude-newer-package = { web = true }",
        'required-environments = ["nonsense"]',
    ],
)
def test_settings_that_uv_would_ignore_are_an_error(workspace, capfd, settings):
    """uv warns about an invalid value, and continues without any setting of the project: without the indexes."""
    (workspace / "pyproject.toml").write_text(project(["web"], settings), "utf-8")
    with serve(index()) as address:
        shown = message(workspace, capfd, default=address)
    assert "Failed to parse `" in shown
    assert (
        "uv can't read the settings of the project (see above), so the lock is unchanged. Correct tool.uv in" in shown
    )


INDEX = '[[tool.uv.index]]\nname = "corp"\nurl = "https://h/simple/"\n'
CONDITIONS = ("marker = \"sys_platform == 'linux'\"", "extra = 'a'", "group = 'b'", "lfs = true")
# pyproject.toml, the indexes of the target, and part of the message.
ERRORS = {
    "key of a newer uv": (project([], "no-such-key = 1"), [], "doesn't support tool.uv.no-such-key. Run `uv lock`, and use uv.lock"),
    # Values that can't be copied as TOML.
    "date": (project(["web"], "exclude-newer = 2023-01-01"), [], "tool.uv: exclude-newer: expected a string, got a date. "),
    "string": (project(["web"], "no-build = 'yes'"), [], "tool.uv: no-build: expected a boolean, got a string. "),
    "number": (project(["web"], "exclude-newer-package = { web = ['a'] , x = 1}"), [], "tool.uv.exclude-newer-package: unsupported value 1. "),
    "line break": (project(["web"], 'exclude-newer = "x\\n[[tool.uv.index]]"'), [], "tool.uv.exclude-newer: unsupported value 'x\\n[[tool.uv.index]]'. "),
    "key": (project(["web"], 'prerelease-package = { "é" = "allow" }'), [], "tool.uv.prerelease-package: unsupported value 'é'. "),
    "list": (project(["web"], "conflicts = [1]"), [], "tool.uv: conflicts[0]: expected a list, got a number. "),
    "order of indexes": (
        project(["web"], 'extra-index-url = ["https://a", "https://b"]'),
        *(["https://b", "https://a"], 'tool.uv.extra-index-url: bento_requirements doesn\'t read this setting. Set indexes = ["https://b"]'),
    ),
    **{
        f"{key} of an index": (project([], f"{INDEX}{key} = {value}\n"), ["https://h/simple"], f"tool.uv.index: bento_requirements doesn't support {key} of an index. Run")
        for key, value in (("format", "'flat'"), ("ignore-error-codes", "[403]"))
    },
    **{
        f"{source} with {condition}": (
            project(["web"], f"{INDEX}[tool.uv.sources]\nweb = {{ {source}, {condition} }}\n"),
            *([], "tool.uv.sources.web: only `index`, and `git` with"),
        )
        for condition in CONDITIONS
        for source in ("index = 'corp'", "git = 'https://h/web'")
    },
    **{
        f"dynamic {field}": (f"[project]\nname = 'own'\nversion = '1'\ndynamic = ['{field}']\n", [], f"project.dynamic contains {field}, which only a build")
        for field in ("dependencies", "optional-dependencies")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_what_a_target_cannot_take_from_a_project_is_an_error(workspace, capfd, name):
    text, indexes, expected = ERRORS[name]
    (workspace / "pyproject.toml").write_text(text, "utf-8")
    shown = message(workspace, capfd, **({"extra": indexes} if indexes else {}))
    assert shown.startswith("//:update: pyproject.toml: ") and expected in shown, shown


def test_files_with_different_values_are_an_error(workspace, capfd):
    for name, value in (("pyproject.toml", "2023-01-01"), ("other.toml", "2024-01-01")):
        (workspace / name).write_text(project([], f'exclude-newer = "{value}"'), "utf-8")
    shown = message(workspace, capfd, "--source", str(workspace / "other.toml"), "other.toml")
    assert (
        'other.toml: tool.uv.exclude-newer is "2024-01-01", but another file in srcs has "2023-01-01". Set equal'
        in shown
    )


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"a/pyproject.toml": "[tool.uv]\npackage = false", "pyproject.toml": "[tool.uv]\nno-build = true"}, ""),
        ({"a/pyproject.toml": "[tool.uv]\npackage = false", "a/uv.toml": "no-build = true"}, "a/uv.toml"),
        ({"a/pyproject.toml": "[tool.uv]\npackage = false", "uv.toml": "no-build = true"}, ""),
        ({"a/pyproject.toml": "", "uv.toml": "no-build = true"}, "uv.toml"),
        ({"a/pyproject.toml": "", "pyproject.toml": "[tool.uv]\nno-build = true"}, "pyproject.toml"),
        ({"a/pyproject.toml": "", "pyproject.toml": "", "uv.toml": "no-build = true"}, "uv.toml"),
        ({"a/pyproject.toml": "[tool.uv]\npackage = false", "pyproject.toml": "[tool.uv]\nno-build = true\n[tool.uv.workspace]\nmembers = ['*']"}, "pyproject.toml"),
        ({"a/pyproject.toml": "[tool.uv]\npackage = false", "pyproject.toml": "[tool.uv.workspace]\nmembers = ['a']", "uv.toml": "no-build = true"}, "uv.toml"),
    ],
)  # fmt: skip
def test_settings_from_another_file_are_an_error(workspace, capfd, files, found):
    """`uv lock` skips the release without a wheel if it gets the settings from the other file."""
    for name, text in files.items():
        head = f"[project]\nname = 'p-{len(name)}'\nversion = '1'\nrequires-python = '>=3.11'\n"
        head += "dependencies = ['source']\n" if name.startswith("a/") else ""
        (workspace / name).parent.mkdir(exist_ok=True)
        (workspace / name).write_text((head if name.endswith("pyproject.toml") else "") + f"{text}\n", "utf-8")
    with serve(index()) as address:
        command = [UV, "lock", "--project", str(workspace / "a"), "--default-index", address]
        subprocess.run(command, check=True, capture_output=True)
        [lock] = workspace.rglob("uv.lock")
        assert ("source-1.0" in lock.read_text("utf-8")) == bool(found)
        status = update(workspace, source="a/pyproject.toml", default=address)
    assert status == bool(found)
    assert bool(found) == (
        f"//:update: {found}: uv gets the settings of a/pyproject.toml from" in capfd.readouterr().err
    )


EXPLICIT = INDEX + "explicit = true\n[tool.uv.sources]\nweb = { index = 'corp' }\n"


@pytest.mark.parametrize(
    ("settings", "attributes", "remedy"),
    [
        ('index-url = "https://h/simple"', {"default": "https://h/simple/"}, 'index_url = "https://h/simple"'),
        (f"{INDEX}default = true", {"default": "https://h/simple"}, 'index_url = "https://h/simple/"'),
        (INDEX, {"extra": ["corp=https://h/simple"]}, 'indexes = ["corp=https://h/simple/"]'),
        ('extra-index-url = ["https://a", "https://b"]', {"extra": ["https://a", "https://b"]}, 'indexes = ["https://a"]'),
        ('find-links = ["wheels"]', {"find_links": ["wheels"]}, 'find_links = ["wheels"]'),
        ("no-index = true", {"no_index": True}, "no_index = True"),
        (EXPLICIT, {"extra": ["corp=https://h/simple"], "explicit": {"Web": "corp"}}, 'explicit = {"web": "corp"} and indexes = ["corp=https://h/simple/"]'),
    ],
)  # fmt: skip
def test_an_index_must_be_an_attribute_of_the_target(workspace, capfd, settings, attributes, remedy):
    (workspace / "pyproject.toml").write_text(project(["web"], settings), "utf-8")
    others = {"extra": ["https://other"], "default": "https://other", "find_links": ["x"]}
    for given in ({}, others):
        shown = message(workspace, capfd, **given)
        assert f"bento_requirements doesn't read this setting. Set {remedy} in the target and in bento.pypi." in shown
    assert "doesn't read this setting" not in message(workspace, capfd, "--platform", "x", **attributes)


@pytest.mark.parametrize(
    ("environments", "platforms"),
    [
        (["sys_platform == 'linux' and python_version > '3.8'"], ["linux_amd64", "linux_arm64"]),
        ("platform_machine == 'x86_64'", ["darwin_amd64", "linux_amd64"]),
        (["platform_system == 'Darwin'"], ["darwin_amd64", "darwin_arm64"]),
    ],
)
def test_platforms_of_the_target_must_be_environments(workspace, capfd, environments, platforms):
    (workspace / "pyproject.toml").write_text(project(["web"], f"environments = {json.dumps(environments)}"), "utf-8")
    with serve(index()) as address:
        remedy = f"tool.uv.environments: bento_requirements doesn't read this setting. Set platforms = {json.dumps(platforms)} in"
        assert remedy in message(workspace, capfd, default=address)
        assert remedy in message(workspace, capfd, "--platform", platforms[0], "--platform", "linux_s390x")
        flags = [word for platform in platforms for word in ("--platform", platform)]
        assert update(workspace, *flags, default=address) == 0


def test_environments_of_all_platforms_need_no_attribute(workspace, capfd):
    environments = "environments = [\"sys_platform == 'linux'\", \"sys_platform == 'darwin'\"]"
    (workspace / "pyproject.toml").write_text(project(["web"], environments), "utf-8")
    with serve(index()) as address:
        assert update(workspace, default=address) == 0
    for environment, text in (("sys_platform == 'win32'", "no environment is Linux or macOS."), ("x", "Expected a ")):
        settings = f"environments = {json.dumps(environment)}"
        (workspace / "pyproject.toml").write_text(project(["web"], settings), "utf-8")
        assert update(workspace) == 1
        assert f"tool.uv.environments: {text}" in capfd.readouterr().err


def test_no_project_receives_credentials_of_an_index(workspace, capfd, monkeypatch):
    """uv would send the password of the index `corp` to the address that the project has for this name."""
    monkeypatch.setenv("UV_INDEX_CORP_USERNAME", "alice")
    monkeypatch.setenv("UV_INDEX_CORP_PASSWORD", "s3cret")
    canary = Index([package("web", "1.0")])
    canary.credentials = "alice:s3cret"
    with serve(canary) as address, serve(index()) as default:
        settings = f'[[tool.uv.index]]\nname = "corp"\nurl = "{address}"\n'
        (workspace / "pyproject.toml").write_text(project(["web"], settings), "utf-8")
        shown = message(workspace, capfd, default=default, extra=["corp=https://h/simple"])
    assert f'tool.uv.index: bento_requirements doesn\'t read this setting. Set indexes = ["corp={address}"]' in shown
    assert canary.requests == []


def test_extras_that_conflict_are_an_error_if_both_are_selected(workspace, capfd):
    text = project(["web"], "conflicts = [[{ extra = 'a' }, { group = 'b' }]]")
    text += "[project.optional-dependencies]\na = ['core==1.0']\n[dependency-groups]\nb = ['core==3.0']\n"
    (workspace / "pyproject.toml").write_text(text, "utf-8")
    with serve(index()) as address:
        shown = message(workspace, capfd, default=address)
        assert "tool.uv.conflicts: the extra 'a' and the group 'b' conflict. Select only one" in shown


@pytest.mark.parametrize("variable", ["UV_INDEX", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX_URL"])
def test_the_login_in_the_address_of_an_index_is_used_for_its_files(variable, monkeypatch):
    monkeypatch.setenv(variable, "https://alice:s3cret@corp.example.com/simple")
    assert login_of_index("https://corp.example.com/files/a.whl") == ("alice", "s3cret")
    assert login_of_index("https://other.example.com/files/a.whl") == ("", "")
