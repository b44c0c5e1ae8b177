"""Checks single values, for options and images alike. Each message begins with a place that the caller gives."""

from __future__ import annotations

import re

from rules_bento.build_options.document import did_you_mean
from rules_bento.build_options.options import Env
from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

STAGES = ("all", "build", "runtime")

FEATURES = (
    "all",
    "aws",
    "grpc",
    "grpc-channelz",
    "grpc-reflection",
    "io",
    "io-file",
    "io-image",
    "io-json",
    "io-pandas",
    "monitor-otlp",
    "tracing",
    "tracing-jaeger",
    "tracing-otlp",
    "tracing-zipkin",
    "triton",
)
"""The extras of bentoml that `--enable-features` takes."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# A version as conda's files have it.
_SINGLE_EQUALS = re.compile(r"[A-Za-z0-9][-.\w]*\s*(\[[^\]]*\])?\s*=(?!=)")


def check_env(env: Env, place: str) -> None:
    """Raise BentoError for a variable that no image can have."""
    if not _NAME.fullmatch(env.name):
        raise BentoError(f"{place}: {env.name!r} is no name of a variable: letters, digits and '_' make one.")
    if env.stage not in STAGES:
        near = did_you_mean(env.stage, STAGES)
        raise BentoError(f"{place}: the stage of {env.name} is {env.stage!r}.{near} Stages are {', '.join(STAGES)}.")
    if re.search(r"[\n\r\0]", env.value):
        raise BentoError(f"{place}: the value of {env.name} has a line break, which no Dockerfile can hold. Encode it.")


def env_of_text(text: str, place: str) -> Env:
    """Read `NAME[=value][;stage=...]`, as attributes have it.

    Raises BentoError, beginning with `place`, for another form.
    """
    setting, _, stage = text.partition(";stage=")
    name, _, value = setting.partition("=")
    if not _NAME.fullmatch(name) or (stage or "all") not in STAGES:
        shown = repr(name) if _NAME.fullmatch(name) else "what has no name"  # the value may be a secret
        raise BentoError(
            f"{place}: {shown} cannot be read. Write NAME=value, if wanted with ;stage={', ;stage='.join(STAGES)}."
        )
    env = Env(name, value, stage or "all")
    check_env(env, place)
    return env


def short_python_version(text: str, place: str) -> str:
    """Return the `X.Y` of a version: images have its newest patch release.

    Raises BentoError for text that is no version.
    """
    match = re.fullmatch(r"(\d)\.(\d{1,2})(\.\w+)?", text)
    if not match:
        raise BentoError(f"{place} is {text!r}, which is not a version of Python. Write one such as '3.12'.")
    return f"{match[1]}.{match[2]}"


def is_system_package(package: str) -> bool:
    """Return whether a package manager of a distribution takes it for a package."""
    return re.fullmatch(r"[A-Za-z0-9][^\s;&|<>`$\\'\"]*", package) is not None


def check_system_package(package: str, place: str) -> None:
    """Raise BentoError for what no package manager of a distribution takes for a package."""
    if not is_system_package(package):
        raise BentoError(f"{place}: {package!r} is no name of a system package. Options and commands go into a script.")


def check_package(package: str, place: str) -> None:
    """Raise BentoError for what is no single requirement: BentoML would write it into the requirements as it is."""
    # A line break at its end is none of the requirement's; BentoML takes it as well.
    if re.search(r"[\n\r]", package.strip()) or not package.strip():
        raise BentoError(f"{place}: {package!r} is empty or has several lines. Write a requirement to an item.")
    if package.lstrip().startswith("-"):
        flag = package.split()[0].partition("=")[0]
        options = {
            "-i": "index_url",
            "--index-url": "index_url",
            "--extra-index-url": "extra_index_url",
            "-f": "find_links",
            "--find-links": "find_links",
            "--trusted-host": "trusted_host",
            "--no-index": "no_index",
            "-r": "requirements_txt",
            "--requirement": "requirements_txt",
        }
        remedy = f"Write python.{options[flag]}." if flag in options else "Put it into a file, as requirements_txt."
        raise BentoError(f"{place}: {package!r} is an option of pip, not a package. {remedy}")
    if not re.match(r"[A-Za-z0-9./]|git\+", package.strip()):
        raise BentoError(f"{place}: {package!r} is not a requirement (PEP 508). Correct it.")
    if _SINGLE_EQUALS.match(package.strip()):
        raise BentoError(f"{place}: {package!r} is not a requirement (PEP 508). Write '==', for which conda has '='.")


def check_features(features: Iterable[str], place: str) -> None:
    """Raise BentoError for what is no extra of bentoml."""
    for feature in features:
        if feature not in FEATURES:
            near = did_you_mean(feature, FEATURES)
            raise BentoError(f"{place}: {feature!r} is no feature of BentoML.{near} Known are {', '.join(FEATURES)}.")
