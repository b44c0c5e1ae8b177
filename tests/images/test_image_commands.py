"""What of a Bento's image an image without a daemon cannot have."""

import json

import pytest
import yaml
from bento_cli.projects.from_directory import build
from rules_bento.base.errors import BentoError
from rules_bento.images.validation.bento_requirements import reject_commands

from tests.helpers.projects import write_project

SERVICE = "import bentoml\n\n\n@bentoml.service{image}\nclass Svc:\n    pass\n"
FILES = {"setup.sh": "#!/bin/sh\n", "t.j2": "{% extends bento_base_template %}\n"}


def document(tmp_path, calls="", **options):
    image = f"(image=bentoml.images.Image(){calls})" if calls else ""
    directory = write_project(tmp_path / "p", {"files": FILES}, SERVICE.format(image=image))
    return yaml.safe_load(build(build_ctx=directory, **options).bento.files["bento.yaml"])


@pytest.mark.parametrize(
    "base", [{"cuda_version": "12"}, *({"distro": name} for name in ("debian", "alpine", "ubi8", "amazonlinux"))]
)
def test_packages_of_a_distribution_are_the_bases(tmp_path, base):
    reject_commands(document(tmp_path, docker={**base, "system_packages": ["curl"]}))


@pytest.mark.parametrize(
    ("calls", "options", "what"),
    [
        (".run('echo a')", {}, "runs 'echo a' (setup_script, run or run_script)"),
        (".python_packages('idna').run('apt-get update')", {}, "runs 'apt-get update'"),
        (".run('apt-get install -q -y -o Dpkg::Options::=--force-confdef curl && curl x')", {}, "runs 'apt-get install"),
        (".run_script('setup.sh')", {}, "runs 'chmod"),
        ("", {"docker": {"setup_script": "setup.sh"}}, "runs 'chmod"),
        ("", {"docker": {"setup_script": "setup.sh", "cuda_version": "12"}}, "docker.setup_script"),
        ("", {"docker": {"dockerfile_template": "t.j2"}}, "docker.dockerfile_template"),
        ("", {"conda": {"pip": ["idna"]}}, "conda packages"),
    ],
)  # fmt: skip
def test_what_runs_is_rejected_with_the_way_out(tmp_path, calls, options, what):
    with pytest.raises(BentoError) as error:
        reject_commands(document(tmp_path, calls, **options))
    assert what in str(error.value)
    assert "bento_image can't run commands. Use `bentoml containerize`" in str(error.value)
    assert "bentoml containerize" in str(error.value)
    remedy = str(error.value).rpartition("ignore_system_requirements = ")[2].removesuffix(".")
    reject_commands(document(tmp_path, calls, **options), json.loads(remedy))


@pytest.mark.parametrize("more", ["curl $(cat list)", "-t sid curl", "'curl", "", "`id`"])
def test_what_only_begins_as_an_installation_is_a_command(more):
    commands = [f"apt-get install -q -y -o Dpkg::Options::=--force-confdef {more}"]
    with pytest.raises(BentoError, match="the image of the Bento runs"):
        reject_commands({"image": {"commands": commands}})
