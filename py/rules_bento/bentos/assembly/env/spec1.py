"""Renders `env/` in the format of spec 1, for legacy services, conda, CUDA, templates, and wheels."""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.assembly.declared_packages import without_own_packages
from rules_bento.bentos.assembly.env import dockerfile, python
from rules_bento.bentos.assembly.env.common import ENTRYPOINT, BentoSettings, Environment, docker_env, merge_envs
from rules_bento.bentos.assembly.image_steps import check_script
from rules_bento.bentos.assembly.named_files import inline_requirements
from rules_bento.bentos.build_options import distros
from rules_bento.bentos.build_options.options import (
    BuildOptions,
    Conda,
    EnvVariable,
    channels,
    packages_place,
    with_defaults,
)
from rules_bento.bentos.packages.indexes import unique_index
from rules_bento.bentos.packages.requirement_syntax import check_local_paths, join, package_lines

if TYPE_CHECKING:
    from rules_bento.bentos.build_options.project import ProjectFiles


_LOCAL_REMEDY = (
    "Build a wheel, for example with `uv build --wheel DIRECTORY`, add the wheel to python.wheels, and remove the line."
)


def make(settings: BentoSettings, envs: Sequence[EnvVariable], *, models: bool) -> Environment:
    """Return the environment for the settings. Raises BentoError for options that spec 1 doesn't support."""
    options = settings.options
    _check(options, envs)
    requirements = _requirements(settings)
    if settings.lock is None:
        python_version = options.docker.python_version or settings.python_version
        requirements = python.resolve_requirements(
            requirements,
            settings.resolve,
            python_version,
            is_wanted=options.python.lock_packages is not False,
            options=join(python.option_lines(_without_pip_args(options))),
        )
    is_resolved = settings.lock is None and requirements.text != requirements.roots
    env = docker_env(options, settings.files)
    variables = merge_envs(env, envs)
    environment = _conda_environment(options.conda, settings.files, options.at("conda.environment_yml"))
    values_of_variables = {one.name: dockerfile.quote_value(one.value) for one in variables}
    locked = settings.lock is not None or is_resolved
    values = with_defaults(options, settings.python_version, values_of_variables, locked=locked)
    files = {
        "env/docker/entrypoint.sh": ENTRYPOINT.encode(),
        "env/python/install.sh": python.install_script(options.python, requirements.bentoml_version).encode(),
        "env/python/requirements.txt": requirements.roots.encode(),
        "env/python/version.txt": (values["docker"]["python_version"] or settings.python_version).encode(),
        **_named_files(settings),
    }
    if requirements.hashed is not None or is_resolved:
        files["env/python/requirements.lock.txt"] = (requirements.hashed or requirements.text).encode()
    if environment is not None:
        files["env/conda/environment.yml"] = environment.encode()
    recipe = _recipe(settings, values["docker"], environment, variables, models)
    text = _dockerfile(settings, recipe, values["docker"])
    files["env/docker/Dockerfile"] = text.encode()
    document = {"spec": 1, "runners": [], "apis": [], **{key: values[key] for key in ("docker", "python", "conda")}}
    return Environment(document, tuple(envs), files, requirements.bentoml_version)


def _check(options: BuildOptions, envs: Sequence[EnvVariable]) -> None:
    """Raise BentoError for options that spec 1 ignores, and for environment variables with the stage `build`."""
    docker = options.docker
    if docker.distro == "amazonlinux" and not docker.base_image:
        problem = "BentoML doesn't support amazonlinux with spec 1 of bento.yaml"
        raise BentoError(problem, place=options.at("docker.distro"), remedy="Set base_image, or use another distro.")
    if docker.base_image and docker.system_packages:
        problem = "with spec 1 of bento.yaml, BentoML ignores this option if docker.base_image is set"
        remedy = "Install the packages in docker.setup_script."
        raise BentoError(problem, place=options.at("docker.system_packages"), remedy=remedy)
    for env in envs:
        if env.stage == "build":
            raise BentoError(
                f"{env.name} has the stage 'build', but with spec 1 of bento.yaml, the image would contain the value",
                place=options.at("envs"),
                remedy="Use the stage 'all', or remove the options that require spec 1.",
            )


def _requirements(settings: BentoSettings) -> python.Requirements:
    if settings.lock and settings.lock.wheels:
        problem = "spec 1 of bento.yaml doesn't support wheels in requirements"
        remedy = "Set python.wheels in the bentofile, or remove the options that require spec 1."
        raise BentoError(problem, place="requirements", remedy=remedy)
    options, place = settings.options, packages_place(settings.options)
    lines = package_lines(options.python.packages or (), place)
    if options.python.requirements_txt:
        constraints = False if settings.lock else None
        lines = inline_requirements(options.python.requirements_txt, settings.files, place, constraints=constraints)
    lines = without_own_packages([*lines, *settings.requirements], settings, options.local_packages)
    wheels = {f"wheels/{path.rpartition('/')[2]}" for path in options.python.wheels or ()}
    check_local_paths(lines, (wheels | ({"wheels"} if wheels else set())).__contains__, _LOCAL_REMEDY)
    python.check_git(lines, place, packed=options.python.pack_git_packages is not False)
    unique_index([*python.option_lines(_without_pip_args(options)), *lines])
    return python.assemble_requirements(lines, settings, place)


def _without_pip_args(options: BuildOptions) -> BuildOptions:
    return replace(options, python=replace(options.python, pip_args=None))


def _named_files(settings: BentoSettings) -> dict[str, bytes]:
    """Return the setup script, template, and wheels as a mapping of paths in the Bento to contents."""
    options, files = settings.options, settings.files
    named_files = {}
    if options.docker.setup_script:
        place = options.at("docker.setup_script")
        content = files.read(options.docker.setup_script, place)
        check_script(options.docker.setup_script, content, place)
        named_files["env/docker/setup_script"] = content
    if options.docker.dockerfile_template:
        template = files.read(options.docker.dockerfile_template, options.at("docker.dockerfile_template"))
        named_files["env/docker/Dockerfile.template"] = template
    for wheel in options.python.wheels or ():
        name = wheel.rpartition("/")[2]
        named_files[f"env/python/wheels/{name}"] = files.read(wheel, options.at("python.wheels"))
    return named_files


def _recipe(
    settings: BentoSettings, docker: dict[str, Any], environment: str | None, envs: Sequence[EnvVariable], models: bool
) -> dockerfile.Recipe:
    options = settings.options
    recipe = dockerfile.Recipe(
        base_image=docker["base_image"] or "",
        install="sh env/python/install.sh",
        envs=tuple(envs),
        setup_script=options.docker.setup_script is not None,
        python_version=docker["python_version"],
        conda=environment is not None,
        models=models,
    )
    if docker["base_image"]:
        return recipe
    distro = distros.get(docker["distro"])
    packages = (*distro.packages, *(options.docker.system_packages or ()))
    image = distro.image(docker["python_version"])
    if options.docker.cuda_version:
        image = distro.cuda_image(options.docker.cuda_version)
        packages = (*packages, distro.cuda_python)
    elif not options.conda.is_empty:
        image = distro.conda_image
        recipe = replace(recipe, python_version=_conda_python_version(environment) or recipe.python_version)
    return replace(recipe, base_image=image, distro=distro, packages=packages)


def _dockerfile(settings: BentoSettings, recipe: dockerfile.Recipe, docker: dict[str, Any]) -> str:
    template = settings.options.docker.dockerfile_template
    if not template:
        return dockerfile.render(recipe)
    from rules_bento.bentos.assembly.env import template as templates

    place = settings.options.at("docker.dockerfile_template")
    return templates.render(settings.files.text(template, place), recipe, docker, template)


def _conda_environment(conda: Conda, files: ProjectFiles, place: str) -> str | None:
    """Return the content of environment.yml, from a file or the conda dependencies. Returns None if neither is set."""
    if conda.environment_yml:
        return files.text(conda.environment_yml, place)
    dependencies: list[Any] = list(conda.dependencies or ())
    if conda.pip:
        dependencies.append({"pip": list(conda.pip)})
    if not dependencies:
        return None
    import yaml

    text: str = yaml.safe_dump({"channels": channels(conda) or [], "dependencies": dependencies})
    return text


def _conda_python_version(environment: str | None) -> str | None:
    """Return the Python version in an environment.yml (`- python=3.11`), or None if no line specifies a version."""
    match = re.search(r"^\s*-\s*['\"]?python=+(\d+\.\d+)", environment or "", re.MULTILINE)
    return match[1] if match else None
