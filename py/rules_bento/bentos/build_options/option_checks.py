"""Validates individual values of options and images. Error messages begin with the location `place`."""

from __future__ import annotations

import re

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Collection, Iterable
from rules_bento.bentos.build_options import distros
from rules_bento.bentos.build_options.document import did_you_mean
from rules_bento.bentos.build_options.options import EnvVariable
from rules_bento.bentos.packages.requirement_syntax import check_lines, check_requirement, package_lines

STAGES = ("all", "build", "runtime")

# The extras of bentoml that `--enable-features` accepts.
FEATURES = (
    "all", "aws", "grpc", "grpc-channelz", "grpc-reflection", "io", "io-file", "io-image", "io-json", "io-pandas",
    "monitor-otlp", "tracing", "tracing-jaeger", "tracing-otlp", "tracing-zipkin", "triton",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_choice(value: str, known: Collection[str], place: str) -> str:
    """Return `value`. Raises BentoError if `value` isn't one of the `known` values."""
    if value not in known:
        near = did_you_mean(value, known)
        raise BentoError(f"invalid value {value!r}.{near} Valid values: {', '.join(known)}.", place=place)
    return value


def full_cuda_version(value: str, place: str) -> str | None:
    """Return the complete CUDA version, or None if `value` is empty. Raises BentoError for an unsupported version."""
    if value in ("", "None"):
        return None
    return distros.CUDA_VERSIONS[check_choice(value, distros.CUDA_VERSIONS, place)]


def check_env(env: EnvVariable, place: str) -> None:
    """Raise BentoError for an invalid environment variable."""
    if not _NAME.fullmatch(env.name):
        remedy = "Use letters, digits, and '_', and don't begin with a digit."
        raise BentoError(f"invalid variable name {env.name!r}", place=place, remedy=remedy)
    check_choice(env.stage, STAGES, f"{place}: stage of {env.name}")
    if re.search(r"[\n\r\0\ud800-\udfff]", env.value):
        problem = f"the value of {env.name} contains a line break or NUL, or isn't UTF-8"
        raise BentoError(problem, place=place, remedy="Remove the character.")


def parse_env(text: str, place: str) -> EnvVariable:
    """Parse `NAME[=value][;stage=...]`. Raises BentoError if `text` is invalid. The message begins with `place`."""
    setting, _, stage = text.partition(";stage=")
    name, _, value = setting.partition("=")
    if not _NAME.fullmatch(name) or (stage or "all") not in STAGES:
        shown = repr(name) if _NAME.fullmatch(name) else "a variable without a name"  # the value may be a secret
        stages = " or ".join(STAGES)
        raise BentoError(f"expected NAME=value or NAME=value;stage=STAGE ({stages}), got {shown}.", place=place)
    env = EnvVariable(name, value, stage or "all")
    check_env(env, place)
    return env


def short_python_version(text: str, place: str) -> str:
    """Return a Python version as `X.Y`, without the patch release. Raises BentoError for an invalid version."""
    match = re.fullmatch(r"(\d)\.(\d{1,2})(\.\w+)?", text)
    if not match:
        raise BentoError(f"invalid Python version {text!r}", place=place, remedy="Use a version such as '3.12'.")
    return f"{match[1]}.{match[2]}"


def is_system_package(package: str) -> bool:
    """Return whether `package` can be the name of a system package. Options and shell syntax aren't valid."""
    return re.fullmatch(r"[A-Za-z0-9][^\s;&|<>`$\\'\"]*", package) is not None


def check_system_package(package: str, place: str) -> None:
    """Raise BentoError if `package` isn't the name of a system package."""
    if not is_system_package(package):
        remedy = "Specify only package names. Move options and commands to a script (setup_script or run_script)."
        raise BentoError(f"invalid system package {package!r}", place=place, remedy=remedy)


def check_package(package: str, place: str) -> None:
    """Raise BentoError if `package` isn't exactly one requirement, or one line with options of pip."""
    # BentoML also accepts a trailing line break.
    if re.search(r"[\n\r]", package.strip()) or not package.strip():
        problem = f"expected a single requirement, got {package!r}"
        raise BentoError(problem, place=place, remedy="List each requirement separately.")
    if package.lstrip().startswith("-"):
        check_lines(package_lines([package.strip()], place))
        return
    check_requirement(package, place)


def check_features(features: Iterable[str], place: str) -> None:
    """Raise BentoError for an unknown extra of bentoml."""
    for feature in features:
        check_choice(feature, FEATURES, place)
