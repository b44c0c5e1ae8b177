"""Builds images of Bentos without an image builder. The images have the same digests as images from `bento_image`.

Caches the layers that contain packages, models, and the environment. Therefore, a change in a source file requires only
a new layer of source files, a new config, and a new manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from functools import cache, cached_property, partial
from itertools import groupby
from pathlib import Path

import rules_bento.images
import rules_bento.models
from rules_bento import archives, tree_walk
from rules_bento.archives.atomic import atomic_file
from rules_bento.artifacts.signatures import sign_in_registries
from rules_bento.errors import BentoError
from rules_bento.images import image_checks, image_config, image_requirements, oci_image, oci_layout
from rules_bento.images.engines import LOADERS, find_loader
from rules_bento.images.layers import description, members, zstd
from rules_bento.images.layers.layer import write_files_layer, write_tar_layer, write_wheel_layer
from rules_bento.images.layers.parts import WheelPart, join_parts, write_wheel_part
from rules_bento.images.system_packages import PackageRequest
from rules_bento.images.wheel_groups import ALONE, group_wheels
from rules_bento.images.wheels.exclude import Exclude, without
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel import Locked, Wheel
from rules_bento.models import model_store
from rules_bento.models.model import ModelDescription, ModelEntry
from rules_bento.net.transfers import Progress
from rules_bento.packages.platforms import ARCHITECTURES
from rules_bento.packages.requirements import normalize_name
from rules_bento.packages.shared_files import PackageFiles, check_shared_files
from rules_bento.programs import which
from rules_bento.registry.client import Registries
from rules_bento.registry.descriptor import MANIFEST, Manifest
from rules_bento.registry.layout import Layout
from rules_bento.registry.pushable import BytesSource, FileSource, Pushable
from rules_bento.registry.pushing import push
from rules_bento.registry.reference import Reference, has_registry
from rules_bento.registry.uploads import InterruptedUploads
from rules_bento.run.blob_history import BlobHistory, user_cache_directory
from rules_bento.run.load import load
from rules_bento.sources.manifest import TreeManifest
from rules_bento.sources.snapshot import DeclaredFile
from rules_bento.typing_lite import TYPE_CHECKING, Callable, Iterator, Mapping, Sequence, TypeVar, cast

from bento_cli.sharing import native_cache
from bento_cli.sharing.backends import BUILDER_REMEDY, NATIVE, NATIVE_OPTIONS, Containerized
from bento_cli.sharing.native_base import LAYOUT, BaseImageContents, read_base
from bento_cli.sharing.native_packages import LocalWheel, fetch, find_wheels
from bento_cli.store import verification
from bento_cli.store.entry_store import models_of
from bento_cli.store.export import streamed_members, walk
from bento_cli.store.import_manifests import ManifestCache

if TYPE_CHECKING:
    from rules_bento.archives.tarstream import Member
    from rules_bento.artifacts.signatures import Signing
    from rules_bento.images.layers.layer import Compression, LayerInfo
    from rules_bento.registry.pushable import BlobSource

    from bento_cli.sharing.backends import Options
    from bento_cli.store.entry_store import Entry
    from bento_cli.store.home import Home

_T = TypeVar("_T")
_Settings = dict[str, list[str]]  # values of options
# As in private/layers.bzl, transitions.bzl, and model_entry.bzl.
_BENTO, _HOME, USER, _PREFIX = "/home/bentoml/bento", "/home/bentoml", "1034", "/app/.venv"
_OWNER = {"uid": int(USER), "gid": int(USER)}
WEIGHTS, _NAMING = (".bin", ".ckpt", ".gguf", ".pt", ".pth", ".safetensors"), ".onnx"
_MAX_WEIGHTS_LAYERS = 31
_BLOB, _DESCRIPTION, _LIBRARIES = "blob", "description.json", "libraries.json"  # of a layer or wheel in the cache
_LIBRARY_REMEDIES = (
    "Use a base image that contains the missing libraries. Otherwise, add the packages that provide "
    f"the libraries to docker.system_packages, and build the Bento again. {BUILDER_REMEDY}",
    "If the service doesn't load these files, exclude the files with --opt exclude=PACKAGE:PATTERN.",
)

_OPTIONS = NATIVE_OPTIONS | {"compression", "label", "load", "output", "platform", "progress", "push", "quiet"}
_REPEATABLE = ("exclude", "insecure", "label")
# The option, a pattern of valid values, and the expected value.
_FORMS = {
    "compression": ("--opt compression", "gzip|zstd", "gzip or zstd"),
    "exclude": ("--opt exclude", "[^:]+:.*", "PACKAGE:PATTERN"),
    "label": ("--label", "[^=]+=.*", "KEY=VALUE"),
    "output": ("--output", f"{LAYOUT}.+", f"{LAYOUT}DIR, the directory of an OCI layout"),
}


def containerize(
    home: Home, entry: Entry, names: Sequence[str], options: Options, *, check: bool, signing: Signing | None
) -> Containerized:
    """Build the image of a Bento, and write, load, or push it. Raises BentoError if one of these steps fails.

    If `signing` is set, signs the image before tagging it in registries.
    """
    settings = _read_options(entry, names, options)
    bento_models = models_of(home, entry)
    noted = ManifestCache(home)
    if check:
        verification.require_intact(home, [entry, *bento_models], noted)
    digests = {model.path: noted.digests(model.kind, model.path) if check else {} for model in bento_models}
    cache = native_cache.open_cache((user_cache_directory() or home.own) / "native")
    [runner] = settings.get("load", [""])

    def build(scratch: Path) -> tuple[str, str, int]:
        base = read_base(settings["base"][0], settings["platform"][0], cache, registries, progress)
        _check(entry, base)
        wheels = find_wheels(entry.path, base, cache, progress)
        _check_packages(entry, base, wheels)
        built = _Builder(scratch, cache, settings, entry, base, lambda wheel: fetch(wheel, progress))
        built.add_wheels(wheels)
        built.add_bento([built.add_model(model, digests[model.path]) for model in bento_models])
        try:
            for output in settings.get("output", ()):
                _write_layout(Path(output.removeprefix(LAYOUT)), built, names)
            sent = _push(built, names, registries, progress, signing) if "push" in settings else 0
            if runner:
                _load(runner, built, names)
        except (BentoError, OSError) as error:
            if native_cache.remove_damaged(cache, built.manifest.layers(), built.blobs):
                raise native_cache.DamagedError(cache) from error
            raise
        return built.image.digest, base.name, sent

    client = Registries(settings.get("insecure", ()), interrupted=InterruptedUploads(user_cache_directory()))
    with client as registries, Progress(f"building {names[0]}") as progress:
        try:
            with tempfile.TemporaryDirectory(prefix="bento-image-") as scratch:
                built = build(Path(scratch))
        except native_cache.DamagedError:  # build the removed layers again
            with tempfile.TemporaryDirectory(prefix="bento-image-") as scratch:
                built = build(Path(scratch))
    return Containerized(entry, NATIVE, tuple(names), runner, *built)


def _read_options(entry: Entry, names: Sequence[str], options: Options) -> _Settings:
    """Return the values of each option, including defaults. The value of `load` is the container engine.

    Raises BentoError for an invalid or unsupported option.
    """
    machine = os.uname().machine
    settings = {"compression": ["gzip"], "platform": [f"linux/{ARCHITECTURES.get(machine, machine)}"]}
    declared = (entry.description.declared.get(key) or {} for key in ("image", "docker"))
    settings["base"] = [str(image["base_image"]) for image in declared if image.get("base_image")][:1]
    settings |= {name: [""] if value is True else [*value] for name, value in options.items() if value}
    for name, values in settings.items():
        if name not in _OPTIONS:
            raise BentoError(f"--{name} isn't supported by the native backend. {BUILDER_REMEDY}")
        option, pattern, form = _FORMS.get(name, (f"--{name}", ".*", ""))
        for text in values:
            if not re.fullmatch(pattern, text, re.DOTALL):
                raise BentoError(f"{option}: expected {form}, got {text!r}.")
        if len(values) > 1 and name not in _REPEATABLE:
            raise BentoError(f"{option}: expected one value, got {len(values)}. Specify {option} only once.")
    for name in names if "push" in settings else ():
        if not has_registry(name):
            raise BentoError(f"--push: the image name {name} has no registry. Use -t HOST/REPOSITORY:TAG.")
    if "load" in settings or not settings.keys() & {"output", "push"}:
        settings["load"] = [find_loader()]
    if settings.get("load") == [""]:
        raise BentoError(
            f"--backend native: no running container engine found. Install or start {' or '.join(LOADERS)}, push the "
            f"image with --push, or write an OCI layout with --output {LAYOUT}DIR."
        )
    if not settings["base"]:
        raise BentoError(f"{entry.tag}: the Bento doesn't specify a base image. Add --base IMAGE.")
    return settings


def regular_files(model: Entry, prefix: str, problem: str) -> Iterator[Member]:
    """Yield the files of a model with paths that begin with `prefix`. Raises BentoError for a symbolic link."""
    for member in walk(model.path, prefix):
        if member.link is not None:
            raise BentoError(f"{model.tag}: {member.path} is a symbolic link, which {problem}")
        if not member.is_directory:
            yield member


def weights_groups(weights: Sequence[_T]) -> list[list[_T]]:
    """Split weight files, sorted by path, into consecutive groups. As in the model rules, each group is one layer."""
    count = min(_MAX_WEIGHTS_LAYERS, len(weights))
    groups = groupby(enumerate(weights), lambda numbered: numbered[0] * count // len(weights))
    return [[file for _, file in group] for _, group in groups]


def _check(entry: Entry, base: BaseImageContents) -> None:
    """Raise BentoError if the base image is unsuitable for the Bento, or if the Bento's image requires commands."""
    document = entry.description.declared
    for step in image_requirements.unsupported_steps(document):
        raise BentoError(
            f"{entry.tag}: {step.description}, but the native backend can't run commands. {BUILDER_REMEDY}"
        )
    image, docker = (document.get(key) or {} for key in ("image", "docker"))
    wanted = ".".join(str(image.get("python_version") or docker.get("python_version") or "").split(".")[:2])
    if wanted and wanted != base.python_version:
        raise BentoError(
            f"--base: {base.name} has Python {base.python_version}, but {entry.tag} requires Python {wanted}. Use a "
            f"base image with Python {wanted}."
        )
    requirements = image_requirements.read_requirements(document)
    requests = {name: PackageRequest.parse(name) for name in requirements.packages}
    present = base.system.packages or ()
    missing = [name for name, request in requests.items() if not (request and request.is_satisfied(present))]
    if missing:
        raise BentoError(
            f"{entry.tag}: the base image {base.name} lacks required system packages: {', '.join(missing)}. "
            f"Use a base image with these packages. {BUILDER_REMEDY}"
        )


def _check_packages(entry: Entry, base: BaseImageContents, wheels: Sequence[LocalWheel]) -> None:
    """Raise BentoError if the packages don't include bentoml, or if the image lacks the required CUDA version."""
    if not any(wheel.distribution == "bentoml" for wheel in wheels):
        raise BentoError(
            f"{entry.tag}: the requirements don't include bentoml, which serves the Bento. Add bentoml to the "
            "requirements, and build the Bento again."
        )
    wanted = image_requirements.read_requirements(entry.description.declared).cuda
    names = [wheel.path.name for wheel in wheels]
    versions = [base.image.config["env"].get("CUDA_VERSION", ""), *image_requirements.cuda_of_wheels(names)]
    if wanted and wanted.split(".")[:2] not in [version.split(".")[:2] for version in versions]:
        raise BentoError(
            f"{entry.tag}: docker.cuda_version is {wanted}, but neither {base.name} nor the packages contain this CUDA "
            f"version. Use a base image with CUDA {wanted}. {BUILDER_REMEDY}"
        )


def _exclude_option(package: str, patterns: list[str]) -> str:
    return f"add {' '.join(f'--opt exclude={package}:{pattern}' for pattern in patterns)}"


@cache
def _code_digest() -> str:
    """Return a digest of the libzstd version and of the code that builds images, for cache keys."""
    digest = hashlib.sha256(zstd.library_version().encode())
    for module in (sys.modules[__name__], archives, rules_bento.images, rules_bento.models):
        archive = getattr(module.__loader__, "archive", "")  # under Bazel, a zip contains the code
        directories = [Path(path) for path in getattr(module, "__path__", ())]
        files = [Path(archive)] if archive else [path for each in directories for path in _modules(each)]
        for path in files or [Path(str(module.__file__))]:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _modules(directory: Path) -> list[Path]:
    return [directory / path for path, _ in tree_walk.walk(directory) if path.endswith(".py")]


class _Builder:
    """Builds an image with the functions of the Bazel rules' actions, and caches the layers."""

    def __init__(
        self,
        scratch: Path,
        cache: Path,
        settings: _Settings,
        entry: Entry,
        base: BaseImageContents,
        fetch_wheel: Callable[[LocalWheel], None],
    ) -> None:
        """Start with the layers of the base image. Before a wheel is read, `fetch_wheel` verifies the wheel."""
        self._scratch = scratch
        self._cache = cache / "layers"
        self._entry = entry
        self.base = base
        self._settings = settings
        self._compression = cast("Compression", settings["compression"][0])
        self._layout = InstallLayout.venv(_PREFIX, int(base.python_version.split(".")[1]), **_OWNER)
        self._fetch = fetch_wheel
        self._excluded: dict[str, list[str]] = {}  # patterns by package
        described = enumerate(base.image.to_json()["layers"])
        self._layers = [oci_image.Layer(**fields, name=f"base layer {number}") for number, fields in described]
        self.blobs = {layer.digest: base.layout.blob(layer.digest) for layer in self._layers}

    def _cached(self, key: object, write: Callable[[Path], None]) -> Path:
        """Return the cached directory for `key`. If no directory exists, calls `write` to create the files."""
        text = json.dumps([_code_digest(), key])
        directory = self._cache / hashlib.sha256(text.encode()).hexdigest()
        return native_cache.read_directory(directory, write, large=[_BLOB])

    def _add_layer(self, name: str, key: object, write: Callable[[Path], LayerInfo]) -> None:
        """Add the layer that `write` creates, unless the cache has a layer for `key`."""
        self._add(self._cached([self._compression, name, key], partial(self._write_layer, name, write)))

    def _write_layer(self, name: str, write: Callable[[Path], LayerInfo], directory: Path) -> None:
        text = description.dumps(write(directory / _BLOB), name, self._compression)
        (directory / _DESCRIPTION).write_text(text, "utf-8")

    def _write_files(self, listed: Callable[[], Sequence[Member]], out: Path) -> LayerInfo:
        return write_files_layer(out, listed(), self._compression)

    def _add(self, directory: Path) -> None:
        self._layers.append(oci_image.Layer.loads((directory / _DESCRIPTION).read_text("utf-8")))
        self.blobs[self._layers[-1].digest] = directory / _BLOB

    def add_wheels(self, wheels: Sequence[LocalWheel]) -> None:
        """Add the layers of the environment and the packages: a layer per large wheel, then layers of small wheels."""
        environment = (_HOME, _PREFIX, self.base.python, self.base.python_version, USER)
        listed = partial(members.environment_members, *environment)
        self._add_layer("environment", environment, partial(self._write_files, listed))
        by_name = {wheel.distribution: wheel for wheel in wheels}
        sizes = {name: wheel.path.stat().st_size for name, wheel in by_name.items()}
        groups = group_wheels(sizes)
        large = [names for names in groups if len(names) == 1 and sizes[names[0]] >= ALONE]
        for package, _, pattern in (text.partition(":") for text in self._settings.get("exclude", ())):
            self._excluded.setdefault(normalize_name(package), []).append(pattern)
        if unknown := self._excluded.keys() - by_name.keys():
            raise BentoError(
                f"--opt exclude: {min(unknown)} isn't a package of the image. Correct the name, or remove the option."
            )
        self._check_libraries(wheels)
        for names in sorted(groups, key=lambda names: names not in large):
            title = f"{len(names)} small packages" if len(names) > 1 else f"{names[0]} {by_name[names[0]].version}"
            group = [by_name[name] for name in names]
            key = [names in large, self._layout, [self._wheel_key(wheel) for wheel in group]]
            write = partial(self._write_wheel, group[0]) if names in large else partial(self._join_wheels, group)
            self._add_layer(title, key, write)

    def _wheel_key(self, wheel: LocalWheel) -> object:
        return [wheel.sha256, self._excluded.get(wheel.distribution, [])]

    def _read_wheel(self, wheel: LocalWheel) -> Wheel:
        self._fetch(wheel)
        complete = Wheel.read(wheel.path, Locked(""))
        patterns = self._excluded.get(wheel.distribution)
        return without(complete, Exclude(patterns, [], "--opt exclude")) if patterns else complete

    def _write_wheel(self, wheel: LocalWheel, out: Path) -> LayerInfo:
        return write_wheel_layer(out, self._read_wheel(wheel), self._layout, self._compression)

    def _join_wheels(self, wheels: Sequence[LocalWheel], out: Path) -> LayerInfo:
        parts = []
        for wheel in wheels:
            path = self._scratch / f"{wheel.distribution}.part"
            listing = write_wheel_part(path, self._read_wheel(wheel), self._layout, self._compression)
            parts.append(WheelPart(listing, path))
        return join_parts(out, parts, self._layout, self._compression)

    def _check_libraries(self, wheels: Sequence[LocalWheel]) -> None:
        """Raise BentoError if a wheel can't run on the base image, for example because a shared library is missing."""
        base = self.base
        glibc = base.glibc if base.glibc != (0, 0) else None  # without glibc, the libraries lack libc.so.6
        architecture = base.image.config["architecture"]
        contents = image_checks.Base(base.name, architecture, glibc, base.libraries, base.python_version)

        def check(_: Path) -> None:
            packages = [*map(self._libraries, wheels)]
            check_shared_files([PackageFiles(each.distribution, each.files) for each in packages], _exclude_option)
            result = image_checks.check(contents, (), packages, (), remedies=_LIBRARY_REMEDIES)
            if result.problems:
                raise BentoError("\n".join(result.problems))

        self._cached([contents, [self._wheel_key(wheel) for wheel in wheels]], check)

    def _libraries(self, wheel: LocalWheel) -> Libraries:
        """Return the shared libraries of a wheel."""

        def write(directory: Path) -> None:
            (directory / _LIBRARIES).write_text(Libraries.read(self._read_wheel(wheel)).dumps(), "utf-8")

        directory = self._cached(["libraries", self._wheel_key(wheel)], write)
        return Libraries.loads((directory / _LIBRARIES).read_text("utf-8"))

    def add_model(self, model: Entry, digests: Mapping[str, str]) -> ModelDescription:
        """Add the layers of a model, weights first. Returns the model's description.

        `digests` contains the BLAKE3 digests of verified files. All other files are read.
        """
        files: dict[str, DeclaredFile] = {}
        states: dict[str, object] = {}  # in keys: the digest and mode of each file
        for member in regular_files(model, "", f"the native backend doesn't support. {BUILDER_REMEDY}"):
            path = model.path / member.path
            files[member.path] = DeclaredFile(member.path, str(path), f"model {model.tag}", filtered=False)
            state = path.stat()
            digest = digests.get(member.path) or verification.digest_of(path, state.st_size)
            states[member.path] = [digest, state.st_mode]

        def describe(directory: Path) -> None:
            entry = model_store.from_files([*files.values()], str(model.tag)).entry
            (directory / "description").write_text(entry.description.dumps(), "utf-8")
            (directory / "manifest").write_text(entry.manifest.to_json(), "utf-8")
            (directory / "model.yaml").write_bytes(entry.model_yaml)

        described = self._cached(["model", states], describe)
        entry = ModelEntry(
            ModelDescription.loads((described / "description").read_text("utf-8")),
            (described / "model.yaml").read_bytes(),
            TreeManifest.from_json((described / "manifest").read_text("utf-8"), str(model.tag)),
        )
        stored = model_store.StoredModel(entry, {path: file.source for path, file in files.items()})
        place = f"{_HOME}/weights/{model.tag.name}"
        has_names = any(path.endswith(_NAMING) for path in files)
        weights = [] if has_names else sorted(path for path in files if path.endswith(WEIGHTS))
        for group in weights_groups(weights):
            name, chosen = f"weights {', '.join(group)}", [files[path] for path in group]
            listed = partial(members.weights_members, chosen, _BENTO, place, _OWNER)
            key = [place, {path: states[path] for path in group}]
            self._add_layer(name, key, partial(self._write_files, listed))
        listed = partial(members.model_members, stored, _BENTO, frozenset(weights), place, _OWNER)
        self._add_layer(f"model {model.tag}", [weights, states], partial(self._write_files, listed))
        return entry.description

    def add_bento(self, described: Sequence[ModelDescription]) -> None:
        """Add the layer of the Bento, which contains the models in `described`."""
        files = (member for member in walk(self._entry.path, "", skip="models") if not member.is_directory)
        listed = sorted(streamed_members(files), key=members.bento_order)
        tar = members.bento_tar(_BENTO, _OWNER, listed, [*described])
        self._write_layer("Bento", lambda out: write_tar_layer(out, tar, self._compression), self._scratch)
        self._add(self._scratch)

    @cached_property
    def image(self) -> oci_image.OciImage:
        """The config and manifest of the image, with the default settings of `bento_image`."""
        described = self._entry.description
        document = described.declared | {name: described.document[name] for name in ("envs", "labels")}
        created = str(document["creation_time"]) if self._entry.creation_time.tzinfo else self._entry.moment.isoformat()
        base = self.base.image.config | {"digest": self.base.image.digest, "origin": self.base.origin}
        oci_image.check_layers(self._layers, f"Use a base image with fewer layers. {BUILDER_REMEDY}")
        if self._compression == "gzip":
            image_config.require_gzip(self._layers, "--opt compression=gzip", "use --opt compression=zstd")
        config = image_config.image_config(
            base,
            document,
            created=created,
            directory=_BENTO,
            environment=_PREFIX,
            home=_HOME,
            user=f"{USER}:{USER}",
            ports=["3000/tcp"],
            labels=dict(text.split("=", 1) for text in self._settings.get("label", ())),
        )
        return oci_image.make_image(self._layers, config)

    @property
    def manifest(self) -> Manifest:
        """The parsed manifest of the image."""
        return Manifest.read(self.image.manifest, MANIFEST, "the image")


def _push(
    built: _Builder, names: Sequence[str], registries: Registries, progress: Progress, signing: Signing | None
) -> int:
    """Push the image. If `signing` is set, signs the image first. Returns the number of bytes sent."""
    manifest, history = built.manifest, BlobHistory.from_user_cache()
    sources: dict[str, BlobSource] = {digest: FileSource(path) for digest, path in built.blobs.items()}
    sources[manifest.config.digest] = BytesSource(built.image.config)
    references = [Reference.from_url(name) for name in names]
    targets = [reference if reference.tag else reference.with_tag("latest") for reference in references]
    package = Pushable(manifest, (), sources, [built.base.origin] if built.base.origin else [], history.repositories())
    sign_in_registries(manifest.descriptor, targets, signing, registries, progress)
    pushed = push(package, targets, registries, progress)
    history.note((entry.reference.name for entry in pushed), sources)
    return sum(entry.size for entry in pushed)


def _write_layout(directory: Path, built: _Builder, names: Sequence[str]) -> None:
    """Add the image to an OCI layout. Copies only blobs that the layout lacks."""
    layout = Layout.create(directory)
    layout.add(built.image.config)
    for blob in built.manifest.layers():
        if not layout.has(blob):
            with atomic_file(layout.blob(blob.digest)) as file:
                for piece in FileSource(built.blobs[blob.digest]).verified_pieces(blob.digest, blob.size):
                    file.write(piece)
    with layout.lock():
        for name in names:
            layout.add_manifest(built.manifest, name.rpartition("/")[2].partition(":")[2] or "latest")


def _load(tool: str, built: _Builder, names: Sequence[str]) -> None:
    """Load the image into a container engine, and tag the image with all names."""
    program = which(tool) or tool
    status = load(program, oci_layout.docker_archive(built.image, built.blobs, names[0]), stdout=2)
    for name in names[1:]:
        status = status or subprocess.run([program, "tag", names[0], name], check=False, stdout=2).returncode
    if status:
        raise BentoError(f"{tool}: cannot load the image. Check the output above.")
