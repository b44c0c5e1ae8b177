"""Checks single values, for options and images alike. Each message begins with a place that the caller gives."""

from __future__ import annotations

import re

from rules_bento.build_options.document import did_you_mean
from rules_bento.build_options.options import EnvVariable
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

# PEP 508 and PEP 440, in a text whose blanks are single: most actions have no `packaging`.
_NAMED = r"[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?"
_SUFFIX = r"([-_.]?(alpha|beta|preview|pre|a|b|c|rc)[-_.]?\d*)?(-\d+|[-_.]?(post|rev|r)[-_.]?\d*)?([-_.]?dev[-_.]?\d*)?"
_RELEASE = r"v?(\d+!)?\d+(\.\d+)"
_CLAUSE = (
    rf"(=== ?[^ ;,)]+|(==|!=) ?{_RELEASE}*(\.\*|{_SUFFIX}(\+[a-z0-9]+([-_.][a-z0-9]+)*)?)|"
    rf"~= ?{_RELEASE}+{_SUFFIX}|(<=|>=|<|>) ?{_RELEASE}*{_SUFFIX})"
)
_CLAUSES = rf"({_CLAUSE}( ?, ?{_CLAUSE})* ?,?)?"
_REQUIREMENT = re.compile(
    rf"{_NAMED} ?(\[ ?({_NAMED}( ?, ?{_NAMED})*)? ?\])? ?(@ ?[^ ]+|\( ?{_CLAUSES} ?\)|{_CLAUSES}) ?"
    r"(; ?(?P<marker>.+))?",
    re.ASCII | re.IGNORECASE,
)
_VARIABLE = (
    r"((python|python_full|implementation|platform)_version|(os|implementation)_name|sys_platform|extras?|"
    r"platform_(release|system|machine|python_implementation)|dependency_groups|"
    r"os\.name|sys\.platform|platform\.(version|machine|python_implementation)|python_implementation)"
)
_OPERAND = rf"({_VARIABLE}\b|'[^']*'|\"[^\"]*\")"
_COMPARISON = re.compile(rf"{_OPERAND} ?(===?|~=|!=|<=?|>=?|(not )?in\b) ?{_OPERAND}")
_JOINED = re.compile(r"\( ?\0 ?\)|\0 ?(and|or) ?\0")
_MAX_PARENTHESES = 100
_ADDRESS = re.compile(r"[A-Za-z0-9./~][^\s@;<>=!\[]*/")
_EDITABLE = re.compile(r"(-e|--editable)(=|\s|$)")
# A version as conda's files have it.
_SINGLE_EQUALS = re.compile(r"[A-Za-z0-9][-.\w]*\s*(\[[^\]]*\])?\s*=(?!=)")


def check_env(env: EnvVariable, place: str) -> None:
    """Raise BentoError for a variable that no image can have."""
    if not _NAME.fullmatch(env.name):
        raise BentoError(f"{place}: {env.name!r} is no name of a variable: letters, digits and '_' make one.")
    if env.stage not in STAGES:
        near = did_you_mean(env.stage, STAGES)
        raise BentoError(f"{place}: the stage of {env.name} is {env.stage!r}.{near} Stages are {', '.join(STAGES)}.")
    if re.search(r"[\n\r\0]", env.value):
        raise BentoError(f"{place}: the value of {env.name} has a line break, which no Dockerfile can hold. Encode it.")


def parse_env(text: str, place: str) -> EnvVariable:
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
    env = EnvVariable(name, value, stage or "all")
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
        check_editable(package.strip(), place)
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
    check_requirement(package, place)


def check_requirement(text: str, place: str) -> None:
    """Raise BentoError for what neither pip nor uv takes for a package in a requirements file."""
    # Comments and hashes are of the file, not of the requirement.
    text = re.sub(r"\s+(#.*|--hash[= ]\S+)", "", text).strip()
    if _SINGLE_EQUALS.match(text):
        raise BentoError(f"{place}: {text!r} is not a requirement (PEP 508). Write '==', for which conda has '='.")
    requirement = _REQUIREMENT.fullmatch(" ".join(text.split()))
    if not _ADDRESS.match(text) and (not requirement or not _is_marker(requirement["marker"])):
        raise BentoError(f"{place}: {text!r} is not a requirement (PEP 508). Correct it.")


def _is_marker(text: str | None) -> bool:
    if text is None:
        return True
    if "\0" in text or text.count("(") > _MAX_PARENTHESES:
        return False
    before, text = "", _COMPARISON.sub("\0", text)
    while before != text:
        before, text = text, _JOINED.sub("\0", text)
    return text.strip() == "\0"


def check_editable(line: str, place: str) -> None:
    """Raise BentoError for a line that installs a directory, which an image does not have yet when it installs."""
    if _EDITABLE.match(line):
        raise BentoError(
            f"{place}: {line!r} installs a directory, which the image doesn't have when it installs packages. Remove "
            f"it: the service imports its own modules from the Bento. Add the directory's requirements instead."
        )


def check_features(features: Iterable[str], place: str) -> None:
    """Raise BentoError for what is no extra of bentoml."""
    for feature in features:
        if feature not in FEATURES:
            near = did_you_mean(feature, FEATURES)
            raise BentoError(f"{place}: {feature!r} is no feature of BentoML.{near} Known are {', '.join(FEATURES)}.")
