"""`bento doctor`: what is missing is named with what to do, and nothing is asked over a network unless it is told to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from rules_bento.cli import diagnosis, main
from rules_bento.cli.diagnosis import FINE, HINT, MISSING, OLDEST_BAZEL, Surroundings, diagnose

MODULE = """\
bazel_dep(name = "rules_bento", version = "0.1.0")
tools = use_extension("@rules_bento//toolchains:extensions.bzl", "bento_tools")
tools.python(interpreter = "python3")
bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
bento.pypi(name = "pypi", lock = "//svc:requirements.lock.json")
use_repo(bento, "pypi")
"""
BUILD = """\
load("@rules_bento//rules:defs.bzl", "bento_requirements")

bento_requirements(
    name = "update",
    srcs = ["requirements.in"],
    lock = "requirements.lock.json",
)
"""
LOCK = {"lock": 1, "requires_python": ">=3.10", "roots": [], "packages": [], "stated": {"requirements": ["bentoml"]}}


@pytest.fixture
def here(tmp_path):
    """A machine that lacks nothing, and a workspace that is well; tests take things away."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program(programs / "bazel", "echo bazel 8.1.0")
    program(programs / "podman", "")
    program(programs / "python3", f'exec "{sys.executable}" "$@"')
    program(programs / "uv", "echo uv")
    root = tmp_path / "workspace"
    (root / "svc").mkdir(parents=True)
    (root / "MODULE.bazel").write_text(MODULE)
    (root / ".bazelrc").write_text("common --disk_cache=/somewhere\n")
    (root / "svc/BUILD.bazel").write_text(BUILD)
    (root / "svc/requirements.in").write_text("bentoml\n")
    (root / "svc/requirements.lock.json").write_text(json.dumps(LOCK))
    (tmp_path / "authorities").mkdir()
    return Surroundings(root, {"PATH": str(programs), "HOME": str(tmp_path)}, (str(tmp_path / "authorities"),))


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def found(here: Surroundings, about: str) -> diagnosis.Finding:
    [finding] = [finding for finding in diagnose(here) if finding.about == about]
    return finding


def test_all_is_well(here):
    assert {finding.about: finding.state for finding in diagnose(here)} == dict.fromkeys(
        ["bazel", "python", "containers", "certificates", "workspace", "lock of @pypi", "cache"], FINE
    )


def test_the_oldest_bazel_is_that_of_the_module():
    text = Path("MODULE.bazel").read_text("utf-8")
    assert f'bazel_compatibility = [">={".".join(map(str, OLDEST_BAZEL))}"]' in text


@pytest.mark.parametrize(
    ("version", "state"),
    [("6.5.0", MISSING), ("7.0.2", MISSING), ("7.1.0", FINE), ("7.x", FINE), ("6.x", MISSING), ("10.0.0", FINE), ("8.0.0rc1", FINE), ("latest", HINT), ("", FINE)],
)  # fmt: skip
def test_the_version_of_bazel_is_that_of_its_file_else_the_programs(here, version, state):
    (here.root / ".bazelversion").write_text(f"{version}\n")
    assert found(here, "bazel").state == state


def test_bazelisk_is_not_asked_for_its_version_as_it_would_fetch_it(here):
    asked = here.root / "asked"
    program(Path(here.variables["PATH"], "bazel"), f"# bazelisk\ntouch {asked}")
    assert found(here, "bazel").state == HINT
    assert not asked.exists()


@pytest.mark.parametrize(("name", "about"), [("bazel", "bazel"), ("python3", "python")])
def test_a_program_that_is_not_there_is_missing(here, name, about):
    Path(here.variables["PATH"], name).unlink()
    assert found(here, about).state == MISSING
    assert found(here, about).remedy


def test_a_python_that_is_too_old_or_is_none_is_told(here):
    for text, problem in (("echo 3.9", "Python 3.9"), ("exit 1", "no Python"), ("echo Usage", "Usage")):
        program(Path(here.variables["PATH"], "python3"), text)
        assert found(here, "python").state == MISSING
        assert problem in found(here, "python").text


def test_no_python_of_the_host_is_wanted_unless_it_is_named(here):
    Path(here.variables["PATH"], "python3").unlink()
    (here.root / "MODULE.bazel").write_text(MODULE.replace('interpreter = "python3"', 'version = "3.12"'))
    assert found(here, "python").state == FINE


def test_what_runs_images_is_a_hint(here):
    Path(here.variables["PATH"], "podman").unlink()
    assert found(here, "containers").state == HINT


def test_authorities_of_a_company_come_with_the_line_for_bazel(here):
    Path(here.authorities[0], "company.crt").write_text("")
    assert "startup --host_jvm_args=-Djavax.net.ssl.trustStore=" in found(here, "certificates").remedy
    (here.root / ".bazelrc").write_text("startup --host_jvm_args=-Djavax.net.ssl.trustStore=/x\n")
    assert found(here, "certificates").state == FINE


def test_authorities_that_one_variable_names_are_not_bazels(here, tmp_path):
    here = Surroundings(here.root, {**here.variables, "SSL_CERT_FILE": str(tmp_path / "ca.pem")}, here.authorities)
    assert (found(here, "certificates").state, "which is no file" in found(here, "certificates").text) == (
        MISSING,
        True,
    )
    (tmp_path / "ca.pem").write_text("")
    assert found(here, "certificates").state == HINT
    assert "javax.net.ssl.trustStore=" in found(here, "certificates").remedy
    (here.root / ".bazelrc").write_text("startup --host_jvm_args=-Djavax.net.ssl.trustStore=/x\n")
    assert found(here, "certificates").state == FINE


def test_a_cache_in_a_comment_is_none(here):
    (here.root / ".bazelrc").write_text("# common --disk_cache=/somewhere\n")
    assert found(here, "cache").state == HINT


def test_a_module_without_the_rules_gets_the_line(here):
    (here.root / "MODULE.bazel").write_text('module(name = "mine")\n')
    assert found(here, "workspace").state == MISSING
    assert "bazel_dep(" in found(here, "workspace").remedy


@pytest.mark.parametrize("name", ["WORKSPACE", "WORKSPACE.bazel", "REPO.bazel"])
def test_a_workspace_without_a_module_gets_the_line(here, name):
    (here.root / "MODULE.bazel").rename(here.root / name)
    assert found(here, "workspace").state == MISSING
    assert "bazel_dep(" in found(here, "workspace").remedy


def test_a_hub_that_use_repo_does_not_name_gets_the_line(here):
    (here.root / "MODULE.bazel").write_text(MODULE.replace('use_repo(bento, "pypi")', 'use_repo(bento, "pipy")'))
    finding = found(here, "name of @pypi")
    assert (finding.state, finding.remedy) == (MISSING, 'Write to MODULE.bazel: use_repo(bento, "pypi")')


def test_a_stale_lock_is_told_by_line(here):
    (here.root / "svc/requirements.in").write_text("bentoml\nflask\n")
    finding = found(here, "lock of @pypi")
    assert (finding.state, finding.text) == (MISSING, "stale: requirements.in:2: flask is not locked")
    assert finding.remedy == "Write it again: bazel run //svc:update."
    (here.root / "svc/requirements.in").write_text("")
    assert "bentoml is locked, but nobody asks for it" in found(here, "lock of @pypi").text


PACKAGES: list[dict[str, object]] = [
    {"name": name, "version": "1", "files": {}} for name in ("scikit-learn", "zope.interface")
]


@pytest.mark.parametrize(
    ("label", "remedy"),
    [
        ("@pypi//flask", "Add flask to what is locked, and write the lock: bazel run //svc:update."),
        ("@@pypi//flask:async", "Add flask to what is locked, and write the lock: bazel run //svc:update."),
        ("@pypi//scikit-learn", "Write @pypi//scikit_learn."),
        ("@pypi//Zope.Interface:whl", "Write @pypi//zope_interface."),
    ],
)
def test_a_package_that_a_hub_lacks_is_told_by_line(here, label, remedy):
    (here.root / "svc/requirements.lock.json").write_text(json.dumps(LOCK | {"packages": PACKAGES}))
    deps = f'py_library(name = "x", deps = [\n    # "@pypi//commented",\n    "{label}",\n])\n'
    (here.root / "svc/BUILD.bazel").write_text(BUILD + deps)
    finding = found(here, "packages of @pypi")
    package = label.partition("//")[2].partition(":")[0]
    assert (finding.state, finding.remedy) == (MISSING, remedy)
    assert finding.text == f"svc/BUILD.bazel:10: there is no @pypi//{package}"


def test_labels_that_a_hub_has_or_that_lead_elsewhere_are_well(here):
    (here.root / "svc/requirements.lock.json").write_text(json.dumps(LOCK | {"packages": PACKAGES}))
    labels = ["@pypi//scikit_learn", "@pypi//zope_interface:whl", "@pypi//:requirements.bzl", "@pypi//...", "@other//x"]
    (here.root / "svc/BUILD.bazel").write_text(BUILD + f"X = {json.dumps(labels)}\n")
    for folder in ("bazel-out/x", ".venv/x", "nested"):  # outputs, hidden, a workspace of its own
        (here.root / folder).mkdir(parents=True)
        (here.root / folder / "BUILD").write_text('x(deps = ["@pypi//flask"])\n')
    (here.root / "nested/MODULE.bazel").touch()
    assert {finding.state for finding in diagnose(here)} == {FINE}


def test_a_label_of_no_repository_that_a_hub_would_have_is_told_by_line(here):
    (here.root / "svc/requirements.lock.json").write_text(json.dumps(LOCK | {"packages": PACKAGES}))
    others = 'http = use_repo_rule("@x//:x.bzl", "http")\nhttp(name = "web")\nmodule(name = "mine")\n'
    (here.root / "MODULE.bazel").write_text(MODULE + others)
    labels = ["@pipy//scikit_learn:whl", "@pipy//flask", "@web//scikit_learn", "@mine//scikit_learn"]
    (here.root / "svc/BUILD.bazel").write_text(BUILD + f"X = {json.dumps(labels)}\n")
    finding = found(here, "packages of @pypi")
    assert (finding.state, finding.text) == (MISSING, "svc/BUILD.bazel:8: MODULE.bazel has no @pipy")
    assert finding.remedy == "Write @pypi//scikit_learn, if that is meant."


def test_a_hub_is_known_by_what_the_workspace_calls_it(here):
    (here.root / "MODULE.bazel").write_text(MODULE.replace('(bento, "pypi")', '(bento, mine = "pypi")'))
    (here.root / "svc/BUILD").write_text('x(deps = ["@pypi//flask"])\n')  # BUILD.bazel is what counts
    (here.root / "svc/BUILD.bazel").write_text(BUILD + 'x(deps = ["@pypi//flask", "@mine//flask"])\n')
    assert found(here, "packages of @pypi").text == "svc/BUILD.bazel:8: there is no @mine//flask"


@pytest.mark.parametrize(
    "build",
    [
        'bento_requirements(name = "update", srcs = ["requirements.in"], lock = "requirements.lock.json")',
        'bento_requirements(\n    name = "update", srcs = ["requirements.in"])',
    ],
)
def test_a_target_is_found_however_it_is_written(here, build):
    (here.root / "svc/BUILD.bazel").write_text(f"{build}\n")
    (here.root / "svc/requirements.lock.json").unlink()
    assert found(here, "lock of @pypi").remedy == "Write it: bazel run //svc:update."


@pytest.mark.parametrize("text", [None, ""])
def test_a_lock_that_is_not_there_names_the_target(here, text):
    lock = here.root / "svc/requirements.lock.json"
    lock.unlink() if text is None else lock.write_text(text)
    finding = found(here, "lock of @pypi")
    assert (finding.state, finding.remedy) == (MISSING, "Write it: bazel run //svc:update.")


def test_a_lock_that_is_a_folder_is_told(here):
    lock = here.root / "svc/requirements.lock.json"
    lock.unlink()
    lock.mkdir()
    finding = found(here, "lock of @pypi")
    assert (finding.state, finding.text) == (MISSING, "//svc:requirements.lock.json is a folder")
    assert finding.remedy == "Move it away, and write the lock: bazel run //svc:update."


@pytest.mark.parametrize(
    ("label", "state"),
    [("//svc:other.json", MISSING), (":other.json", MISSING), ("@//svc:requirements.lock.json", FINE), ("@@//svc:requirements.lock.json", FINE),
     ("@other//:requirements.lock.json", HINT), ("requirements.lock.json", HINT)],
)  # fmt: skip
def test_a_lock_is_looked_at_where_its_label_leads(here, label, state):
    (here.root / "MODULE.bazel").write_text(MODULE.replace("//svc:requirements.lock.json", label))
    assert found(here, "lock of @pypi").state == state


def test_a_target_that_is_computed_is_left_to_its_own_test(here):
    (here.root / "svc/requirements.in").write_text("flask\n")
    (here.root / "svc/BUILD.bazel").write_text(BUILD.replace('["requirements.in"]', "FILES"))
    assert found(here, "lock of @pypi").state == FINE
    (here.root / "svc/BUILD.bazel").write_text(BUILD.replace('"requirements.in"', '"//other:requirements.in"'))
    assert found(here, "lock of @pypi").state == FINE


def test_a_damaged_lock_is_one_sentence(here, capsys, monkeypatch):
    (here.root / "svc/requirements.lock.json").write_text("{")
    assert main(["doctor", str(here.root)]) == 1
    said = capsys.readouterr().err
    assert "requirements.lock.json" in said
    assert "Traceback" not in said


def test_the_status_says_whether_something_is_missing(here, capsys, monkeypatch):
    for name, value in here.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BUILD_WORKSPACE_DIRECTORY", raising=False)
    assert main(["doctor", str(here.root / "svc"), "-o", "json"]) == 0
    assert {finding["about"] for finding in json.loads(capsys.readouterr().out)} >= {"bazel", "lock of @pypi"}
    Path(here.variables["PATH"], "bazel").unlink()
    assert main(["doctor", str(here.root)]) == 1
    assert "missing  bazel: neither bazelisk nor bazel is on PATH\n" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "state"), [("exit 0", FINE), ("echo refused >&2; exit 2", MISSING)])
def test_an_index_is_asked_when_one_wants_it(here, answer, state):
    asked = here.root / "asked"
    program(Path(here.variables["PATH"], "uv"), f'[ "$1" = pip ] && : > {asked}\n{answer}')
    diagnose(here)
    assert not asked.exists()
    assert diagnose(here, online=True)[-1].state == state
    assert asked.exists()
