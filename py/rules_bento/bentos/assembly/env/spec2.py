"""Renders `env/` and `image` in the format of spec 2, which BentoML has used since 1.4."""

from __future__ import annotations

import posixpath

from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Collection, Iterable, Sequence
from rules_bento.bentos.assembly.declared_packages import without_own_packages
from rules_bento.bentos.assembly.env import dockerfile, python
from rules_bento.bentos.assembly.env.common import ENTRYPOINT, BentoSettings, Environment, docker_env, merge_envs
from rules_bento.bentos.assembly.image_steps import FrozenImage, ImageDefinition, freeze, local_packages
from rules_bento.bentos.assembly.named_files import uv_lock_lines
from rules_bento.bentos.build_options import distros
from rules_bento.bentos.build_options.options import BuildOptions, EnvVariable, packages_place
from rules_bento.bentos.packages.requirement_syntax import WHEELS, check_local_paths

_LOCAL_REMEDY = (
    "Add the path to build_include of the image. Or build a wheel, for example with `uv build --wheel DIRECTORY -o "
    "wheels`, and require ./wheels/FILE.whl."
)


def make(
    settings: BentoSettings,
    image: ImageDefinition,
    envs: Sequence[EnvVariable],
    *,
    models: bool,
    sources: Collection[str],
) -> Environment:
    """Return the environment for an image and settings. `sources` are the paths of the files in `src/`.

    Raises BentoError for an invalid step, a missing uv.lock, or requirements that can't be installed.
    """
    options = settings.options
    lock, exported = settings.lock, None
    if lock is None and any(step.method == "uv_lock" for step in image.steps):
        if not settings.files.has("uv.lock"):
            remedy = "Add uv.lock, or use packages from a package hub."
            raise BentoError("uv_lock() requires uv.lock in srcs", place=image.place, remedy=remedy)
        exported = uv_lock_lines(settings.files)
    frozen = freeze(image, options, settings.files, settings.python_version, uv_lock=exported, locked=lock is not None)
    locked = image.lock_python_packages if options.python.lock_packages is None else options.python.lock_packages
    wheels = any(path.startswith(f"{WHEELS}/") for path in sources)
    # This is BentoML's condition: project wheels are included only if packages are locked.
    if (lock and lock.wheels) or (wheels and locked is not False):
        # The wheels are in src/; `build_include` copies them before packages are installed.
        frozen = replace(frozen, build_include=tuple(dict.fromkeys([*frozen.build_include, WHEELS])))
    local = {**local_packages(image, settings.files), **options.local_packages}
    lines = without_own_packages([*frozen.requirements, *settings.requirements], settings, local)
    paths = [*sources, *(path.removeprefix("src/") for path in frozen.files if path.startswith("src/"))]
    check_local_paths(lines, lambda path: _is_copied(path, frozen.build_include, paths), _LOCAL_REMEDY)
    place, packed = packages_place(options), options.python.pack_git_packages
    python.check_git(lines, place, packed=image.pack_git_packages is not False if packed is None else packed)
    requirements = python.assemble_requirements(lines, settings, place)
    if lock is None and exported is None:
        requirements = python.resolve_requirements(
            requirements, settings.resolve, frozen.python_version, is_wanted=locked is not False
        )
    envs = merge_envs(docker_env(options, settings.files), envs)
    files = {
        **frozen.files,
        "env/docker/Dockerfile": dockerfile.render(_recipe(frozen, requirements, options, envs, models)).encode(),
        "env/docker/entrypoint.sh": ENTRYPOINT.encode(),
        "env/python/requirements.in": requirements.roots.encode(),
        "env/python/requirements.txt": requirements.text.encode(),
    }
    if requirements.hashed is not None:
        files["env/python/requirements.lock.txt"] = requirements.hashed.encode()
    document = {"spec": 2, "image": _image_document(frozen, requirements.text)}
    return Environment(document, tuple(envs), files, requirements.bentoml_version)


def _is_copied(path: str, build_include: Iterable[str], files: Collection[str]) -> bool:
    """Return whether an image build copies one of `files`, or a project's directory, before it installs packages."""
    parents = [posixpath.normpath(parent) for parent in build_include]
    if not any(parent in (".", path) or path.startswith(f"{parent}/") for parent in parents):
        return False
    return path in files or any(posixpath.join(path, name) in files for name in ("pyproject.toml", "setup.py"))


def _image_document(image: FrozenImage, requirements: str) -> dict[str, object]:
    return {
        "base_image": image.base_image,
        "python_version": image.python_version,
        "commands": [command.text for command in image.commands],
        "python_requirements": requirements,
        "post_commands": [command.text for command in image.post_commands],
        "build_include": list(image.build_include),
    }


def _recipe(
    image: FrozenImage,
    requirements: python.Requirements,
    options: BuildOptions,
    envs: Sequence[EnvVariable],
    models: bool,
) -> dockerfile.Recipe:
    packages: list[str] = []
    commands = list(image.commands)
    while commands and commands[0].packages:
        packages += commands.pop(0).packages
    return dockerfile.Recipe(
        base_image=image.base_image,
        install=_install(requirements, options, bool(image.build_include)),
        distro=distros.get(image.distro) if image.distro else None,
        packages=tuple(packages),
        commands=tuple(commands),
        post_commands=image.post_commands,
        envs=tuple(envs),
        python_version=image.python_version,
        build_include=tuple(dict.fromkeys(image.build_include)),
        models=models,
    )


def _install(requirements: python.Requirements, options: BuildOptions, from_sources: bool) -> str:
    """Return the command that installs requirements. If `from_sources` is true, the command runs in src/."""
    name, flags = "requirements.txt", [f"--allow-insecure-host {host}" for host in options.python.trusted_host or ()]
    if requirements.hashed is not None:
        name, flags = "requirements.lock.txt", [*flags, "--require-hashes"]
    uv, root = ("uv --directory src", '"$BENTO_PATH"/') if from_sources else ("uv", "")
    return " ".join([f"{uv} pip install", *flags, f"-r {root}env/python/{name}"])
