"""Converts the parsed options of a bentofile or a target to `BuildOptions`, and validates each value."""

from __future__ import annotations

import re

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any
from rules_bento.bentos.build_options import distros
from rules_bento.bentos.build_options.document import Document, Table, arguments, describe_value
from rules_bento.bentos.build_options.option_checks import (
    check_choice,
    check_env,
    check_package,
    check_system_package,
    full_cuda_version,
    short_python_version,
)
from rules_bento.bentos.build_options.options import (
    CONDA,
    DOCKER,
    GROUPS,
    PYTHON,
    TOP,
    BuildOptions,
    Conda,
    Docker,
    EnvVariable,
    ModelChoice,
    Python,
    check,
)

_HINTS = {key: f" Move the key to {group!r}." for group, keys in GROUPS.items() for key in keys} | {
    "additional_models": " Write 'models'.",
    "dependencies": " Use 'packages' of 'python' for pip, or 'dependencies' of 'conda'.",
    "env": " Write 'envs' (a list of name, value, stage), or 'env' of 'docker'.",
    "image": " Declare the image in the service: @bentoml.service(image=bentoml.images.Image(...)).",
    "requirements": " Write 'requirements_txt' or 'packages' of 'python'.",
    "version": " Set the version of the build: bento_package(version = ...), or --version.",
}
_FILTER = re.compile(r"label:[^\s=,]+(=[^\s=,]*)?")


def parse(document: Document) -> BuildOptions:
    """Read and check the options in a document. Raises BentoError with the location of the first invalid value."""
    top = Table(document, (), TOP, _HINTS)
    options = BuildOptions(
        service=top.string("service") or None,
        name=top.string("name"),
        description=top.string("description"),
        labels=_labels(top),
        include=top.strings("include"),
        exclude=top.strings("exclude"),
        docker=_docker(Table(document, ("docker",), DOCKER)),
        python=_python(Table(document, ("python",), PYTHON)),
        conda=_conda(Table(document, ("conda",), CONDA)),
        models=_models(document, top),
        envs=_envs(document, top),
        args=_args(document, top),
        places=_places(document),
    )
    check(options)
    return options


def _places(document: Document) -> dict[str, str]:
    places = {}
    for key, value in document.data.items():
        places[key] = document.at((key,))
        if key in GROUPS and isinstance(value, dict):
            places.update({f"{key}.{inner}": document.at((key, inner)) for inner in value})
    for key in ("include", "exclude"):
        for index, _ in enumerate(document.data.get(key) or ()):
            places[f"{key}[{index}]"] = document.at((key, index))
    return places


def _labels(top: Table) -> dict[str, str]:
    labels = top.mapping("labels") or {}
    for key in labels:
        if not key.strip():
            raise BentoError("a key is empty", place=top.at("labels"), remedy="Specify a key for each label.")
    return labels


def _args(document: Document, top: Table) -> dict[str, Any]:
    return arguments(document, ("args",)) if top.typed("args", dict, "a mapping") else {}


def _envs(document: Document, top: Table) -> tuple[EnvVariable, ...]:
    envs = []
    for index, item in enumerate(top.items("envs")):
        if isinstance(item, str):
            problem = f"expected a mapping with name, value, and optionally stage, got {item!r}"
            remedy = f"Write {{name: {item.partition('=')[0]}, value: {item.partition('=')[2]!r}}}."
            raise BentoError(problem, place=top.at("envs", index), remedy=remedy)
        table = Table(document, ("envs", index), ("name", "value", "stage"))
        if not table.has("name"):
            raise BentoError("the variable has no `name`", place=top.at("envs", index), remedy="Add the key `name`.")
        env = EnvVariable(table.string("name") or "", table.string("value") or "", table.string("stage") or "all")
        check_env(env, document.at(("envs", index)))
        envs.append(env)
    return tuple(envs)


def _models(document: Document, top: Table) -> tuple[ModelChoice, ...] | None:
    if not top.has("models"):
        return None
    models = []
    for index, item in enumerate(top.items("models")):
        if isinstance(item, str):
            models.append(ModelChoice(item))
            continue
        table = Table(document, ("models", index), ("tag", "filter", "alias"))
        tag = table.string("tag")
        if not tag:
            remedy = "Add a tag such as 'iris_clf:latest'."
            raise BentoError("the model has no tag", place=top.at("models", index), remedy=remedy)
        choice = ModelChoice(tag, table.string("filter"), table.string("alias"))
        if choice.alias == "":
            remedy = "Specify an alias, or remove the key."
            raise BentoError("the alias is empty", place=table.at("alias"), remedy=remedy)
        for condition in (choice.filter or "").split(",") if choice.filter is not None else ():
            if not _FILTER.fullmatch(condition.strip()):
                place = table.at("filter")
                raise BentoError(f"expected label:KEY or label:KEY=VALUE, got {condition.strip()!r}.", place=place)
        models.append(choice)
    return tuple(models)


def _docker(table: Table) -> Docker:
    env, env_file = _docker_env(table)
    distro, version = table.string("distro"), table.string("python_version")
    return Docker(
        distro=None if distro is None else check_choice(distro, distros.NAMES, table.at("distro")),
        python_version=None if version is None else short_python_version(version, table.at("python_version")),
        cuda_version=full_cuda_version(table.string("cuda_version") or "", table.at("cuda_version")),
        env=env,
        env_file=env_file,
        system_packages=_system_packages(table),
        setup_script=table.string("setup_script"),
        base_image=_base_image(table),
        dockerfile_template=table.string("dockerfile_template"),
    )


def _docker_env(table: Table) -> tuple[dict[str, str] | None, str | None]:
    value = table.value("env")
    if not value:
        return None, None
    if isinstance(value, str):
        return None, value
    if isinstance(value, dict):
        env = table.mapping("env") or {}
    else:
        table.typed("env", list, "a mapping, a list of NAME=VALUE, or the path of a dotenv file")
        env = {}
        for number, text in enumerate(table.strings("env") or (), 1):
            name, equals, setting = text.partition("=")
            if not equals:  # the item might be a secret
                raise BentoError(f"expected NAME=VALUE in item {number}.", place=table.at("env"))
            env[name] = setting
    for name, setting in env.items():
        check_env(EnvVariable(name, setting), table.at("env"))
    return env, None


def _system_packages(table: Table) -> tuple[str, ...] | None:
    packages = table.strings("system_packages")
    for package in packages or ():
        check_system_package(package, table.at("system_packages"))
    return packages


def _base_image(table: Table) -> str | None:
    value = table.string("base_image")
    if value is None:
        return None
    name = " ".join(value.split())
    if not name or " " in name:
        remedy = "Use a name such as 'python:3.12-slim'."
        raise BentoError(f"invalid image name {value!r}", place=table.at("base_image"), remedy=remedy)
    return name


def _python(table: Table) -> Python:
    packages = table.strings("packages")
    for package in packages or ():
        check_package(package, table.at("packages"))
    urls = {key: table.strings(key, or_one=True) for key in ("trusted_host", "find_links", "extra_index_url")}
    index_url = table.string("index_url")
    for key, values in {**urls, "index_url": (index_url,) if index_url else None}.items():
        for value in values or ():
            if not value or re.search(r"\s", value):
                raise BentoError(f"expected a URL without spaces, got {value!r}.", place=table.at(key))
    pip_args = table.string("pip_args")
    if pip_args and "\n" in pip_args.strip():
        raise BentoError("expected a single line", place=table.at("pip_args"), remedy="Join the lines.")
    return Python(
        requirements_txt=table.string("requirements_txt"),
        packages=packages,
        lock_packages=table.boolean("lock_packages"),
        pack_git_packages=table.boolean("pack_git_packages"),
        index_url=index_url,
        no_index=table.boolean("no_index"),
        pip_args=pip_args,
        wheels=_wheels(table),
        is_src_layout=table.boolean("is_src_layout"),
        **urls,
    )


def _wheels(table: Table) -> tuple[str, ...] | None:
    wheels = table.strings("wheels")
    names = [wheel.rpartition("/")[2] for wheel in wheels or ()]
    for wheel, name in zip(wheels or (), names, strict=True):
        if "*" in wheel or "?" in wheel:
            remedy = "List the files."
            raise BentoError(f"BentoML doesn't expand the pattern {wheel!r}", place=table.at("wheels"), remedy=remedy)
        if not name.endswith((".whl", ".tar.gz", ".zip")):
            place = table.at("wheels")
            remedy = "Use a .whl, .tar.gz, or .zip file."
            raise BentoError(f"{wheel!r} isn't a wheel or a source archive", place=place, remedy=remedy)
        if names.count(name) > 1:
            remedy = "Remove one of the files."
            raise BentoError(f"two files are named {name!r}", place=table.at("wheels"), remedy=remedy)
    return wheels


def _conda(table: Table) -> Conda:
    dependencies = []
    for item in table.items("dependencies"):
        if isinstance(item, dict):
            pip = item.get("pip")
            if set(item) != {"pip"} or not isinstance(pip, list) or not all(isinstance(one, str) for one in pip):
                problem = "expected a mapping with only the key 'pip', whose value is a list of strings."
                raise BentoError(problem, place=table.at("dependencies"))
            dependencies.append({"pip": list(pip)})
        elif isinstance(item, str):
            dependencies.append(item)  # type: ignore[arg-type]
        else:
            raise BentoError(f"expected a string, got {describe_value(item)}.", place=table.at("dependencies"))
    return Conda(
        environment_yml=table.string("environment_yml"),
        channels=table.strings("channels"),
        dependencies=tuple(dependencies) if table.has("dependencies") else None,
        pip=table.strings("pip"),
    )
