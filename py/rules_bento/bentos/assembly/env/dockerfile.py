"""Renders `env/docker/Dockerfile` for BuildKit, podman, and buildah. The build context is the Bento.

For caching, steps that rarely change come first: base image, system packages, uv, Python packages, models, and sources.
Downloads use cache mounts and aren't part of the image. The service runs as a dedicated user.
"""

from __future__ import annotations

import json
import re
import shlex

from rules_bento.base.dataclasses_lite import dataclass
from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.image_steps import ImageCommand
    from rules_bento.bentos.build_options.distros import Distro
    from rules_bento.bentos.build_options.options import EnvVariable

UV_VERSION = "0.13.8"
# uv's wheels for Linux: x86_64 and aarch64 with glibc and musl, ppc64le, and s390x.
UV_HASHES = (
    "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984",
    "29451c60f5e8b07403e0a175d5229efc36b0289b34143ff4aaa499a5dd52553a",
    "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
    "6999618363d03a0a085a9491db319e00b461dbda205db06ef1fd55dfcbf6472b",
    "13050c64530a1ccfc223af0306a8152d41c0d36ea63bc19161221ca65dfe480a",
)

HEADER = """\
# Written by rules_bento. From the root of the Bento, with BuildKit, podman or buildah:
#   docker build --file env/docker/Dockerfile .
"""

_VENV_PATH = "/app/.venv"


@dataclass(frozen=True)
class ContainerLayout:
    """The user and the paths in an image."""

    user: str = "bentoml"
    uid_gid: str = "1034"
    home: str = "/home/bentoml/"
    path: str = "/home/bentoml/bento"
    entrypoint: str = "/home/bentoml/bento/env/docker/entrypoint.sh"
    owner: str = "$BENTO_USER"  # owner of the Bento's files
    login: str = "$BENTO_USER_UID:$BENTO_USER_GID"  # numeric, so that Kubernetes can verify a non-root user


@dataclass(frozen=True)
class Recipe:
    """The settings of an image build, from which `render` creates a Dockerfile."""

    base_image: str
    install: str  # the command that installs env/python
    distro: Distro | None = None  # distribution of `packages`
    packages: tuple[str, ...] = ()  # system packages
    commands: tuple[ImageCommand, ...] = ()
    post_commands: tuple[ImageCommand, ...] = ()
    setup_script: bool = False  # whether to run env/docker/setup_script with the whole Bento
    envs: tuple[EnvVariable, ...] = ()
    python_version: str | None = None
    conda: bool = False
    build_include: tuple[str, ...] = ()
    models: bool = False  # whether the Bento includes models


def render(recipe: Recipe) -> str:
    """Return the content of a Dockerfile that builds the image."""
    return HEADER + "\n" + "\n\n".join(blocks(recipe, ContainerLayout()).values()) + "\n"


def blocks(recipe: Recipe, names: ContainerLayout) -> dict[str, str]:
    """Return the blocks of the Dockerfile by name. Dockerfile templates use the same names."""
    parts = {
        "SETUP_BENTO_BASE_IMAGE": _base_image(recipe),
        "SETUP_BENTO_USER": [
            f"ARG BENTO_USER={names.user}",
            f"ARG BENTO_USER_UID={names.uid_gid}",
            f"ARG BENTO_USER_GID={names.uid_gid}",
            """\
RUN if command -v groupadd >/dev/null 2>&1; then \\
      groupadd -o -g "$BENTO_USER_GID" "$BENTO_USER" \\
      && useradd -l -m -o -r -u "$BENTO_USER_UID" -g "$BENTO_USER_GID" "$BENTO_USER"; \\
    else \\
      addgroup -S -g "$BENTO_USER_GID" "$BENTO_USER" \\
      && adduser -S -u "$BENTO_USER_UID" -G "$BENTO_USER" "$BENTO_USER"; \\
    fi""",
        ],
        "SETUP_BENTO_ENVARS": _variables(recipe, names),
        "SETUP_BENTO_COMPONENTS": _components(recipe, names),
        "SETUP_BENTO_ENTRYPOINT": _entrypoint(recipe, names),
    }
    return {name: "\n".join(lines) for name, lines in parts.items()}


def _base_image(recipe: Recipe) -> list[str]:
    # The user might specify a tag such as `latest`, and some images have no other tag.
    lines = ["# hadolint ignore=DL3006,DL3007", f"FROM {recipe.base_image} AS base-container", "USER 0"]
    lines.append("ENV LANG=C.UTF-8 LC_ALL=C.UTF-8 PYTHONIOENCODING=UTF-8 PYTHONUNBUFFERED=1")
    if recipe.distro and recipe.packages:
        lines += _install_packages(recipe.distro, recipe.packages, recipe.distro.setup)
    return lines


def _install_packages(distro: Distro, packages: Sequence[str], setup: str = "") -> list[str]:
    install = " ".join([distro.install, *(shlex.quote(package) for package in dict.fromkeys(packages))])
    commands = [*install.split(" && "), *(setup.split(" && ") if setup else ())]
    mounts = [f"type=cache,target={cache},sharing=locked" for cache in distro.caches]
    return [f"# hadolint ignore={distro.ignored_rules}", _run(commands, mounts)]


def _run(commands: Sequence[str], mounts: Sequence[str] = ()) -> str:
    """Return a RUN instruction that joins `commands` with `&&`."""
    head = [f"--mount={mount}" for mount in mounts]
    lines = [*head, commands[0], *(f"&& {command}" for command in commands[1:])]
    return "RUN " + " \\\n    ".join(lines)


def _variables(recipe: Recipe, names: ContainerLayout) -> list[str]:
    lines = []
    for env in recipe.envs:
        if env.stage == "all":
            lines += [
                f"ARG {env.name}" + (f"={quote_value(env.value)}" if env.value else ""),
                f"ENV {env.name}=${env.name}",
            ]
    return [
        *lines,
        f"ARG BENTO_PATH={names.path}",
        f"ENV BENTO_PATH=$BENTO_PATH BENTOML_HOME={names.home} BENTOML_HF_CACHE_DIR=$BENTO_PATH/hf-models \\",
        "    BENTOML_CONTAINERIZED=true",
        f'RUN mkdir -p "$BENTO_PATH" && chown "{names.owner}:{names.owner}" "$BENTO_PATH"',
        "WORKDIR $BENTO_PATH",
    ]


def quote_value(value: str) -> str:
    """Return `value`, quoted if a Dockerfile requires quotes."""
    if re.fullmatch(r"[\w.,:/@%+=-]*", value, re.ASCII):
        return value
    return '"' + re.sub(r'([\\"$])', r"\\\1", value) + '"'


def _components(recipe: Recipe, names: ContainerLayout) -> list[str]:
    secrets = _Secrets(recipe.envs)
    owned = f"COPY --chown={names.owner}:{names.owner}"
    lines = [line for command in recipe.commands for line in _command(command, recipe.distro, secrets)]
    lines += _conda() if recipe.conda else []
    lines += _uv(secrets)
    lines += _environment(recipe, secrets)
    lines.append("COPY env/python ./env/python/")
    lines += [_copy_instruction(path) for path in recipe.build_include]
    lines.append(_run([secrets.with_variables(recipe.install)], [*secrets.mounts, _cache("uv")]))
    lines += [line for command in recipe.post_commands for line in _command(command, recipe.distro, secrets)]
    if recipe.models:
        lines.append(f"{owned} models ./models/")
    lines.append(f"{owned} src ./src/")
    if recipe.setup_script:
        lines += [
            "COPY --chmod=755 env/docker/setup_script ./env/docker/setup_script",
            _run([secrets.with_variables("./env/docker/setup_script")], secrets.mounts),
        ]
    lines.append(f"{owned} README.md bento.yaml ./")
    return lines


def _copy_instruction(path: str) -> str:
    """Return the COPY instruction for a source path, in the JSON form if the path contains spaces."""
    if re.search(r"\s", path):
        return f"COPY {json.dumps([f'src/{path}', f'./src/{path}'], ensure_ascii=False)}"
    return f"COPY src/{path} ./src/{path}"


class _Secrets:
    """Secret mounts that pass build-time variables to commands, so that no layer contains the values."""

    def __init__(self, envs: Sequence[EnvVariable]) -> None:
        secret = [env for env in envs if env.stage == "build"]
        self.mounts = [f"type=secret,id={env.name}{'' if env.value else ',required=true'}" for env in secret]
        self._exports = [
            f'{env.name}="$(cat /run/secrets/{env.name}{self._default(env.value)})"; export {env.name}; '
            for env in secret
        ]

    def with_variables(self, command: str) -> str:
        """Return `command` preceded by commands that export the build-time variables."""
        return "".join(self._exports) + command

    @staticmethod
    def _default(value: str) -> str:
        return f" 2>/dev/null || printf %s {shlex.quote(value)}" if value else ""


def _cache(name: str) -> str:
    return f"type=cache,target=/root/.cache/{name}"


def _command(command: ImageCommand, distro: Distro | None, secrets: _Secrets) -> list[str]:
    if command.packages and distro:
        return _install_packages(distro, command.packages)
    if command.script:
        copied = f"COPY --chmod=755 {command.script} ./{command.script}"
        return [copied, _run([secrets.with_variables(f"./{command.script}")], secrets.mounts)]
    return [_run([secrets.with_variables(command.text)], secrets.mounts)]


def _conda() -> list[str]:
    update = "/opt/conda/bin/conda env update -n base -f env/conda/environment.yml"
    return ["COPY env/conda ./env/conda/", _run([update], ["type=cache,target=/opt/conda/pkgs"])]


def _uv(secrets: _Secrets) -> list[str]:
    requirement = " \\\n        ".join([f"uv=={UV_VERSION}", *(f"--hash=sha256:{digest}" for digest in UV_HASHES)])
    install = f"""\
if ! command -v uv >/dev/null 2>&1; then \\
      python3 -m venv /opt/uv \\
      && printf '%s\\n' '{requirement}' > /opt/uv/requirements.txt \\
      && /opt/uv/bin/pip install --disable-pip-version-check --require-hashes -r /opt/uv/requirements.txt \\
      && ln -sf /opt/uv/bin/uv /usr/local/bin/uv; \\
    fi"""
    return [_run([secrets.with_variables(install)], [*secrets.mounts, _cache("pip")])]


def _environment(recipe: Recipe, secrets: _Secrets) -> list[str]:
    # conda installs into its own Python, so the environment must be based on it and include its packages.
    conda = " --system-site-packages --python /opt/conda/bin/python3" if recipe.conda else ""
    version = f" --python {recipe.python_version}" if recipe.python_version and not recipe.conda else ""
    return [
        f"ENV VIRTUAL_ENV={_VENV_PATH} UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_PROGRESS=1 \\",
        "    UV_PYTHON_INSTALL_DIR=/app/python",
        _run([secrets.with_variables(f"uv venv{conda}{version} {_VENV_PATH}")], secrets.mounts),
        f"ENV PATH={_VENV_PATH}/bin:$PATH",
    ]


def _entrypoint(recipe: Recipe, names: ContainerLayout) -> list[str]:
    runtime = [
        f"ENV {env.name}={quote_value(env.value)}" for env in recipe.envs if env.stage == "runtime" and env.value
    ]
    return [
        *runtime,
        f"COPY --chmod=755 env/docker/entrypoint.sh {names.entrypoint}",
        "EXPOSE 3000 3001",
        f"USER {names.login}",
        f'ENTRYPOINT ["{names.entrypoint}"]',
    ]
