"""Generates small projects with combinations of options, and lists the intended differences from BentoML."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml
from hypothesis import strategies as st
from rules_bento.bentos.build_options import distros

from tests.helpers.projects import HERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = """\
{% extends bento_base_template %}
{% block SETUP_BENTO_COMPONENTS %}
{{ super() }}
RUN echo {{ bento__path }}
{% endblock %}
"""
FILES = {
    "D.md": "# D\n",
    "data/a.txt": "a\n",
    "data/b.csv": "b\n",
    "e.yml": "name: x\ndependencies:\n- python=3.10\n",
    "pkg/__init__.py": "",
    "pkg/core.py": "X = 1\n",
    "req.txt": "# c\nidna == 3.10\n\npackaging>=20; python_version > '3'\n",
    "nested.txt": "-r req.txt\n-c con.txt\nattrs\n",
    "con.txt": "idna<4\n",
    "s.sh": "#!/bin/sh\necho s\n",
    "s.py": "#!/usr/bin/env python3\nprint('s')\n",
    "T.j2": TEMPLATE,
    "wheels/w-1-py3-none-any.whl": "",
}
# What patterns pick from, beside those files.
CROWD = {
    ".env": "A=1\n",
    ".git/config": "",
    "Upper.TXT": "u\n",
    "a b.txt": "blank\n",
    "data/deep/c.csv": "c\n",
    "data/deep/.bentoignore": "c.csv\n",
    "data/.bentoignore": "*.txt\n!a.txt\n",
    "node_modules/x.js": "",
    "pkg/__pycache__/core.pyc": "",
    "pkg/.DS_Store": "",
    "sub/venv/x.py": "",
    "sub/.git": "gitdir: elsewhere\n",
    "sub/[x].txt": "x\n",
    "sub/\u00fc.txt": "\u00fc\n",
}
LINKS = {"data/l.txt": "a.txt", "l.csv": "data/b.csv", "to_data": "data"}
PATTERNS = [
    "*", "*.py", "*.csv", "*.txt", "*.TXT", "*.yaml", "service.py", "/service.py", "./service.py", "data", "data/", "data/*", "data/**",
    "/data/*.txt", "**/*.csv", "data/**/c.csv", "**/deep", "pkg/", "pkg/*.py", "sub/*", "sub/[[]x].txt", "sub/\u00fc*", "?.txt", "a b.txt",
    "[a-d]*", "!data/", "!*.csv", "!service.py", "!/pkg/core.py", "# not this", "venv/", "!venv/", ".env", "*.{csv,txt}", "l.csv", "to_data",
    "to_data/a.txt", "",
]  # fmt: skip


@dataclass
class Project:
    """Describes a project: the files, the options of the bentofile, and the arguments of `bentoml build`."""

    options: dict
    service: dict = field(default_factory=dict)  # arguments of the decorator, as source
    image: list = field(default_factory=list)  # [constructor's arguments, call...] of the service's Image
    legacy: bool = False
    models: bool = False
    depends: bool = False
    form: str = "yaml"  # or "toml", "none"
    readme: bool = False
    ignore: str = ""
    cli: dict = field(default_factory=dict)
    crowd: bool = False  # whether it has more files, and links

    def source(self) -> str:
        if self.legacy:
            return self._legacy_source()
        lines = ["import bentoml", ""]
        if self.depends:
            lines += ["", "@bentoml.service(name='low')", "class Low:", "    pass", ""]
        arguments = [f"{key}={value!r}" for key, value in self.service.items()]
        if self.image:
            calls = "".join(f".{method}({', '.join(map(repr, values))})" for method, *values in self.image[1:])
            given = ", ".join(f"{key}={value!r}" for key, value in self.image[0].items())
            arguments.append(f"image=bentoml.images.Image({given}){calls}")
        lines += ["", f"@bentoml.service({', '.join(arguments)})", "class Svc:"]
        if self.models:
            lines.append("    model = bentoml.models.BentoModel('iris_clf:latest')")
        if self.depends:
            lines.append("    low = bentoml.depends(Low)")
        return "\n".join([*lines, "", "    @bentoml.api", "    def call(self, x: int) -> int:", "        return x", ""])

    def _legacy_source(self) -> str:
        models = ', models=[bentoml.models.get("raw_model:v1")]' if self.models else ""
        runner = (
            f"[bentoml.{'models' if self.readme else 'sklearn'}.get('iris_clf:latest').to_runner()]"
            if self.depends
            else "[]"
        )
        return "\n".join(
            [
                "import bentoml",
                "from bentoml.io import JSON, NumpyNdarray, Text",
                "",
                f"Svc = bentoml.legacy.Service('old_one', runners={runner}{models})",
                "",
                "",
                "@Svc.api(input=NumpyNdarray(), output=JSON())",
                "def first(rows):",
                "    return {}",
                "",
                "",
                "@Svc.api(input=Text(), output=Text(), route='/second')",
                "def other(text):",
                "    return text",
                "",
            ]
        )

    def files(self) -> dict[str, str]:
        files = {**FILES, **(CROWD if self.crowd else {}), "service.py": self.source()}
        if self.readme:
            files["README.md"] = "# read\n"
        if self.ignore:
            files[".bentoignore"] = self.ignore
        if self.form == "yaml":
            files["bentofile.yaml"] = yaml.safe_dump(self.options, sort_keys=False)
        elif self.form == "toml":
            files["pyproject.toml"] = (
                '[project]\nname = "proj-x"\nversion = "0"\ndependencies = ["idna"]\n\n[tool.bentoml.build]\n'
                + "".join(f"{key} = {toml(value)}\n" for key, value in self.options.items())
            )
        return files

    def links(self) -> dict[str, str]:
        return LINKS if self.crowd else {}

    def arguments(self) -> list[str]:
        words = ["--name", self.cli["name"]] if "name" in self.cli else []
        for flag in ("label", "arg"):
            words += [word for key, value in self.cli.get(flag, {}).items() for word in (f"--{flag}", f"{key}={value}")]
        return words


def toml(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {toml(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else str(value)


def some(mapping: dict) -> st.SearchStrategy[dict]:
    """Return a strategy for dicts with some of the keys and one of the values of each key."""
    return st.fixed_dictionaries({}, optional=mapping)


def lists(*items: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(items), min_size=1, max_size=3, unique=True)


ENV = st.fixed_dictionaries(
    {"name": st.sampled_from(["A", "B", "C_D"])},
    optional={"value": st.sampled_from(["1", "x y", "/p/q"]), "stage": st.sampled_from(["all", "build", "runtime"])},
)
DOCKER = some(
    {
        "distro": st.sampled_from(["debian", "debian", "alpine", "ubi8", "amazonlinux"]),
        "python_version": st.sampled_from(["3.9", "3.12", "3.11.4", 3.12, "3.14"]),
        "env": st.sampled_from([{"E": "1"}, {"A": "2", "E": "/x"}, ["E=1", "F=a-b.c"]]),
        "system_packages": lists("curl", "git", "libgomp1"),
        "setup_script": st.sampled_from(["s.sh", "s.py", "./s.sh"]),
    }
)
RARE_DOCKER = some(
    {
        "base_image": st.just("my/base:1"),
        "cuda_version": st.sampled_from([12, "11.8", "default", "12.1.1"]),
        "dockerfile_template": st.just("T.j2"),
    }
)
PYTHON = some(
    {
        "packages": lists("idna==3.10", "attrs>=20", "packaging ; python_version > '3'", "bentoml", "--pre"),
        "requirements_txt": st.sampled_from(["req.txt", "nested.txt"]),
        "index_url": st.just("https://i.example/simple"),
        "no_index": st.booleans(),
        "trusted_host": st.sampled_from(["h.example", ["h.example", "g.example"]]),
        "find_links": st.just(["https://f.example/links"]),
        "extra_index_url": st.sampled_from(
            ["https://e.example/simple", ["https://e.example/a", "https://e.example/b"]]
        ),
    }
)
RARE_PYTHON = some(
    {
        "pip_args": st.sampled_from(["--pre -v", "--no-binary idna", "--only-binary=:all:"]),
        "wheels": st.just(["wheels/w-1-py3-none-any.whl"]),
        "pack_git_packages": st.booleans(),
        "is_src_layout": st.booleans(),
    }
)
CONDA = some(
    {
        "environment_yml": st.just("e.yml"),
        "channels": lists("conda-forge", "defaults"),
        "dependencies": st.sampled_from([["numpy"], ["numpy=1.26", {"pip": ["idna"]}]]),
        "pip": lists("idna", "attrs"),
    }
)
MODELS = st.lists(
    st.sampled_from(["raw_model:v1", "iris_clf", "iris_clf:latest", {"tag": "iris_clf:latest", "alias": "prod"}]),
    min_size=1,
    max_size=2,
    unique_by=str,
)
IMAGE_CALLS = st.lists(
    st.sampled_from(
        [
            ("system_packages", "vim"),
            ("run", "echo one"),
            ("run", "echo two && true"),
            ("run_script", "s.sh"),
            ("python_packages", "attrs", "idna<4"),
            ("python_packages", "--extra-index-url https://x.example.com/simple", "six"),
            ("requirements_file", "req.txt"),
            ("build_include", "data/", "pkg"),
        ]
    ),
    max_size=4,
)


SERVICE = some(
    {
        "name": st.sampled_from(["hi", "MyService"]),
        "labels": st.sampled_from([{"a": "svc"}, {"c": "d"}]),
        "envs": st.lists(ENV, max_size=1),
        "description": st.sampled_from(["svc text", "file: D.md"]),
        "resources": st.just({"cpu": "1"}),
        "traffic": st.just({"timeout": 20, "concurrency": 4}),
        "workers": st.just(2),
    }
)
IMAGE_ARGUMENTS = some(
    {
        "distro": st.sampled_from(["debian", "alpine", "ubi8"]),
        "python_version": st.sampled_from(["3.10", "3.12"]),
        "base_image": st.just("my/own:2"),
    }
)
SPEC_1 = st.sampled_from(
    [
        {"docker": {"cuda_version": 12}},
        {"docker": {"cuda_version": "11.8", "distro": "ubi8"}},
        {"docker": {"dockerfile_template": "T.j2"}},
        {"docker": {"dockerfile_template": "T.j2", "distro": "alpine"}},
        {"docker": {"base_image": "my/base:1"}, "conda": {"channels": ["a"], "dependencies": ["numpy"]}},
        {"conda": {"environment_yml": "e.yml"}},
        {"conda": {"pip": ["idna"], "dependencies": ["numpy=1.26"]}},
        {"conda": {"channels": ["a", "b"]}, "docker": {"distro": "alpine", "python_version": "3.12"}},
        {"python": {"wheels": ["wheels/w-1-py3-none-any.whl"], "pip_args": "--pre -v"}},
    ]
)
GENERAL = {
    "name": st.sampled_from(["other", "My.Name", "a-b"]),
    "description": st.sampled_from(["text", "file: D.md", "file:D.md", "two\nlines"]),
    "labels": st.sampled_from([{"a": "bf"}, {"a": 1, "b": True}, {"team": "x", "o": "y z"}]),
    "include": st.sampled_from([["*.py", "*.yaml"], ["*"], ["data/", "service.py"], ["*.py", "!pkg/"]]),
    "exclude": st.sampled_from([["data/"], ["*.txt", "!req.txt"], ["*.md", "bentofile.yaml"]]),
    "envs": st.lists(ENV, max_size=2, unique_by=lambda env: env["name"]),
}
SELECTION = some(
    {
        "include": st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=5),
        "exclude": st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=4),
    }
)
FLAVOURS = ("plain", "image", "spec 1", "legacy", "wild")


@st.composite
def projects(draw) -> Project:
    flavour = draw(st.sampled_from(FLAVOURS))
    form = draw(st.sampled_from(["yaml", "yaml", "yaml", "toml"]))
    args = [{"x": 1}] if form == "toml" else [{"x": 1, "y": "q"}, {"n": {"m": [1, 2.5, None]}}]
    options = draw(some({**GENERAL, "args": st.sampled_from(args), "docker": DOCKER, "python": PYTHON}))
    crowd = flavour != "legacy" and draw(st.integers(1, 4)) == 1
    if crowd:
        options |= draw(SELECTION)
    if flavour == "wild":
        options = joined(options, {"docker": draw(RARE_DOCKER), "python": draw(RARE_PYTHON)})
        options = joined(options, draw(some({"conda": CONDA})))
    elif "packages" in options.get("python", {}):
        options["python"].pop("requirements_txt", None)
    if flavour in ("spec 1", "legacy"):
        options.get("docker", {}).pop("distro", None)
        options["envs"] = [env for env in options.get("envs", []) if env.get("stage") != "build"]
    if flavour == "spec 1" or (flavour == "legacy" and draw(st.booleans())):
        extra = draw(SPEC_1)
        if "base_image" in extra.get("docker", {}):
            options.get("docker", {}).pop("system_packages", None)
        options = joined(options, extra)
    options = joined(options, {"python": {"lock_packages": False}})
    if draw(st.integers(1, 5)) == 1:
        options["models"] = draw(MODELS)
    service = {} if flavour == "legacy" else draw(SERVICE)
    if flavour == "spec 1":
        service.pop("envs", None)
    if draw(st.booleans()) or flavour == "legacy":
        options["service"] = "service:Svc"
    image = flavour == "image" or (flavour == "wild" and draw(st.booleans()))
    return Project(
        {key: value for key, value in options.items() if value},
        service,
        [draw(IMAGE_ARGUMENTS), *draw(IMAGE_CALLS)] if image else [],
        legacy=flavour == "legacy",
        models=draw(st.integers(1, 5)) == 1,
        depends=draw(st.integers(1, 5)) == 1,
        form=form,
        readme=draw(st.booleans()),
        ignore="\n".join(draw(st.lists(st.sampled_from(PATTERNS), max_size=4)))
        if crowd
        else draw(st.sampled_from(["", "", "*.csv\n", "data/\n!data/a.txt\n"])),
        crowd=crowd,
        cli=draw(some({"name": st.just("cli-name"), "label": st.just({"a": "cli"}), "arg": st.just({"x": "cli"})})),
    )


def joined(one: dict, other: dict) -> dict:
    """Merge two dicts, including nested tables."""
    merged = dict(one)
    for key, value in other.items():
        merged[key] = {**one[key], **value} if isinstance(one.get(key), dict) and isinstance(value, dict) else value
    return merged


def get(project: Project, *keys):
    value = project.options
    for key in keys:
        value = (value or {}).get(key)
    return value


def v1_options(project: Project) -> bool:
    return bool(
        project.legacy
        or get(project, "conda")
        or get(project, "docker", "cuda_version")
        or get(project, "docker", "dockerfile_template")
        or get(project, "python", "wheels")
    )


def stages(project: Project) -> set[str]:
    return {env.get("stage", "all") for env in [*project.options.get("envs", []), *project.service.get("envs", [])]}


# What we refuse and BentoML builds: a part of the message, and when it may come. docs/compatibility.md has the reasons.
REFUSALS = [
    ("python.packages: BentoML ignores this option if python.requirements_txt is set", lambda p: get(p, "python", "packages") and get(p, "python", "requirements_txt")),
    ("BentoML ignores this option if conda.environment_yml is set", lambda p: get(p, "conda", "environment_yml") and len(get(p, "conda")) > 1),
    ("'pip' is set twice", lambda p: get(p, "conda", "pip")),
    ("BentoML has no default base image with both CUDA and conda", lambda p: get(p, "conda") and get(p, "docker", "cuda_version")),
    ("BentoML ignores this option if docker.base_image is set", lambda p: get(p, "docker", "base_image") and get(p, "docker", "cuda_version")),
    (
        "with spec 1 of bento.yaml, BentoML ignores this option if docker.base_image is set",
        lambda p: get(p, "docker", "base_image") and get(p, "docker", "system_packages") and v1_options(p),
    ),
    ("an image definition requires spec 2 of bento.yaml, which conflicts with", lambda p: p.image and v1_options(p)),
    ("has the stage 'build', but with spec 1", lambda p: v1_options(p) and "build" in stages(p)),
    ("spec 2 doesn't support '-", lambda p: get(p, "python", "pip_args") and not v1_options(p)),
    ("doesn't support amazonlinux with spec 1", lambda p: get(p, "docker", "distro") == "amazonlinux"),
    ("this CUDA version", lambda p: get(p, "docker", "cuda_version")),
    (" has conda. Use", lambda p: get(p, "conda")),
    ("has the aliases", lambda p: get(p, "models")),
    # Such a Bento cannot be served.
    ("requires service.py", lambda p: p.crowd),
    ("excludes service.py", lambda p: p.crowd),
    ("don't contain the default service.py", lambda p: p.crowd),
    ("follows a command that runs after the installation of the Python packages", lambda p: p.image),
]  # fmt: skip

# What BentoML refuses or fails at, and we build.
ONLY_OURS = [
    lambda p: get(p, "docker", "distro") == "amazonlinux",
    lambda p: get(p, "python", "requirements_txt") == "nested.txt" or ("requirements_file", "nested.txt") in p.image,
    # Bug: python packages of a bentofile beside an image with commands after its own.
    lambda p: p.image and get(p, "python"),
    # BentoML checks these although base_image makes them meaningless.
    lambda p: get(p, "docker", "base_image"),
]


def as_it_should_be(theirs: dict, project: Project, python: str) -> dict:
    """Return BentoML's bento.yaml with our intended differences. `python` is the Python version that BentoML ran in."""
    if theirs["spec"] == 2:
        theirs["image"]["python_requirements"] += carried(project)
        _mend_image(theirs["image"], project, python)
        _carry_env(theirs, project)
    else:
        _carry_envs(theirs, project)
    if project.legacy and project.options.get("models"):
        _add_own_models(theirs, project)
    return theirs


def _add_own_models(theirs: dict, project: Project) -> None:
    """Add the models of a legacy service, which BentoML omits if the bentofile names models."""
    wanted = [GOLDEN_MODELS[name] for name in ("raw_model",) if project.models]
    wanted += [GOLDEN_MODELS["iris_clf"]] if project.depends else []
    known = {entry["tag"] for entry in theirs["models"]}
    theirs["models"] += [entry for entry in wanted if entry["tag"] not in known]


def _entry(path: Path) -> dict:
    fields = yaml.safe_load(path.read_text("utf-8"))
    tag = f"{fields['name']}:{fields['version']}"
    return {"tag": tag, "module": fields["module"], "creation_time": fields["creation_time"]}


GOLDEN_MODELS = {name: _entry(HERE / "golden" / "bentos" / f"model_{name}.yaml") for name in ("raw_model", "iris_clf")}


def carried(project: Project) -> str:
    """Return the part of `pip_args` that requirements can contain, which BentoML omits from spec 2."""
    arguments = get(project, "python", "pip_args")
    return arguments.replace("=", " ") + "\n" if arguments and not v1_options(project) else ""


def _carry_env(theirs: dict, project: Project) -> None:
    """Add `docker.env`, which BentoML omits from spec 2."""
    named = {env["name"] for env in theirs["envs"]}
    carried = [
        {"name": name, "value": value, "stage": "all"}
        for name, value in docker_env(project).items()
        if name not in named
    ]
    theirs["envs"] = carried + theirs["envs"]


def _carry_envs(theirs: dict, project: Project) -> None:
    """Add `envs` to `docker.env`, because BentoML omits `envs` from spec 1's Dockerfile."""
    values = docker_env(project)
    named = {env["name"] for env in theirs["envs"]}
    joined = {name: value for name, value in values.items() if name not in named}
    joined |= {env["name"]: env["value"] for env in theirs["envs"]}
    theirs["docker"]["env"] = {key: quoted(value) for key, value in joined.items()} or None


def quoted(value: str) -> str:
    return value if re.fullmatch(r"[\w.,:/@%+=-]*", value) else f'"{value}"'


def docker_env(project: Project) -> dict[str, str]:
    env = get(project, "docker", "env") or {}
    return dict(item.split("=", 1) for item in env) if isinstance(env, list) else env


def _mend_image(image: dict, project: Project, python: str) -> None:
    """Change the image to the image that the project requests, without the losses that bento-format.md lists."""
    arguments = project.image[0] if project.image else {}
    docker = get(project, "docker") or {}
    if not project.image and not docker.get("base_image") and docker.get("distro") not in ("ubi8", "amazonlinux"):
        return  # nothing to mend
    declared = docker.get("distro") or arguments.get("distro")
    base = docker.get("base_image") or arguments.get("base_image")
    version = ".".join(str(docker.get("python_version") or arguments.get("python_version") or python).split(".")[:2])
    packages = docker.get("system_packages") or []
    if any(call[0] == "system_packages" for call in project.image[1:]):
        packages = [*packages, "x"]
    distro = distros.get(declared or "debian")
    image["python_version"] = version
    image["base_image"] = base or distro.image(version)
    own = [other.first_command for other in map(distros.get, distros.NAMES)]
    own += ["yum update && yum install -y ca-certificates gcc gcc-c++ make bash shadow-utils git"]
    first = [distro.first_command] if declared or packages or not base else []
    calls = [command for command in image["commands"] if command not in own]
    image["commands"] = first + [installed_by(distro, command) for command in calls]
    if image["post_commands"] or not project.image:
        return
    # Bug: the place of a bentofile's script is forgotten where the image has Python packages of its own.
    script = docker.get("setup_script")
    required = [call for call in project.image[1:] if call[0] in ("python_packages", "requirements_file")]
    if script and required and image["commands"] and "script__" in image["commands"][-1]:
        image["post_commands"] = [image["commands"].pop()]


def installed_by(distro: distros.Distro, command: str) -> str:
    """Return the installation command for the bentofile's distribution. BentoML has a bug: it uses the previous one."""
    for other in map(distros.get, distros.NAMES):
        head = other.further_command.partition("{")[0]
        if command.startswith(head):
            return distro.command(command[len(head) :].split())
    return command
