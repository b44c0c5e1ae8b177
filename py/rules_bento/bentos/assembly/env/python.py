"""Renders `env/python`: the requirements and, with spec 1, an installation script."""

from __future__ import annotations

import re
import shlex

from rules_bento.base.dataclasses_lite import dataclass, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Sequence
from rules_bento.bentos.packages.indexes import unique_index
from rules_bento.bentos.packages.requirement_syntax import (
    FILE_OPTIONS,
    Line,
    address_name,
    check_lines,
    exact_version,
    is_same_version,
    join,
    local_path,
    logical_lines,
    lowest_version,
    normalize_name,
    parse,
    plain_pin,
    requirement_name,
)

if TYPE_CHECKING:
    from packaging import requirements as pep508

    from rules_bento.bentos.assembly.env.common import BentoSettings, Resolver
    from rules_bento.bentos.build_options.options import BuildOptions, Python

# Options of requirements files that uv also applies.
_FILE_OPTIONS = FILE_OPTIONS.keys() - {"--pre", "--prefer-binary", "--require-hashes", "--use-feature"}


def option_lines(options: BuildOptions) -> list[Line]:
    """Return the index and installer options as lines of a requirements file.

    Raises BentoError if requirements files don't support an option in `pip_args`.
    """
    python = options.python
    found = [("index_url", f"--index-url {python.index_url}")] if python.index_url else []
    found += [("no_index", "--no-index")] if python.no_index else []
    found += [("trusted_host", f"--trusted-host {host}") for host in python.trusted_host or ()]
    found += [("extra_index_url", f"--extra-index-url {url}") for url in python.extra_index_url or ()]
    found += [("find_links", f"--find-links {link}") for link in python.find_links or ()]
    place = options.at("python.pip_args")
    found += [("pip_args", text) for text in _argument_lines(python.pip_args or "", place)]
    lines = [Line(options.at(f"python.{key}"), 0, text, text) for key, text in found]
    check_lines(lines)
    return lines


def _argument_lines(pip_args: str, place: str) -> list[str]:
    arguments = pip_args.split()
    lines = []
    while arguments:
        flag, equals, value = arguments.pop(0).partition("=")
        if flag not in _FILE_OPTIONS:
            problem = f"spec 2 doesn't support {flag!r}, so BentoML would ignore the option"
            raise BentoError(problem, place=place, remedy="Remove the option, or set spec = 1 (--spec 1).")
        if flag != "--no-index" and not equals:
            if not arguments:
                raise BentoError(f"expected a value after {flag!r}.", place=place)
            value = arguments.pop(0)
        lines.append(f"{flag} {value}".strip())
    return lines


def _add_pins(text: str, pins: Sequence[str]) -> str:
    """Return the packages that libraries require (`name==version`, or only `name`), and that `text` doesn't contain.

    Raises BentoError if `text` pins a different version, or if `text` has hashes and one of the packages is missing.
    """
    if not pins:
        return ""
    declared: dict[str, list[Line]] = {}
    for requirement in parse(text, "requirements")[0]:
        declared.setdefault(requirement.name, []).append(requirement)
    pinned = {requirement_name(pin) for pin in pins if "==" in pin}
    required = [pin for pin in pins if pin not in pinned]
    missing = [pin for pin in required if not _satisfies_pin(declared.get(requirement_name(pin), []), pin)]
    if missing and "--hash=" in text:
        remedy = "Add the package to the source requirements (for example, requirements.in), and generate the "
        remedy += "requirements file again."
        raise BentoError(f"the requirements file with hashes doesn't contain {missing[0]}", place="deps", remedy=remedy)
    return "".join(f"{pin}\n" for pin in missing)


def _satisfies_pin(declared: Sequence[Line], pin: str) -> bool:
    """Return whether the requirements for a package (`declared`) include `pin` or a requirement with hashes.

    If `pin` has no version, returns True for any requirement. Raises BentoError if all requirements contradict `pin`.
    """
    version = pin.partition("==")[2]
    if not version:
        return bool(declared)
    same = [each for each in declared if each.pin and is_same_version(each.pin[1], version)]
    if declared and not same and all(each.pin for each in declared):
        problem = f"{pin} from a rules_python package hub conflicts with {declared[0].text} in the requirements"
        remedy = "Lock the same version in the package hub and in the requirements."
        raise BentoError(problem, place="deps", remedy=remedy)
    return any(each.hashes for each in declared) or any(";" not in each.text for each in same)


def check_git(lines: Iterable[Line], place: str, *, packed: bool) -> None:
    """If `packed` (`pack_git_packages`) is true, raise BentoError for git requirements. Image builds can't use git."""
    for line in lines if packed else ():
        if re.search(r"(^|\s|@)git\+", line.text):
            problem = f"an image build without network access can't clone {line.text!r}"
            remedy = (
                "Add a source archive of the package to the wheels option, or set python.pack_git_packages to false."
            )
            raise BentoError(problem, place=place, remedy=remedy)


@dataclass(frozen=True)
class Requirements:
    """The requirements in env/python, including bentoml.

    `roots` contains the declared requirements, and `text` contains the requirements to install. `hashed` is `text` with
    hashes. `hashed` is None if there is no lock, or if `text` contains archives from the Bento.
    """

    roots: str
    text: str
    hashed: str | None
    bentoml_version: str
    declared: tuple[Line, ...] = ()  # lines of `text` with their places, for messages


def assemble_requirements(lines: Sequence[Line], settings: BentoSettings, place: str) -> Requirements:
    """Return the requirements, including bentoml with the extras `features` of the settings.

    `lines` contains the requirements that are declared at `place`. If the settings have a lock, `pins` are ignored, and
    the lock must contain bentoml, `features`, and all packages in `lines`. Otherwise, `pins` must not contradict
    `lines`, and `lines` with hashes must contain all packages. Raises BentoError if a condition isn't met.
    """
    lines, lock, features = unique_index(lines), settings.lock, settings.features
    if lock is None:
        added = _add_pins(join(lines), settings.pins)
        lines = [*lines, *logical_lines(added, "deps")]
        text, version = _with_bentoml(lines, settings.bentoml_version, features, is_chosen=settings.is_bentoml_chosen)
        return Requirements(text, text, None, version, tuple(lines))
    match = re.search(r"^bentoml==([^\s;\\]+)", lock.pinned, re.MULTILINE)
    if not match:
        raise BentoError("bentoml is missing", place="requirements", remedy="Add bentoml from the package hub.")
    declared_names = _unconditional_names(lines)
    locked_names = _unconditional_names(logical_lines(lock.pinned)) | lock.wheels if declared_names else set()
    missing = sorted(declared_names - locked_names)
    if missing:
        problem = f"the target's requirements attribute doesn't contain these packages: {', '.join(missing)}"
        remedy = "Add each package to requirements, or the py_library that contains it to deps."
        raise BentoError(problem, place=place, remedy=remedy)
    extras = re.search(r"^bentoml\s*\[([^]]*)]", lock.roots, re.MULTILINE)
    missing_extras = sorted(set(features) - {extra.strip() for extra in (extras[1] if extras else "").split(",")})
    if missing_extras:
        wanted = f"bentoml[{','.join(sorted(features))}]"
        problem = f"the lock contains bentoml without these extras: {', '.join(missing_extras)}"
        remedy = f"Add {wanted!r} to the requirement_specifiers attribute."
        raise BentoError(problem, place="enable_features", remedy=remedy)
    # Lines that aren't packages: options, and archives that the Bento includes.
    archives = [line for line in lines if not line.flag and local_path(line.text)]
    text = join(line for line in lines if line.flag or line in archives)
    hashed = None if archives else text + lock.pinned_with_hashes
    return Requirements(text + lock.links + lock.roots, text + lock.pinned, hashed, match[1])


def resolve_requirements(
    requirements: Requirements, resolve: Resolver | None, python_version: str, *, is_wanted: bool, options: str = ""
) -> Requirements:
    """Return the requirements with the packages that `resolve` locks, if it is set.

    `options` are further lines of a requirements file for `resolve`, such as the index.
    """
    if not resolve:
        return requirements
    places = {line.text: line for line in requirements.declared}
    lines = logical_lines(options + requirements.text, "requirements")
    locked = resolve([places.get(line.text, line) for line in lines], python_version, is_wanted)
    if locked is None:
        return requirements
    options = join(line for line in logical_lines(requirements.text) if line.flag)
    # If a package has no hash, such as one of a Git repository, installers can't require hashes.
    found = re.search(r"^bentoml(?:\[[^]]*])?==([^\s;\\]+)", locked.pinned, re.MULTILINE)
    version = found[1] if found else requirements.bentoml_version
    is_hashed = locked.pins and all(hashes for _, hashes in locked.pins)
    hashed = options + locked.pinned_with_hashes if is_hashed else None
    return replace(requirements, text=options + locked.pinned, hashed=hashed, bentoml_version=version)


def _with_bentoml(lines: Sequence[Line], version: str, features: Sequence[str], *, is_chosen: bool) -> tuple[str, str]:
    """Add bentoml with the extras `features` to `lines`. Returns the requirements as text, and bentoml's version.

    `version` applies if no line names bentoml. It limits the lines that do only if `is_chosen` is true.
    """
    text, is_address = join(lines), False
    own = [line.text for line in lines if requirement_name(line.text) == "bentoml"]
    if len(own) == 1 and not features and (pin := plain_pin(own[0])):
        return text, pin[1]
    ranges: list[tuple[Line, pep508.Requirement]] = []
    for line in lines:
        requirement = line.parse() if requirement_name(line.text) == "bentoml" else None
        is_address |= bool(requirement.url if requirement else _is_bentoml_address(line))
        ranges += [(line, requirement)] if requirement and not requirement.url else []
    if ranges and (not is_chosen or any(exact_version(each) for _, each in ranges)):
        line, requirement = next((each for each in ranges if exact_version(each[1])), ranges[0])
        if exact := exact_version(requirement):
            _check_bentoml(ranges, exact)
        elif not all(each.specifier.contains(version, prereleases=True) for _, each in ranges):
            version = lowest_version(requirement) or version
        named = _bentoml_requirement(features, requirement.extras)
        changed = line._replace(written=re.sub(r"\w+(\s*\[[^]]*])?", named, line.written, count=1))
        return join(changed if each is line and features else each for each in lines), exact or version
    if is_address:
        if features:
            problem = "the option isn't supported if the bentoml requirement contains a URL"
            remedy = "Add the extras to the requirement, such as bentoml[grpc] @ URL."
            raise BentoError(problem, place="enable_features", remedy=remedy)
        return text, version
    if "--hash=" in text:
        problem = "the requirements file with hashes doesn't contain bentoml"
        remedy = "Add bentoml to the source requirements (for example, requirements.in), and generate the "
        remedy += "requirements file again."
        raise BentoError(problem, place="requirements", remedy=remedy)
    _check_bentoml(ranges, version)
    return f"{text}{_bentoml_requirement(features)}=={version}\n", version


def _is_bentoml_address(line: Line) -> bool:
    return "bentoml" in line.text.lower() and not line.flag and address_name(line.text) == "bentoml"


def _check_bentoml(ranges: Iterable[tuple[Line, pep508.Requirement]], version: str) -> None:
    """Raise BentoError if a requirement for bentoml excludes the `version` that the Bento pins."""
    for line, requirement in ranges:
        if not requirement.specifier.contains(version, prereleases=True):
            problem = f"{line.text!r} excludes BentoML {version}, which the Bento requires"
            remedy = f"Specify the exact version, such as bentoml=={lowest_version(requirement) or 'X.Y.Z'}."
            raise BentoError(problem, place=line.place, remedy=remedy)


def _bentoml_requirement(features: Iterable[str], extras: Iterable[str] = ()) -> str:
    """Return a requirement for bentoml with the extras in `features` and `extras`, such as `bentoml[grpc,io]`."""
    joined = ",".join(sorted({*extras, *features}))
    return f"bentoml[{joined}]" if joined else "bentoml"


def _unconditional_names(lines: Iterable[Line]) -> set[str]:
    """Return the normalized names of the requirements that have no marker. Ignores files and directories."""
    packages = [line for line in lines if line.text and not line.flag and not local_path(line.text)]
    pins = {pin[0] for line in packages if (pin := plain_pin(line.text))}
    others = [line.parse() for line in packages if not plain_pin(line.text)]
    return pins | {normalize_name(each.name) for each in others if each and each.marker is None}


_INSTALL = """\
# Installs the Bento's Python packages into the environment $VIRTUAL_ENV (default: the environment of python3).
# BentoML's image runs this script as `bash -euxo pipefail install.sh`; any POSIX shell can run it.
set -eu
cd -- "$(dirname -- "$0")"
: "${{BENTOML_VERSION:={version}}}"

if [ -n "${{VIRTUAL_ENV:-}}" ]; then
    PATH="$VIRTUAL_ENV/bin:$PATH"
    export PATH
    if [ -f ../conda/environment.yml ]; then
        # Conda installs its packages into the Python of the environment, which must not hide them.
        sed -i 's/^include-system-site-packages = false$/include-system-site-packages = true/' "$VIRTUAL_ENV/pyvenv.cfg"
    fi
fi

install() {{
    if command -v uv >/dev/null 2>&1; then
        uv pip install "$@"
    else
        python3 -m pip install "$@"
    fi
}}

set -- {arguments}

if [ -f requirements.lock.txt ]; then
    if grep -q -e '--hash=' requirements.lock.txt; then
        install "$@" --require-hashes -r requirements.lock.txt
    else
        install "$@" -r requirements.lock.txt
    fi
elif [ -f requirements.txt ]; then
    install "$@" -r requirements.txt
fi

for archive in wheels/*; do
    case $archive in
    *.whl | *.tar.gz | *.zip) install "$@" "./$archive" ;;
    esac
done

if ! python3 -c 'import bentoml' >/dev/null 2>&1; then
    install "$@" "bentoml==$BENTOML_VERSION"
fi
"""


def install_script(python: Python, bentoml_version: str) -> str:
    """Return the content of `install.sh`."""
    arguments = ["--index-url", python.index_url] if python.index_url else []
    for flag, values in (
        ("--trusted-host", python.trusted_host),
        ("--find-links", python.find_links),
        ("--extra-index-url", python.extra_index_url),
    ):
        arguments += [word for value in values or () for word in (flag, value)]
    arguments += (["--no-index"] if python.no_index else []) + (python.pip_args or "").split()
    script = _INSTALL.format(version=bentoml_version, arguments=shlex.join(arguments))
    return script.replace("set -- \n", "set --\n")
