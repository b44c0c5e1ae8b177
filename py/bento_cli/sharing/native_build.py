"""Builds images for the commands, without an image builder.

Caches the layers that contain packages, models, and the environment. Therefore, a change in a source file requires only
a new layer of source files, a new config, and a new manifest.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from contextlib import ExitStack
from functools import cache, cached_property, partial
from pathlib import Path

import rules_bento.bentos.models
import rules_bento.bentos.sources
import rules_bento.images
from rules_bento.base import archives, tree_walk
from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import Layer, digest_of
from rules_bento.base.net.transfers import Progress
from rules_bento.base.own_files import OwnDirectory, digest_path, own_directory, user_cache_directory
from rules_bento.base.typing_lite import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterable,
    Iterator,
    Sequence,
    TypeVar,
    cast,
)
from rules_bento.bentos.packages.requirement_syntax import check_wheel, normalize_name
from rules_bento.images.plan import Packing, PlannedWheel
from rules_bento.images.registry.blob_sources import FileSource
from rules_bento.images.registry.descriptor import MANIFEST, Manifest
from rules_bento.images.registry.reference import Reference
from rules_bento.images.validation import all_checks, base_compatibility
from rules_bento.images.validation.gpus import Gpu
from rules_bento.images.wheels.exclude import Exclude, without
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel import Locked, Wheel

from bento_cli.projects import project_reach
from bento_cli.sharing import command_remedies, known_files, native_cache
from bento_cli.sharing.command_remedies import CommandRemedies
from bento_cli.sharing.image_options import LAYOUT, READS_LAYERS
from bento_cli.sharing.native_base import Build, read_base
from bento_cli.sharing.native_bytecode import NoInterpreterError, plan_bytecode
from bento_cli.sharing.native_packages import RELOCK, LocalWheel, download, fetch

if TYPE_CHECKING:
    from rules_bento.images.image_config import Documents
    from rules_bento.images.layers.layer import Compression
    from rules_bento.images.plan import ImagePlan, PlannedLayer
    from rules_bento.images.sbom import Format

    from bento_cli.sharing.image_options import Settings
    from bento_cli.sharing.native_base import BaseImageContents
    from bento_cli.sharing.registry_cache import CachedLayer

_BLOB, _DESCRIPTION, _LIBRARIES = "blob", "description.json", "libraries.json"  # of a layer or wheel in the cache
_ZTOC, _NOTES = "ztoc", "notes.json"
# Other code that the cache depends on.
_OTHERS = (rules_bento.bentos.models, rules_bento.bentos.sources, command_remedies, known_files)
_Result = TypeVar("_Result")


@cache
def code_digest() -> str:
    """Return a digest of the code that builds images, for cache keys."""
    digest = hashlib.sha256()
    for module in (sys.modules[__name__], archives, rules_bento.images, *_OTHERS):
        archive = getattr(module.__loader__, "archive", "")  # under Bazel, a zip contains the code
        directories = [Path(path) for path in getattr(module, "__path__", ())]
        files = [Path(archive)] if archive else [path for each in directories for path in _modules(each)]
        for path in files or [Path(str(module.__file__))]:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _modules(directory: Path) -> list[Path]:
    return [
        directory / path for path, _ in tree_walk.walk(directory, without=tree_walk.GENERATED) if path.endswith(".py")
    ]


@dataclass
class BuildWorkspace(Build):
    """What the steps of one build share."""

    _wheels: dict[str, LocalWheel] = field(default_factory=dict)  # by SHA-256

    @property
    def compression(self) -> Compression:
        """The compression of layers."""
        return cast("Compression", self.settings["compression"][0])

    def bases(self, default: str) -> Iterator[BaseImageContents]:
        """Yield the base image for each platform. Its name is the value of `--base`, or `default`. A note pins a tag.

        Raises BentoError for a tag with `--locked`.
        """
        [base] = self.settings.get("base", [default])
        if "base" not in self.settings and base.startswith(LAYOUT):  # only the user selects directories
            raise BentoError(f"the base image {base!r} isn't in a registry", remedy="Add --base IMAGE.")
        found = [read_base(self, base, each, default) for each in dict.fromkeys(self.settings["platform"])]
        if "@" not in base and not base.startswith(LAYOUT):
            pinned = f"{base}@{found[0].name.partition('@')[2]}"
            remedy = f'To pin it, write base = "{pinned}" in [tool.bento.image], or add --base {pinned}.'
            if "locked" in self.settings:
                raise BentoError(f"{base} is a tag, which can move", place="--locked", remedy=remedy)
            self.notes.append(f"{base} is {'a tag' if 'base' in self.settings else 'the default base'}. {remedy}")
        for each in found:
            self.progress.prefix = f"{each.image.config['architecture']}: " if len(found) > 1 else ""
            yield each
        self.progress.prefix = ""

    def request_permission(self, names: Sequence[str]) -> None:
        """Raise BentoError if this machine can't push to the registries in `names`, before the build takes time."""
        for repository in {Reference.parse(name).name for name in names if "push" in self.settings}:
            found = self.registries.repository(Reference.parse(repository))
            found.has_blob(digest_of(b"{}"), len(b"{}"), found.push_scope)

    def new_directory(self) -> OwnDirectory:
        """Create a temporary directory, whose name is of no document."""
        return OwnDirectory(Path(tempfile.mkdtemp(dir=self.scratch)))

    def cached(self, key: object, write: Callable[[Path], None]) -> Path:
        """Return the cached directory for `key`. If no directory exists, calls `write` to create the files."""
        return native_cache.read_directory(self._directory(key), write, large=[_BLOB])

    def is_cached(self, key: object) -> bool:
        """Return whether the cache has a directory for `key`, which can be damaged."""
        return self._directory(key).is_dir()

    def _directory(self, key: object) -> Path:
        text = json.dumps([code_digest(), key])
        return digest_path(self.cache / "layers", hashlib.sha256(text.encode()).hexdigest())

    def packed(self, key: object, prepare: Callable[[], Packing]) -> Path:
        """Return the cached directory for `key`. If no directory exists, writes what `prepare` returns, with limits."""

        def write(directory: Path) -> None:
            inputs, pack = prepare()
            project_reach.confined(inputs, pack, directory, copy=directory)

        return self.cached(key, write)

    def pack(self, layer: PlannedLayer) -> tuple[Layer, Path]:
        """Return a layer, and its blob in the cache, next to which can be other files of the layer."""

        def prepare() -> Packing:
            inputs, pack = layer.prepare()

            def write(directory: Path) -> None:  # writes: own, constant names
                written = pack(directory / _BLOB)._replace(name=layer.name)
                (directory / _DESCRIPTION).write_text(written.dumps(), "utf-8")

            return Packing(inputs, write)

        return _described(self.packed(layer.local_key(self.compression), prepare))

    def download(self, wheels: Iterable[PlannedWheel]) -> None:
        """Download wheels that aren't local, in parallel."""
        download([self._wheels[sha256] for sha256 in {wheel.sha256: None for wheel in wheels}], self.progress)

    @staticmethod
    def read(wheel: PlannedWheel, function: Callable[[Wheel], _Result]) -> _Result:
        """Call a function, which has limits, with a wheel, which was downloaded before."""
        return project_reach.confined([wheel.fetch()], lambda: function(wheel.read()))

    def plan_wheels(self, wheels: Sequence[LocalWheel]) -> tuple[PlannedWheel, ...]:
        """Return the wheels without the files that the option `exclude` matches."""
        patterns: dict[str, list[str]] = {}
        for each in self.values("exclude"):
            patterns.setdefault(normalize_name(each.name), []).append(each.value)
        if unknown := patterns.keys() - {wheel.distribution for wheel in wheels}:
            remedy = "Correct the name, or remove the option."
            raise BentoError(f"{min(unknown)} isn't a package of the image", place="--exclude", remedy=remedy)

        def read(wheel: LocalWheel, own: list[str]) -> Wheel:
            complete = Wheel.read(wheel.path, Locked(""))
            return without(complete, Exclude(own, [], "--exclude")) if own else complete

        for wheel in wheels:
            check_wheel(wheel.path.name, wheel.distribution, wheel.version, wheel.distribution, RELOCK)
        self._wheels |= {wheel.sha256: wheel for wheel in wheels}
        return tuple(
            PlannedWheel(
                wheel.distribution,
                wheel.version,
                wheel.path.name,
                wheel.size or wheel.path.stat().st_size,
                wheel.sha256,
                tuple(own := patterns.get(wheel.distribution, [])),
                partial(fetch, wheel, Progress()),
                partial(read, wheel, own),
            )
            for wheel in wheels
        )

    def plan_fields(self, base: BaseImageContents) -> dict[str, Any]:
        """Return the fields of a plan that depend on the base and on the options, and not on the front."""
        config = base.image.config
        glibc = base.glibc if base.glibc != (0, 0) else None  # without glibc, the libraries lack libc.so.6
        return {
            "base": base_compatibility.Base(
                base.name, config["architecture"], glibc, base.libraries, base.python_version
            ),
            "base_config": config | {"digest": base.image.digest, "origin": base.origin},
            "base_layers": base.image.layers,
            "system": base.system,
            "above_base": base.above,
            "python": base.python,
            "compression": self.compression,
            "bytecode": plan_bytecode(self, base),
            "labels": self.pairs("label"),
            "ignore_libraries": self.values("ignore-library"),
            "ignore_requirements": self.values("ignore-requirement"),
            "gpus": tuple(Gpu.parse(text, "--gpu") for text in self.values("gpu")),
            "size_limit": int(self.settings.get("size-limit", ["0"])[0]) * 1_000_000,
        }


class BuiltImage:
    """The image of a plan for one platform. After `build`, its layers are in the cache."""

    def __init__(self, workspace: BuildWorkspace, base: BaseImageContents, plan: ImagePlan) -> None:
        self.base, self.plan, self._workspace = base, plan, workspace
        self._layers = [*plan.base_layers]
        self._wheels: dict[str, tuple[PlannedWheel, ...]] = {}  # by digest of the layer
        self.blobs = {each.digest: path for each in self._layers if (path := base.layout.blob(each.digest)).is_file()}

    def build(self, builder: str = "") -> BuiltImage:
        """Check the plan, and write the layers. Returns the image. Raises BentoError for the problems of the image.

        `builder` is the remedy of another builder, for messages.
        """
        plan, workspace = self.plan, self._workspace
        remedies = CommandRemedies(self.base.name, builder, self.base.system.ids)
        wheels = plan.all_wheels
        self.note = plan.check_system(remedies)
        layers = [*plan.layers(workspace.packed)]
        self.cached_layers = self._find_cached(layers)
        self._packages = {package.wheel: package for each in self.cached_layers.values() for package in each.packages}
        names, keys = [each.name for each in wheels], [each.key for each in wheels]
        checked = ["checked", plan.base, sorted(plan.base.libraries or ()), names, keys, plan.ignore_libraries]

        def check(directory: Path) -> None:
            counted = workspace.progress.counted("Checking packages", wheels)
            found = plan.check_packages([*map(self._libraries, counted)], remedies)
            (directory / _NOTES).write_text(json.dumps(found), "utf-8")  # writes: own, a constant name

        result: Path = workspace.new_directory()
        if self.cached_layers:  # only this build trusts what a registry has
            check(result)
        else:
            key = [*checked, plan.command, plan.files, plan.included, len(plan.projects), plan.scripts]
            result = workspace.cached(key, check)
        workspace.notes += json.loads((result / _NOTES).read_text("utf-8"))
        packages = cache(lambda: [*map(self._libraries, wheels)])
        workspace.notes += plan.check_gpus(packages, remedies)
        missing = all_checks.missing_modules(plan.imports, plan.base_config["env"], packages)
        workspace.notes += [missing] if missing else []
        for layer in workspace.progress.counted("Writing layers", layers):
            self._add(layer)
        plan.check_layers(self._layers, remedies)
        own = self._layers[len(plan.base_layers) :]  # as for the rules, which don't index layers of pulled bases
        ztocs = [self._ztoc(layer) for layer in own] if "soci" in workspace.settings else None
        self.documents: Documents = plan.documents(self._layers, ztocs)
        return self

    def preview(self) -> Preview:
        """Return what the image would have. Writes and downloads no layer."""
        layers = [*self.plan.layers(self._workspace.packed)]
        missing, cached = self._missing(layers)

        def shown(layer: PlannedLayer) -> tuple[str, str, int | None]:
            if layer not in missing:
                return layer.name, "cache", self._workspace.pack(layer)[0].size  # which exists
            found = cached.get(self._shared_key(layer))
            return layer.name, "registry" if found else "to build", found.layer.size if found else None

        size, plan = sum(layer.size for layer in self.base.image.layers), self.plan
        packages = [f"{each.distribution}=={each.version}" for each in plan.all_wheels]
        rows = [("base", "base", size), *map(shown, layers)]
        return Preview(self.platform, self.base.name, [*plan.command], packages, [*(plan.files or ())], rows)

    def _shared_key(self, layer: PlannedLayer) -> str:
        return layer.shared_key(self.plan.compression)

    def _find_cached(self, layers: Sequence[PlannedLayer]) -> dict[str, CachedLayer]:
        """Return the layers that only a registry has, by key. Downloads the wheels of the other missing layers."""
        missing, cached = self._missing(layers)
        lacking = [layer for layer in missing if self._shared_key(layer) not in cached]
        self._workspace.download(wheel for layer in lacking for wheel in layer.wheels)
        return cached

    def _missing(self, layers: Sequence[PlannedLayer]) -> tuple[list[PlannedLayer], dict[str, CachedLayer]]:
        """Return the layers that the cache lacks, and which of them a registry has, by key."""
        workspace = self._workspace
        missing = [
            layer
            for layer in layers
            if not workspace.is_cached(layer.local_key(self.plan.compression))
            or not all(workspace.is_cached(_libraries_key(wheel)) for wheel in layer.wheels)
        ]
        shared = [layer for layer in missing if self._is_shared(layer)]
        cached: dict[str, CachedLayer] = {}
        if cache := workspace.registry_cache:
            cached = cache.read(shared, self.plan.compression)
            workspace.notes += cache.problems.values()
            if cache.sources and shared:
                workspace.notes.append(f"--cache-from has {len(cached)} of {len(shared)} layers of packages.")
        return missing, cached

    def _is_shared(self, layer: PlannedLayer) -> bool:
        return layer.wheels[0] in self.plan.wheels if layer.wheels else bool(layer.size or layer.python)

    def _add(self, layer: PlannedLayer) -> None:
        key = layer.shared_key(self.plan.compression)
        cached = self.cached_layers.get(key)
        if cached and not self._workspace.settings.keys() & {*READS_LAYERS, "soci"}:
            self._layers.append(cached.layer)
        else:
            found, blob = self._download(cached) if cached else self._workspace.pack(layer)
            self._layers.append(found)
            self.blobs[found.digest] = blob
        self._wheels[self._layers[-1].digest] = layer.wheels
        if self._workspace.registry_cache and not cached and self._is_shared(layer):
            from bento_cli.sharing.registry_cache import CachedLayer

            written, packages = self._layers[-1], tuple(map(self._libraries, () if layer.python else layer.wheels))
            self.cached_layers[key] = CachedLayer(written, packages, FileSource(self.blobs[written.digest]))

    def _download(self, cached: CachedLayer) -> tuple[Layer, Path]:
        def write(directory: Path) -> None:
            cached.download(directory / _BLOB, self._workspace.progress)
            (directory / _DESCRIPTION).write_text(cached.layer.dumps(), "utf-8")  # writes: own, a constant name

        return _described(self._workspace.cached(["noted", cached.layer], write))

    @property
    def platform(self) -> str:
        """The operating system and architecture."""
        return f"{self.plan.base_config['os']}/{self.plan.base_config['architecture']}"

    @property
    def contents(self) -> list[tuple[Layer, tuple[PlannedWheel, ...]]]:
        """All layers, with the wheels that they contain."""
        return [(layer, self._wheels.get(layer.digest, ())) for layer in self._layers]

    def sbom(self, contents: str, form: Format) -> bytes:
        """Return the SBOM. `contents` is the digest of the Bento or program."""
        packages = map(self._libraries, self.plan.all_wheels)
        return self.plan.sbom(self.documents.digest, contents, form, packages)

    def _libraries(self, wheel: PlannedWheel) -> Libraries:  # writes: own, a constant name
        if wheel.name in self._packages:
            return self._packages[wheel.name]

        def write(directory: Path) -> None:
            (directory / _LIBRARIES).write_text(Libraries.read(wheel.read()).dumps(), "utf-8")

        directory = self._workspace.packed(_libraries_key(wheel), lambda: Packing([wheel.fetch()], write))
        return Libraries.loads((directory / _LIBRARIES).read_text("utf-8"))

    def _ztoc(self, layer: Layer) -> dict[str, Any]:
        """Return the description of a layer's zTOC, which is empty for a small or unsupported layer."""
        from rules_bento.images import soci
        from rules_bento.images.layers import ztoc

        def write(directory: Path) -> None:
            made = b""
            if layer.size >= soci.MIN_LAYER and layer.media_type.endswith("+gzip"):
                made = ztoc.make(FileSource(self.blobs[layer.digest]).pieces, layer.size, layer.name)
            (directory / _ZTOC).write_bytes(made)  # writes: own, a constant name

        packing = Packing([self.blobs[layer.digest]], write)
        path = self._workspace.packed([_ZTOC, layer.digest], lambda: packing) / _ZTOC
        described = soci.describe(layer, path.read_bytes())
        self.blobs |= {described["digest"]: path} if described["size"] else {}
        return described

    @cached_property
    def manifest(self) -> Manifest:
        """The parsed manifest of the image."""
        return Manifest.read(self.documents.image.manifest, MANIFEST, "the image")


def _described(directory: Path) -> tuple[Layer, Path]:
    return Layer.loads((directory / _DESCRIPTION).read_text("utf-8")), directory / _BLOB


def _libraries_key(wheel: PlannedWheel) -> object:
    return ["libraries", wheel.name, wheel.key]


def build_image(workspace: BuildWorkspace, base: BaseImageContents, plan: ImagePlan, builder: str = "") -> BuiltImage:
    """Build an image, without bytecode if no interpreter can compile it. Raises BentoError for the image's problems."""
    try:
        return BuiltImage(workspace, base, plan).build(builder)
    except NoInterpreterError as error:
        workspace.notes.append(f"The image has no bytecode, without which it starts slower. {error}")
        return BuiltImage(workspace, base, replace(plan, bytecode=None)).build(builder)


class Preview(NamedTuple):
    """What an image for one platform would have, with --dry-run."""

    platform: str
    base: str
    command: list[str]
    packages: list[str]
    files: list[str]
    layers: list[tuple[str, str, int | None]]  # names, `base`, `cache`, `registry`, or `to build`, and known bytes


def build(
    title: str, home: Path, settings: Settings, run: Callable[[BuildWorkspace], _Result], *, is_new: bool = False
) -> _Result:
    """Call `run` with a workspace, and return its result. Calls `run` again after it removed files of the cache.

    If `is_new`, the workspace has no result of an earlier build, but downloads.
    """
    directory = native_cache.open_cache((user_cache_directory() or home) / "native")
    with ExitStack() as stack, Progress(title) as progress:

        def attempt() -> _Result:
            with own_directory("bento-image-") as scratch:
                cache = Path(tempfile.mkdtemp(dir=scratch)) if is_new else directory
                return run(BuildWorkspace(scratch, directory, cache, settings, stack, progress))

        try:
            return attempt()
        except native_cache.DamagedError:  # create the removed files again
            return attempt()
