"""A lock is written from sources: what stays, what moves, and from which index packages come."""

import json
import os
from pathlib import Path

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages import lock_format as locks
from rules_bento.bentos.packages import lock_with_uv

from tests.packages.metadata_index import Index, archive, package, serve, uv_that_distrusts

UV = os.environ["RULES_BENTO_UV"]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A source tree, as `bazel run` names it, with a file of requirements."""
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "r.in").write_text("web\n", "utf-8")
    return tmp_path


def started(workspace, address: str, *words: str, uv: object = UV, **indexes: object) -> int:
    """Run the target; its status."""
    arguments = ["update_requirements", "--target", "//:update", "--lock", "lock.json", "--uv", str(uv)]
    arguments += ["--requires-python", ">=3.10", "--source", str(workspace / "r.in"), "r.in", "--group", "*"]
    return run([*arguments, "--extra", "*", "--indexes", json.dumps({"default": address, **indexes}), *words])


def update(
    workspace, address: str, *options: str, status: int = 0, platforms: tuple[str, ...] = (), **more: object
) -> dict[str, list[str]]:
    """Run the target; the versions that the lock has then, by package."""
    words = [word for platform in platforms for word in ("--platform", platform)]
    assert started(workspace, address, *words, "--", *options, **more) == status
    if not (workspace / "lock.json").exists():
        return {}
    found: dict[str, list[str]] = {}
    for entry in locks.load(workspace / "lock.json")["packages"]:
        found.setdefault(entry["name"], []).append(entry["version"])
    return found


BACK_END = """\
import os, socket
from contextlib import suppress
with suppress(OSError), open({canary!r}, "w"):
    pass
with suppress(OSError):
    socket.create_connection({server!r})
    raise SystemExit("reached")
def prepare_metadata_for_build_wheel(directory, settings=None):
    os.mkdir(f"{{directory}}/web-1.0.dist-info")
    with open(f"{{directory}}/web-1.0.dist-info/METADATA", "w") as file:
        file.write("Metadata-Version: 2.1\\nName: web\\nVersion: 1.0\\nRequires-Dist: core\\n")
    return "web-1.0.dist-info"
"""


def test_the_back_end_of_a_source_distribution_is_isolated(workspace, capfd):
    index = Index([package("web", "1.0", wheels=(), sdist=True), package("core", "1.0")])
    del index.files["web-1.0.tar.gz.metadata"]
    with serve(index) as address:
        host, _, port = address.split("/")[2].partition(":")
        back_end = BACK_END.format(canary=str(Path.cwd() / "canary"), server=(host, int(port)))
        system = '[build-system]\nrequires = []\nbuild-backend = "back"\nbackend-path = ["."]\n'
        index.files["web-1.0.tar.gz"] = archive("web-1.0", {"back.py": back_end, "pyproject.toml": system})
        assert update(workspace, address) == {"web": ["1.0"], "core": ["1.0"]}, capfd.readouterr().err
    assert not Path("canary").exists()


def test_pins_stay_until_an_upgrade_is_requested(workspace):
    index = Index([package("web", "1.0", "core"), package("core", "1.0"), package("more", "1.0")])
    with serve(index) as address:
        assert update(workspace, address) == {"web": ["1.0"], "core": ["1.0"]}
        before = (workspace / "lock.json").read_bytes()
        for entry in (package("web", "2.0", "core"), package("core", "2.0")):
            index.add(entry)
        update(workspace, address)
        assert (workspace / "lock.json").read_bytes() == before
        (workspace / "r.in").write_text("web\nmore\n", "utf-8")
        upgraded = update(workspace, address, "--upgrade-package", "core")
        assert upgraded == {"web": ["1.0"], "core": ["2.0"], "more": ["1.0"]}
        assert update(workspace, address, "--upgrade")["web"] == ["2.0"]


def test_pip_selects_versions_for_a_policy(workspace, monkeypatch):
    index = Index([package("web", "1.0", "core"), package("core", "1.0"), package("more", "1.0")])
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    policy = ("--resolver", "pip-tools")
    with serve(index) as address:
        assert started(workspace, address, *policy) == 0
        before = (workspace / "lock.json").read_bytes()
        assert update(workspace, address) == {"web": ["1.0"], "core": ["1.0"]}
        assert (workspace / "lock.json").read_bytes() == before, "uv writes the same lock for the same versions"
        index.add(package("core", "2.0"))
        assert started(workspace, address, *policy) == 0
        assert (workspace / "lock.json").read_bytes() == before
        assert started(workspace, address, *policy, "--", "--upgrade-package", "core") == 0
        assert update(workspace, address) == {"web": ["1.0"], "core": ["2.0"]}


def test_pip_explains_a_conflict_and_the_lock_stays(workspace, capfd, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    index = Index([package("web", "1.0", "core<1"), package("core", "1.0")])
    (workspace / "lock.json").write_text("", "utf-8")
    with serve(index) as address:
        assert started(workspace, address, "--resolver", "pip-tools") == 1
    assert (workspace / "lock.json").read_text() == ""
    shown = capfd.readouterr().err
    assert "core<1" in shown
    assert "Traceback" not in shown
    assert shown.endswith(
        "//:update: pip found no solution (see above), so the lock is unchanged. Change the requirements.\n"
    )


def test_an_authority_that_only_the_system_trusts_is_trusted(workspace, capfd):
    with serve(Index([package("web", "1.0")])) as address:
        assert update(workspace, address, uv=uv_that_distrusts(workspace, UV)) == {"web": ["1.0"]}
    assert "Failed to fetch" not in (errors := capfd.readouterr().err)
    assert "UnknownIssuer" not in errors, "the second attempt succeeded"


def test_a_pin_gives_way_where_it_no_longer_fits(workspace):
    index = Index([package("web", "1.0", "core"), package("core", "1.0")])
    with serve(index) as address:
        update(workspace, address)
        index.add(package("web", "2.0", "core>=2"))
        index.add(package("core", "2.0"))
        (workspace / "r.in").write_text("web>=2\n", "utf-8")
        assert update(workspace, address) == {"web": ["2.0"], "core": ["2.0"]}


def test_without_a_solution_the_lock_stays_and_uv_explains(workspace, capfd):
    index = Index([package("web", "1.0", "core<1"), package("core", "1.0")])
    (workspace / "lock.json").write_text("", "utf-8")
    with serve(index) as address:
        assert run_fails(workspace, address) == ""
    shown = capfd.readouterr().err
    assert "core<1" in shown
    assert "//:update: uv found no solution (see above), so the lock is unchanged. Change the requirements." in shown


def test_an_unavailable_index_is_not_a_missing_solution(workspace, capfd, monkeypatch):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    (workspace / "lock.json").write_text("", "utf-8")
    with serve(Index([])) as address:
        pass
    assert run_fails(workspace, address) == ""
    shown = capfd.readouterr().err
    assert "Failed to fetch" in shown
    assert shown.endswith("//:update: uv failed (see above), so the lock is unchanged.\n")


def test_a_package_for_one_platform_is_locked_for_that_platform_by_what_is_said(workspace, capfd):
    linux = ("cp311-cp311-manylinux_2_17_x86_64",)
    index = Index([package("web", "1.0", "fast"), package("fast", "1.0", wheels=linux)])
    (workspace / "lock.json").write_text("", "utf-8")
    with serve(index) as address:
        assert run_fails(workspace, address) == ""
        shown = capfd.readouterr().err
        assert 'set the platforms: `platforms = ["linux_amd64"]`, in bento_requirements and in bento.pypi.' in shown
        assert update(workspace, address, platforms=("linux_amd64",)) == {"web": ["1.0"], "fast": ["1.0"]}


def run_fails(workspace, address: str) -> str:
    assert started(workspace, address) == 1
    return (workspace / "lock.json").read_text("utf-8")


def test_an_explicit_index_serves_its_packages_and_no_others(workspace, monkeypatch):
    public = Index([package("web", "1.0", "mine"), package("mine", "9.9"), package("mine-too", "9.9")])
    private = Index([package("mine", "1.0", "mine-too"), package("mine-too", "1.0"), package("web", "5.0")])
    private.credentials = "alice:s3cret"
    monkeypatch.setenv("UV_INDEX_CORP_USERNAME", "alice")
    monkeypatch.setenv("UV_INDEX_CORP_PASSWORD", "s3cret")
    with serve(public) as address, serve(private) as own:
        explicit = {"mine": "corp", "mine-too": "corp"}
        found = update(workspace, address, extra=[f"corp={own}"], explicit=explicit)
    assert found == {"web": ["1.0"], "mine": ["1.0"], "mine-too": ["1.0"]}
    assert not any("mine" in path for path in public.requests)
    assert not any("web" in path for path in private.requests)
    text = (workspace / "lock.json").read_text("utf-8")
    assert not any(word in text for word in ("s3cret", "alice", "127.0.0.1"))


def test_a_refusal_of_an_index_names_no_credentials(workspace, monkeypatch, capfd):
    private = Index([package("mine", "1.0")])
    private.credentials = "alice:s3cret"
    monkeypatch.setenv("UV_INDEX_CORP_USERNAME", "alice")
    monkeypatch.setenv("UV_INDEX_CORP_PASSWORD", "wr0ng")
    (workspace / "r.in").write_text("mine\n", "utf-8")
    with serve(private) as own:
        update(workspace, own, status=1, extra=[f"corp={own}"])
    shown = capfd.readouterr().err
    assert "401 Unauthorized" in shown
    assert "wr0ng" not in shown


def test_a_bentofile_is_imported_once(workspace):
    (workspace / "r.in").write_text("# ours\nweb", "utf-8")
    (workspace / "bentofile.yaml").write_text("python: {packages: [web, core]}\n", "utf-8")
    with serve(Index([package("web", "1.0"), package("core", "1.0")])) as address:
        for _ in range(2):
            found = update(workspace, address, "--from-bentofile=bentofile.yaml")
    assert found == {"web": ["1.0"], "core": ["1.0"]}
    assert (workspace / "r.in").read_text("utf-8") == "# ours\nweb\ncore\n"


def test_a_file_that_is_imported_into_is_unchanged_or_complete(workspace, capsys, full_disk):
    (workspace / "r.in").write_text("# ours\nweb", "utf-8")
    (workspace / "bentofile.yaml").write_text(f"python: {{packages: [{', '.join('abcdefgh')}]}}\n", "utf-8")
    with full_disk(16):
        update(workspace, "http://127.0.0.1:9/simple", "--from-bentofile=bentofile.yaml", status=1)
    assert "r.in: cannot write the file: File too large" in capsys.readouterr().err
    assert (workspace / "r.in").read_text("utf-8") == "# ours\nweb"
    assert {path.name for path in workspace.iterdir()} == {"r.in", "bentofile.yaml"}


def test_unknown_arguments_are_reported(workspace, capsys):
    update(workspace, "http://127.0.0.1:9/simple", "--upgrade-packages", status=1)
    assert (
        "unknown argument '--upgrade-packages'. Valid arguments: --from-bentofile, --upgrade, --upgrade-package."
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("line", ["six==", "six ; platform = 'x'", "six\0"])
def test_what_is_no_requirement_never_reaches_uv(workspace, capfd, line):
    (workspace / "r.in").write_text(f"web\n{line}\n", "utf-8")
    update(workspace, "http://127.0.0.1:9/simple", status=1)
    shown = capfd.readouterr().err
    assert shown.startswith("//:update: r.in:2: "), shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("unhashed", [0, 1, slice(0, 2)])
def test_a_file_without_a_hash_is_named(workspace, capfd, unhashed):
    """Nothing can verify the file later, and without the file, the lock isn't for all platforms."""
    tags = ("cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-macosx_11_0_arm64")
    index = Index([package("web", "1.0", wheels=tags)])
    names = index.pages["web"][unhashed]
    index.unhashed = {names} if isinstance(names, str) else set(names)
    (workspace / "lock.json").write_text("", "utf-8")
    with serve(index) as address:
        assert started(workspace, address) == 1
    shown = capfd.readouterr().err
    assert any(f"web 1.0: the index {address} has no SHA-256 of {name}. Use" in shown for name in index.unhashed)
    assert (workspace / "lock.json").read_text("utf-8") == ""


def test_a_file_of_a_directory_is_hashed(workspace):
    """uv writes no hash of it."""
    index = Index([package("web", "1.0", sdist=True)])
    (workspace / "links").mkdir()
    for name in index.pages["web"]:
        (workspace / "links" / name).write_bytes(index.files[name])
    settings = {"find_links": [str(workspace / "links")], "no_index": True}
    assert started(workspace, "", **settings) == 0
    [entry] = locks.load(workspace / "lock.json")["packages"]
    assert entry["files"] == {name: index.sha256(name) for name in index.pages["web"]}


@pytest.mark.parametrize("field", ["requirements", "constraints", "overrides"])
@pytest.mark.parametrize(
    "text", ["x @ https://h/${TOKEN}/x.whl", "x @ git+https://${TOKEN}@h/x", 'x @ file:///${HOME} ; a == "b"']
)
def test_no_variable_reaches_a_server(field, text):
    """uv replaces variables in URLs of a pyproject.toml, also if the requirement is from a project of someone else."""
    fields = {"requirements": [], "requires_python": ">=3.10", field: [text]}
    with pytest.raises(BentoError, match=r"^x: a requirement contains '\$\{', so uv would send the value"):
        lock_with_uv.Project(**fields).pyproject()
