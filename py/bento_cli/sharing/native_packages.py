"""Finds and downloads the wheels for a Bento's native image. The Bento's requirements must contain hashes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from functools import cache as cached
from pathlib import Path
from urllib.parse import unquote

from rules_bento.base.archives import sha256_of
from rules_bento.base.archives.archive import REQUIREMENTS
from rules_bento.base.dataclasses_lite import NamedTuple, replace
from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file, shapes
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.net.transfers import parallel_map
from rules_bento.base.own_files import digest_path
from rules_bento.base.typing_lite import TYPE_CHECKING, Mapping, Sequence
from rules_bento.bentos.packages import uv
from rules_bento.bentos.packages.indexes import Indexes
from rules_bento.bentos.packages.lock_format import regular_file
from rules_bento.bentos.packages.platforms import marker_environment
from rules_bento.bentos.packages.requirement_syntax import (
    INDEX_OPTIONS,
    Line,
    decode,
    normalize_name,
    parse,
    parse_requirement,
    plain_pin,
    reject_option,
)
from rules_bento.bentos.packages.wheel_choice import best_of, linux_platforms, supported_tags
from rules_bento.images.registry.blob_sources import FileSource

from bento_cli import transports
from bento_cli.sharing.backends import BUILDER_REMEDY
from bento_cli.sharing.native_cache import DamagedError, read_record
from bento_cli.store.home import unique
from bento_cli.transports.address import WEB
from bento_cli.transports.address import parse as parse_address

if TYPE_CHECKING:
    from packaging.tags import Tag
    from rules_bento.base.net.transfers import Progress

    from bento_cli.sharing.native_base import BaseImageContents, Build
    from bento_cli.transports.address import Address

_DEFAULT_GLIBC = (2, 28)  # of package hubs: DEFAULT_GLIBC in versions.bzl
_JOBS = 4
RELOCK = "Lock the package again, or use another index."
_FILE = {"url?": str, "path?": str, "size?": int, "hashes?": {"sha256?": "sha256"}}
_PYLOCK = {"packages?": [{"wheels?": [_FILE], "sdist?": _FILE}]}
_VERSION = re.compile(r"[-+!.\w]+")  # of a pin; uv reads no option and no variable in it


class LocalWheel(NamedTuple):
    """A wheel file on this machine."""

    distribution: str  # normalized
    version: str
    path: Path
    sha256: str
    url: str = ""  # from which the wheel is downloaded; can be empty or a path for a local wheel
    size: int = 0  # bytes that the lock states; 0 for a wheel that must be local
    record: Path | None = None  # of an earlier build; its URL can have expired


def find_wheels(bento: Path, base: BaseImageContents, build: Build) -> list[LocalWheel]:
    """Return the wheels for a base image that the Bento in `bento` requires. Downloads those without a size.

    Raises BentoError for a package without hashes or without a compatible wheel.
    """
    path = next((name for name in REQUIREMENTS if (bento / name).is_file()), "")
    if not path:
        problem = "the Bento doesn't contain this file, so the required packages can't be determined"
        raise BentoError(problem, place=REQUIREMENTS[-1], remedy=BUILDER_REMEDY)
    requirements, options = parse(decode(read_file(bento / path), path), path)
    lines, indexes = read_indexes(bento, options, path)
    own = [requirement for requirement in requirements if requirement.text.startswith("./")]
    pinned = [one for one in requirements if one not in own and _is_required(one, base, one.place)]
    lines += ["==".join(requirement.pin or ()) for requirement in pinned]
    target = [base.machine, base.python_version, base.glibc]
    key = json.dumps([lines, [sorted(requirement.hashes) for requirement in pinned], target])
    record = digest_path(build.cache / "chosen", hashlib.sha256(key.encode()).hexdigest(), ".json")

    def choose() -> list[LocalWheel]:
        build.progress.begin("Finding wheels")
        located = locate(lines, base, indexes)
        urls = {sha256: url for sha256, (url, _) in located.items()}
        chosen = [_choose(requirement, urls, base, build.downloads) for requirement in pinned]
        return [wheel._replace(size=located[wheel.sha256][1]) for wheel in chosen]

    old = record if record.exists() else None
    known = [LocalWheel(name, version, Path(at), *more) for name, version, at, *more in read_record(record, choose)]
    wheels = [wheel._replace(record=old) for wheel in known]
    download([wheel for wheel in wheels if not wheel.size], build.progress)
    return [*wheels, *(_own_wheel(bento / "src", one, one.place) for one in own)]


def read_indexes(bento: Path, options: Sequence[Line], path: str) -> tuple[list[str], Indexes]:
    """Return the indexes that the requirements of a Bento name, as lines for `locate`, and parsed.

    Raises BentoError for options that could run code of the Bento, such as -e, and for a path of this machine.
    """
    lines = []
    for option in options:
        reject_option(option)
    for option in (option for option in options if option.flag in INDEX_OPTIONS):
        flag, value = option.flag, option.value
        if "$" in value:
            raise BentoError(
                f"{option.place}: {flag}: the value contains '$', which uv could replace with an environment "
                "variable of this machine. Replace the variable, and build the Bento again. For credentials, use "
                "UV_INDEX or netrc."
            )
        if flag in ("-f", "--find-links") and "://" not in value:
            value = str(_own_path(bento / "src", value, f"{option.place}: {flag}"))
        lines.append(f"{flag} {value}".strip())
    return lines, Indexes().with_options(options, path)


def _is_required(requirement: Line, base: BaseImageContents, place: str) -> bool:
    """Return whether a requirement applies to a base image. Raises BentoError if the version or hashes are missing."""
    try:
        marker = None if plain_pin(requirement.text) else parse_requirement(requirement.text).marker
    except ValueError:
        remedy = "Correct the requirement, and build the Bento again."
        raise BentoError(f"invalid requirement {requirement.text!r}", place=place, remedy=remedy) from None
    if marker is not None and not marker.evaluate(target_environment(base)):
        return False
    if requirement.pin is None or not _VERSION.fullmatch(requirement.pin[1]) or not requirement.hashes:
        problem = f"the native backend requires a pinned version with hashes for {requirement.text}"
        remedy = f"Lock the packages with `bento lock`, and build the Bento again. {BUILDER_REMEDY}"
        raise BentoError(problem, place=place, remedy=remedy)
    return True


def target_environment(base: BaseImageContents) -> dict[str, str]:
    """Return the variables of markers for a base image."""
    return marker_environment("linux", base.machine, base.python_version)


def _own_wheel(directory: Path, requirement: Line, place: str) -> LocalWheel:
    """Return the wheel in the Bento's sources that `requirement` refers to. Raises BentoError for an invalid path."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    path = directory / requirement.text
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        problem = f"{requirement.text} isn't a wheel, but the native backend installs only wheels"
        raise BentoError(problem, place=place, remedy=f"Replace the file with a wheel. {BUILDER_REMEDY}") from None
    if not _own_path(directory, requirement.text, place).is_file():
        raise _missing(requirement.text, place)
    return LocalWheel(normalize_name(name), str(version), path, sha256_of(path))


def _own_path(directory: Path, path: str, place: str) -> Path:
    """Return a path in the Bento's sources. Raises BentoError for another path of this machine."""
    whole = directory / path
    if not whole.resolve().is_relative_to(directory.resolve()):
        raise _missing(path, place)
    return whole


def _missing(path: str, place: str) -> BentoError:
    remedy = "Include the path, and build the Bento again."
    if ": -" in place:
        remedy += " For a directory of this machine, set UV_FIND_LINKS."
    return BentoError(f"the Bento doesn't contain {path}", place=place, remedy=remedy)


def locate(
    lines: Sequence[str], base: BaseImageContents, indexes: Indexes, settings: Path | None = None
) -> dict[str, tuple[str, int]]:
    """Return the URL or path, and the size or 0, of each wheel of the pinned releases, by SHA-256 digest.

    `settings` is a directory with metadata of the releases; with it, returns also source archives. Raises BentoError
    if uv fails. uv ignores the untrusted configuration in the Bento's sources.
    """
    document = read_toml(_compile(lines, ["--format=pylock.toml"], base, indexes, settings), "pylock.toml")
    shapes.check(document, _PYLOCK, "pylock.toml of uv", RELOCK)
    return {  # the wheels in pylock.toml (PEP 751)
        file["hashes"]["sha256"]: (file.get("url") or file.get("path", ""), file.get("size", 0))
        for package in document.get("packages", [])
        for file in (*package.get("wheels", []), *([package["sdist"]] if settings and "sdist" in package else []))
        if "sha256" in file.get("hashes", {})
    }


def locked_release(lines: Sequence[str], base: BaseImageContents, indexes: Indexes) -> Line:
    """Return the release in the last of `lines` with the hashes of all its files, as locks of Bentos have it."""
    text = _compile(lines, ["--generate-hashes"], base, indexes, None)
    return parse(text, "uv")[0][-1]


def _compile(
    lines: Sequence[str], flags: Sequence[str], base: BaseImageContents, indexes: Indexes, settings: Path | None
) -> str:
    """Return what uv writes for pinned releases. See `locate`."""
    program = uv.require_uv("finds the URLs of the Bento's packages")
    command = [program, "pip", "compile", "--quiet", "--no-deps", "--universal", "--no-header", "--no-annotate"]
    command += ["--color=never", *flags, *(() if settings else ["--only-binary=:all:"])]
    command += ["--python-version", base.python_version, "-"]
    text = "".join(f"{line}\n" for line in lines)
    try:
        access = uv.Access.to(indexes, is_trusted=False)
        directories = [word for line in lines for word in line.split(" ", 1)[1:] if word.startswith("/")]
        reach = uv.reach([*directories, *([settings] if settings else [])], access)
        run = uv.Run(command, access, settings, "directory", text, attempts=uv.CACHE_FIRST, reach=reach)
        return uv.checked(uv.start(run))
    except BentoError as error:
        if settings:
            raise error.at("uv can't find the locked packages") from None
        raise BentoError(
            f"uv: cannot find wheels of the Bento's packages for Python {base.python_version}. If the packages are "
            f"locked for another Python version, lock the packages for Python {base.python_version}, and build the "
            f"Bento again. Otherwise, check the settings of the package index.\n{without_credentials(str(error))}"
        ) from None


def _choose(requirement: Line, urls: Mapping[str, str], base: BaseImageContents, cache: Path) -> LocalWheel:
    """Return the best wheel that a requirement's hashes allow. Raises BentoError if no wheel is compatible."""
    name, version = requirement.pin or ("", "")
    glibc = base.glibc or _DEFAULT_GLIBC
    known = {sha256: urls[sha256] for sha256 in requirement.hashes if sha256 in urls}
    if wheel := best_wheel(name, version, known, base, cache):
        return wheel
    raise BentoError(
        f"{name}=={version}: no wheel for linux/{base.image.config['architecture']}, Python {base.python_version}, and "
        f"glibc {glibc[0]}.{glibc[1]} matches the hashes in the Bento's requirements. Lock another version of {name} "
        f"for Python {base.python_version} and build the Bento again, or use another base image. {BUILDER_REMEDY}"
    )


def best_wheel(
    name: str, version: str, urls: Mapping[str, str], base: BaseImageContents, cache: Path
) -> LocalWheel | None:
    """Return the best wheel for a base image, or None. `urls` maps the SHA-256 digests of wheels to URLs or paths."""
    digests = {_path(url).name: sha256 for sha256, url in [*urls.items()][::-1]}
    if name_of_best := best_of(digests, _ranks(base.machine, base.python_version, base.glibc or _DEFAULT_GLIBC)):
        sha256 = digests[name_of_best]
        return LocalWheel(name, version, location(urls[sha256], sha256, cache), sha256, urls[sha256])
    return None


def location(url: str, sha256: str, cache: Path) -> Path:
    """Return the path of a local file, or in the cache. Raises BentoError for strings that could be other paths."""
    path = _path(url)
    if parse_address(url) is None:
        return regular_file(path)
    for kind, text in (("sha256", sha256), ("file name", path.name)):
        shapes.require(kind, text, f"{sha256[:16]!r}", RELOCK)
    return cache / ("wheels" if path.suffix == ".whl" else "sdists") / sha256 / path.name


def _path(url: str) -> Path:
    """Return the decoded path of a URL, or a local path."""
    return Path(unquote(re.sub(r"^\w+://[^/?#]*|[?#].*", "", url, flags=re.DOTALL)) if "://" in url else url)


@cached
def _ranks(machine: str, python_version: str, newest: tuple[int, int]) -> dict[Tag, int]:
    """Return the rank of each supported wheel tag. The best tag has the highest rank.

    As in package hubs, a wheel for the default version of glibc is better than a wheel for a newer version.
    """
    tags: list[Tag] = []
    for glibc in (min(newest, _DEFAULT_GLIBC), newest):
        tags += supported_tags(python_version, linux_platforms(machine, glibc[1]))
    return {tag: -number for number, tag in reversed([*enumerate(tags)])}


def fetch(wheel: LocalWheel, counter: Progress) -> Path:  # writes: digest, checked before it is in the path
    """Return the path of a verified wheel. Downloads a missing or damaged one. Raises BentoError for a local one."""
    try:
        FileSource(wheel.path).check(f"sha256:{wheel.sha256}", wheel.path.stat().st_size)
    except (OSError, BentoError):
        if parse_address(wheel.url) is None:
            raise
        wheel.path.unlink(missing_ok=True)
        _download(wheel, counter)
    if wheel.size and wheel.size != (size := wheel.path.stat().st_size):
        problem = f"the lock or the index states {wheel.size} bytes, but the file has {size}"
        raise BentoError(problem, place=wheel.path.name, remedy=RELOCK)
    return wheel.path


def download(wheels: Sequence[LocalWheel], counter: Progress) -> None:
    """Download wheels unless they are local or cached. If `counter` shows a total, first requests their sizes."""
    missing = [wheel for wheel in wheels if not wheel.path.exists() and (at := _address(wheel)) and at.scheme in WEB]
    if counter.is_shown and missing:
        noun = "wheel" if all(wheel.path.suffix == ".whl" for wheel in missing) else "package"
        counter.begin(f"Downloading {len(missing)} {noun}{'s' * (len(missing) > 1)}")
        sizes = parallel_map(lambda wheel: wheel.size or _size(wheel), missing, _JOBS)
        if all(sizes):
            counter.expect_all(sum(sizes))
    parallel_map(lambda wheel: _download(wheel, counter), wheels, _JOBS)


def _address(wheel: LocalWheel) -> Address | None:
    """Return the address, with an index's login on the same server. Raises DamagedError if it can have expired."""
    if wheel.record and not wheel.path.exists():
        for record in wheel.record.parent.glob("*.json"):
            record.unlink(missing_ok=True)  # writes: digest, names that are in the cache
        raise DamagedError(f"{wheel.path.name}: the address can have expired. Build the image again.")
    address = parse_address(wheel.url)
    if address and address.scheme in WEB and not address.password:
        user, password = uv.login_of_index(address.url)
        return replace(address, user=user or address.user, password=password)
    return address


def _size(wheel: LocalWheel) -> int:
    from bento_cli.transports.http import size

    address = _address(wheel)
    assert address
    return size(address)


def _download(wheel: LocalWheel, counter: Progress) -> None:  # writes: digest, checked before it is in the path
    """Download a file unless it is local, or cached and not verified. Raises BentoError if the digest doesn't match."""
    address = _address(wheel)
    if address is None:
        FileSource(wheel.path).check(f"sha256:{wheel.sha256}", wheel.path.stat().st_size)
    elif address.scheme not in WEB:  # requirements of a Bento don't select other clients
        raise BentoError(f"{address}: wheels are downloaded only from http and https URLs. Change the index.")
    elif not wheel.path.exists():
        wheel.path.parent.mkdir(parents=True, exist_ok=True)
        path = unique(wheel.path.parent)
        try:
            transports.download(
                address, path, counter, wheel.sha256, form="zip" if wheel.path.suffix in (".whl", ".zip") else "gz"
            )
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.replace(wheel.path)
        finally:
            path.unlink(missing_ok=True)
