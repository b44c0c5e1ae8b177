"""Of real releases, and of made ones, hubs take the wheel that uv takes, for each platform, system and Python."""

import json
import os
import re
import subprocess
import sys
import zipfile

import pytest

from tests.conftest import built

CHOICES = json.loads(built("tests/toolchains/wheel_choices.json").read_text("utf-8"))
# A project for each release, so that uv chooses for all of them at once.
_MACHINES = {"darwin_amd64": "x86_64", "darwin_arm64": "arm64", "linux_amd64": "x86_64", "linux_arm64": "aarch64"}
PROJECTS = {release: f"c{number}" for number, release in enumerate(CHOICES["releases"])}


@pytest.fixture(scope="module")
def links(tmp_path_factory):
    """A folder of wheels that are nothing but metadata, under the tags of the real ones."""
    directory = tmp_path_factory.mktemp("links")
    for release, project in PROJECTS.items():
        first, *others = (directory / f"{project}-1-{tags}.whl" for tags in CHOICES["releases"][release])
        with zipfile.ZipFile(first, "w") as archive:
            archive.writestr(f"{project}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: 1\n")
            archive.writestr(f"{project}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
            archive.writestr(f"{project}-1.dist-info/RECORD", "")
        for other in others:
            other.hardlink_to(first)
    return directory


def _uv_platform(target):
    machine = _MACHINES[target["platform"]]
    if target["platform"].startswith("darwin_"):
        return f"{machine.replace('arm64', 'aarch64')}-apple-darwin"
    return f"{machine}-manylinux_{target['system'].replace('.', '_')}"


def _chosen_by_uv(links, scratch, target):
    source = scratch / "requirements.in"
    source.write_text("".join(f"{project}\n" for project in PROJECTS.values()), "utf-8")
    command = [os.environ["RULES_BENTO_UV"], "pip", "compile", "--verbose", "--no-config", "--no-cache", "--offline"]
    command += ["--no-python-downloads", "--python", sys.executable, "--no-index", "--find-links", str(links)]
    command += ["--python-version", target["python_version"], "--python-platform", _uv_platform(target), str(source)]
    environment = {"HOME": str(scratch), "MACOSX_DEPLOYMENT_TARGET": target["system"]}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    chosen = dict(re.findall(r"Selecting: (c\d+)==1 \[\S+\] \(c\d+-1-(\S+)\.whl\)", done.stderr))
    return {release: chosen[project] for release, project in PROJECTS.items()}


@pytest.mark.parametrize(
    "target", CHOICES["targets"], ids=lambda t: f"{t['platform']}-{t['system']}-{t['python_version']}"
)
def test_hubs_take_the_wheel_that_uv_takes(target, links, tmp_path):
    assert target["chosen"] == _chosen_by_uv(links, tmp_path, target)
