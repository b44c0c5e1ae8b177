"""Reads base images for the native backend: the config, the layers, the interpreter, and the system packages."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.net.transfers import Progress
from rules_bento.base.own_files import OwnDirectory, digest_path, remove, user_cache_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Collection, Mapping
from rules_bento.bentos.packages.platforms import system_and_machine
from rules_bento.images.layers.contents import read_files
from rules_bento.images.registry import RegistryError
from rules_bento.images.registry.base_images import BaseImage, check_layers, find_images
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.pull_from_registry import find_manifest, pull
from rules_bento.images.registry.push_records import InterruptedUploads
from rules_bento.images.registry.reference import Reference
from rules_bento.images.standard_library import is_library_file, uncompiled
from rules_bento.images.system_packages import SystemFiles
from rules_bento.images.validation.package_needs import is_provided

from bento_cli.projects.project_reach import confined
from bento_cli.sharing import native_cache
from bento_cli.sharing.image_options import LAYOUT, READS_LAYERS

if TYPE_CHECKING:
    from rules_bento.images.plan import PlannedLayer
    from rules_bento.images.registry.client import Registries

    from bento_cli.sharing.image_options import Settings
    from bento_cli.sharing.registry_cache import RegistryCache

DEFAULT_BASE = "docker.io/library/python:{}-slim"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HEADER = re.compile(r"(.*)/include/python(3\.[0-9]{1,3})/patchlevel\.h")
_RELEASE = re.compile(
    r"(?:[0-9]+:)?(3\.[0-9]{1,3}\.[0-9]{1,3}(?:(?:a|b|rc)[0-9]{1,2})?)(?:-.*)?"
)  # X.Y.Z, or the version of its package
# Packages of dpkg and apk with the standard library. Their versions begin with Python's.
_PACKAGES = ("libpython{}-minimal", "python{}-minimal", "python{}", "python3", "python-{}-base", "python-{}")
_PYTHON = re.compile(r"(?:(.*)/)?(?:bin/python(?:3|(3\.[0-9]{1,3}))|lib/python(3\.[0-9]{1,3})/os\.py)")
_VARIABLE = re.compile(r"(3\.[0-9]{1,3})(?:\..*)?", re.DOTALL)


class BaseImageContents(NamedTuple):
    """A base image, with the interpreter and the system packages that it contains, or that a note states."""

    name: str  # the reference with its digest, or the layout
    origin: str  # registry/repository; empty for a layout
    image: BaseImage
    layout: Layout  # which can lack the layers
    complete: Callable[[], BaseImageContents]  # pulls the layers, and reads what a note stated
    python: str  # absolute path
    python_version: str  # X.Y
    python_release: str  # X.Y.Z; empty if it is unknown
    system: SystemFiles
    libraries: tuple[str, ...]  # file names of shared libraries
    uncompiled: int = 0  # modules of the standard library without bytecode
    above: tuple[PlannedLayer, ...] = ()  # of system packages

    @property
    def machine(self) -> str:
        """The name of the architecture in wheel tags, such as `x86_64`."""
        architecture: str = self.image.config["architecture"]
        return system_and_machine(f"linux_{architecture}")[1]

    def layers(self) -> list[tuple[Path, str, str]]:
        """Return the blob, media type, and diff ID of each layer. Pulls layers that are missing."""
        complete = self.complete()
        return [(complete.layout.blob(each.digest), each.media_type, each.diff_id) for each in complete.image.layers]

    @property
    def glibc(self) -> tuple[int, int] | None:
        """The version of the GNU C library: (0, 0) for musl, or None if the packages include neither C library."""
        versions = {package.name: package.version for package in self.system.packages or ()}
        if match := re.match(r"(\d)\.(\d{1,3})(?!\d)", versions.get("libc6", "")):
            return int(match[1]), int(match[2])
        return (0, 0) if "musl" in versions else None


@dataclass
class Build:
    """A build's temporary directory, caches, settings, and connections."""

    scratch: OwnDirectory
    downloads: Path  # files that are verified by digests from elsewhere
    cache: Path  # results, which are as trusted as the builds that wrote them
    settings: Settings
    stack: ExitStack
    progress: Progress
    notes: list[str] = field(default_factory=list)

    @cached_property
    def registries(self) -> Registries:
        """A client, which is closed after the build. Builds without a registry don't pay for its imports."""
        from rules_bento.images.registry.client import Registries

        interrupted = InterruptedUploads(user_cache_directory())
        return self.stack.enter_context(Registries(self.values("insecure"), interrupted=interrupted))

    @cached_property
    def registry_cache(self) -> RegistryCache | None:
        """The cache in the repositories that the user named."""
        if not self.settings.keys() & {"cache-from", "cache-to"}:
            return None
        from rules_bento.images.signing.keys import read_public

        from bento_cli.sharing.registry_cache import RegistryCache

        key = next((read_public(name, Path()) for name in self.values("cache-key")), None)
        return RegistryCache(self.values("cache-from"), self.values("cache-to"), self.registries, self.progress, key)

    def values(self, name: str) -> tuple[Any, ...]:
        """Return the values of an option."""
        return tuple(self.settings.get(name, ()))

    def pairs(self, name: str) -> dict[str, str]:
        """Return the variables or labels that an option sets."""
        return {each.name: each.value for each in self.values(name)}


def read_base(build: Build, text: str, platform: str, default: str = "") -> BaseImageContents:
    """Read the base image for a platform (`OS/ARCHITECTURE`). `text` is the value of `--base`, or `default`.

    Pulls a missing image to the cache, without layers if a note describes them. Raises BentoError if Python is missing.
    """
    if text.startswith(LAYOUT):
        name, origin, layout = text, "", Layout.open(Path(text.removeprefix(LAYOUT)))
    elif text.startswith(("/", ".")):
        problem = "not an image reference"
        raise BentoError(problem, place=f"--base {text}", remedy=f"For an OCI layout, write {LAYOUT}{text}.")
    else:
        reference = Reference.parse(text)
        try:
            if not reference.digest:
                _, root = find_manifest([reference], build.registries)
                reference = reference.with_digest(root.descriptor.digest)
            elif reference.tag:
                reference = replace(reference, tag="")
            layout = _pull(build, reference, platform)
        except BentoError as error:
            if isinstance(error, RegistryError) and text != default:
                raise error.at("--base") from None  # the registry answers
            raise BentoError(
                f"{error}\nThe image needs a base image with Python, by default {default}",
                remedy="Add --base IMAGE for another registry, or copy the image on a machine with access, such as "
                f"with `skopeo copy docker://{Reference.parse(default)} oci:../python`, and add --base oci:../python.",
            ) from None
        name, origin = str(reference), reference.name
    image = _find_image(layout, platform, name)
    record = digest_path(build.cache / "bases", image.digest, "-contents.json")

    places = [layout.blob(layer.digest) for layer in image.layers]

    def known() -> Any:
        if origin:
            _pull(build, reference, platform, image)
        else:
            _check_layers(layout, image, build.cache)
        return native_cache.read_record(record, lambda: confined(places, _inspect, layout, image, name, build.progress))

    def contents(fields: dict[str, Any]) -> BaseImageContents:
        python = fields["python"], fields["version"], fields["release"]
        system, libraries = SystemFiles.loads(fields["system"]), tuple(fields["libraries"])
        found = *python, system, libraries, fields["uncompiled"]
        return BaseImageContents(name, origin, image, layout, lambda: contents(known()), *found)

    cache = build.registry_cache if origin else None
    is_read = record.exists() or bool(build.settings.keys() & READS_LAYERS)
    return contents(cache.base(image.digest, known, is_read=is_read) if cache else known())


def _pull(build: Build, reference: Reference, platform: str, image: BaseImage | None = None) -> Layout:
    """Return the cached layout of a base image, with the layers of `image`. Pulls what is missing or damaged."""
    directory = digest_path(build.downloads / "bases", reference.digest, f"-{platform.replace('/', '-')}")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_damaged(directory, reference.digest, platform, build.cache):
            remove(directory)
        layout = Layout.create(directory)  # `pull` writes the index at the end
        if not layout.index() or (image and not all(layout.blob(layer.digest).is_file() for layer in image.layers)):
            (counter := build.progress if image else Progress()).begin(f"Pulling base ({platform.partition('/')[2]})")
            pull([reference], layout, build.registries, counter, platforms=[platform], shallow=not image)
    return layout


def _is_damaged(directory: Path, digest: str, platform: str, cache: Path) -> bool:
    with suppress(BentoError):
        layout = Layout.open(directory)
        if found := {entry.digest for entry in layout.index()}:
            image = _find_image(layout, platform, "")
            there = tuple(layer for layer in image.layers if layout.blob(layer.digest).is_file())
            _check_layers(layout, image._replace(layers=there), cache)
        return found not in (set(), {digest})
    return directory.exists()


def _check_layers(layout: Layout, image: BaseImage, cache: Path) -> None:
    """Verify the layers of a base image, unless they have been verified, and their files haven't changed since then.

    Delivery verifies layers again, as it does the layers of packages.
    """
    files = [path for layer in image.layers if (path := layout.blob(layer.digest)).is_file()]
    states = [(at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for at in map(Path.stat, files)]
    digest = hashlib.sha256(json.dumps([image.digest, states]).encode()).hexdigest()
    record = digest_path(cache / "bases", digest, "-checked.json")
    native_cache.read_record(record, lambda: confined(files, check_layers, layout, [image]))


def _find_image(layout: Layout, platform: str, name: str) -> BaseImage:
    remedy = "Use another base image or another --platform."
    [image] = find_images(layout, [platform], f"--base: {name}", remedy).values()
    return image


def _inspect(layout: Layout, image: BaseImage, name: str, counter: Progress) -> dict[str, Any]:
    """Return a base image's interpreter, its version, the shared libraries, and the system packages as JSON."""
    counter.begin(f"Reading base ({image.config['architecture']})")
    layers = ((layout.blob(layer.digest), layer.media_type, layer.diff_id) for layer in image.layers)

    def is_kept(path: str) -> bool:
        return SystemFiles.has(path) or _HEADER.fullmatch(path) is not None

    def is_found(path: str, head: bytes | None) -> bool:
        is_module = head is not None and is_library_file(path)
        return is_module or is_provided(path) or _PYTHON.fullmatch(path) is not None

    files = read_files(layers, is_found, is_kept)
    system = SystemFiles.from_files({path: data for path, data in files.items() if SystemFiles.has(path)})
    python, version = _find_python(files, image.config["env"], name)
    libraries = sorted({path.rpartition("/")[2] for path in files if is_provided(path)})
    release = _find_release(files, image.config["env"], system, python, version)
    fields: dict[str, Any] = {"python": python, "version": version, "release": release}
    fields["uncompiled"] = len(uncompiled(files, python, version))
    return fields | {"system": system.dumps(), "libraries": libraries}


def _find_release(
    files: Mapping[str, bytes], env: Mapping[str, str], system: SystemFiles, python: str, version: str
) -> str:
    """Return the exact version (X.Y.Z) of an interpreter: from its headers, PYTHON_VERSION, or its package, or ""."""
    prefix = python.rpartition("/bin/")[0].lstrip("/")
    header = files.get(f"{prefix}/include/python{version}/patchlevel.h", b"").decode(errors="replace")
    texts = re.findall(r'#define PY_VERSION\s+"([^"]*)"', header) or [env.get("PYTHON_VERSION", "")]
    if prefix == "usr":
        names = {name.format(version) for name in _PACKAGES}
        texts += [package.version for package in system.packages or () if package.name in names]
    found = [match[1] for match in map(_RELEASE.fullmatch, texts) if match]
    return next((release for release in found if release.startswith(f"{version}.")), "")


def _find_python(files: Collection[str], env: dict[str, str], name: str) -> tuple[str, str]:
    """Return the path and version of the first `python3` on the image's PATH.

    Determines the version from the files of the interpreter and the image's variable PYTHON_VERSION.
    """
    by_prefix: dict[str | None, list[re.Match[str]]] = {}
    for match in filter(None, map(_PYTHON.fullmatch, files)):
        by_prefix.setdefault(match[1], []).append(match)
    declared = _VARIABLE.fullmatch(env.get("PYTHON_VERSION", ""))
    variable = declared[1] if declared else ""
    for directory in env.get("PATH", _PATH).split(":"):
        path = f"{directory.strip('/')}/python3"
        own = _PYTHON.fullmatch(path)
        if own is None or path not in files:
            continue
        near = by_prefix[own[1]]
        for found in ({match[2] for match in near}, {match[3] for match in near}, {variable}):
            versions = found - {None, ""}
            if variable in versions or len(versions) == 1:
                return f"/{path}", variable if variable in versions else min(versions)
        remedy = "Use a base image that sets PYTHON_VERSION."
        raise BentoError(f"cannot determine the version of /{path} in {name}", place="--base", remedy=remedy)
    raise BentoError(f"{name} has no python3 on PATH", place="--base", remedy="Use a base image with python3 on PATH.")
