"""Builds images of Bentos without an image builder. The images have the same digests as images from `bento_image`.

Caches the layers that contain packages, models, and the environment. Therefore, a change in a source file requires only
a new layer of source files, a new config, and a new manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from itertools import chain
from pathlib import Path

from rules_bento import actions, archives, images
from rules_bento.actions import layers, models, wheel_layers
from rules_bento.actions.images import image as image_action
from rules_bento.archives import sha256_of
from rules_bento.archives.atomic import atomic_dir, atomic_file
from rules_bento.arguments import Arguments, Subcommand
from rules_bento.artifacts.signatures import sign_in_registries
from rules_bento.bento.kinds import BENTO
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.formats.yaml import read_mapping
from rules_bento.images import image_requirements, oci_image, oci_layout
from rules_bento.images.engines import LOADERS, find_loader
from rules_bento.images.layers import zstd
from rules_bento.images.system_packages import PackageRequest
from rules_bento.images.wheel_groups import ALONE, group_wheels
from rules_bento.net.transfers import Progress
from rules_bento.packages.requirements import normalize_name
from rules_bento.programs import which
from rules_bento.registry.client import Registries
from rules_bento.registry.descriptor import MANIFEST, Manifest
from rules_bento.registry.layout import Layout
from rules_bento.registry.push import push
from rules_bento.registry.pushable import BytesSource, FileSource, Pushable
from rules_bento.registry.reference import Reference, has_registry
from rules_bento.run.blob_history import BlobHistory, user_cache_directory
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Sequence, TypeVar

from bento_cli.sharing.backends import BUILDER_REMEDY, NATIVE_OPTIONS
from bento_cli.sharing.native_base import LAYOUT, BaseImageContents, read_base
from bento_cli.sharing.native_packages import LocalWheel, Target, find_wheels
from bento_cli.store import verification
from bento_cli.store.entry_store import models_of
from bento_cli.store.export import streamed_members, walk

if TYPE_CHECKING:
    from rules_bento.artifacts.signatures import Signing
    from rules_bento.registry.pushable import BlobSource

    from bento_cli.sharing.backends import Options
    from bento_cli.store.entry_store import Entry
    from bento_cli.store.home import Home

_T = TypeVar("_T")
# As in rules/private/layers.bzl, transitions.bzl, and model_entry.bzl.
_BENTO, _HOME, USER, _PREFIX = "/home/bentoml/bento", "/home/bentoml", "1034", "/app/.venv"
WEIGHTS, _NAMING = (".bin", ".ckpt", ".gguf", ".pt", ".pth", ".safetensors"), ".onnx"
_MAX_WEIGHTS_LAYERS = 31
_MODEL_FILES = {"--description": "description.json", "--manifest": "manifest.json", "--model-yaml": "model.yaml"}
_BLOB, _DESCRIPTION = "blob", "description.json"  # of a layer in the cache
_COMPRESSIONS = ("zstd", "gzip")
_ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}
_FORMS = {"exclude": "PACKAGE:PATTERN", "label": "KEY=VALUE"}

_OPTIONS = NATIVE_OPTIONS | {"compression", "label", "load", "output", "platform", "progress", "push", "quiet"}


class NativeImage(NamedTuple):
    """A built image and its base image. `blobs` maps the digest of each layer to the path of the layer's file."""

    image: oci_image.OciImage
    blobs: dict[str, Path]
    base: BaseImageContents


class Built(NamedTuple):
    """The result of building an image."""

    digest: str
    base: str  # with its digest
    runner: str  # program that can run the image; empty if it wasn't loaded
    sent: int  # bytes sent to registries


def containerize(
    home: Home,
    entry: Entry,
    names: Sequence[str],
    options: Options,
    *,
    check: bool = True,
    signing: Signing | None = None,
) -> Built:
    """Build the image of a Bento, and write, load, or push it. Raises BentoError if one of these steps fails.

    If `signing` is set, signs the image before tagging it in registries.
    """
    settings = _read_settings(names, options)
    bento_models = models_of(home, entry)
    if check:
        verification.require_intact(home, [entry, *bento_models])
    cache = (user_cache_directory() or home.own) / "native"
    with (
        Registries(_values(options, "insecure")) as registries,
        Progress(f"building {names[0]}") as progress,
        tempfile.TemporaryDirectory(prefix="bento-image-") as scratch,
    ):
        base = read_base(
            _value(options, "base") or _default_base(entry), settings.platform, cache, registries, progress
        )
        _check(entry, base)
        target = Target(base.image.config["architecture"], base.python_version, base.glibc)
        wheels = find_wheels(entry.path, target, cache, progress)
        _check_packages(entry, base, wheels)
        built = _Builder(Path(scratch), cache, settings).build(entry, bento_models, base, wheels)
        if settings.output:
            _write_layout(Path(settings.output), built, names)
        sent = _push(built, names, registries, progress, signing) if options.get("push") else 0
        runner = _load(built, names) if settings.loads else ""
    return Built(built.image.digest, base.name, runner, sent)


class _Settings(NamedTuple):
    platform: str
    compression: str
    labels: list[tuple[str, str]]
    exclude: list[tuple[str, str]]  # package, pattern of its files
    output: str  # directory; empty for none
    loads: bool


def _read_settings(names: Sequence[str], options: Options) -> _Settings:
    """Parse the options. Raises BentoError for an option that is invalid or that this backend doesn't support."""
    for name in options:
        if name not in _OPTIONS:
            raise BentoError(f"--{name} isn't supported by the native backend. {BUILDER_REMEDY}")
    compression, output = _value(options, "compression") or _COMPRESSIONS[0], _value(options, "output")
    if compression not in _COMPRESSIONS:
        raise BentoError(f"--opt compression: invalid value {compression!r}. Use {' or '.join(_COMPRESSIONS)}.")
    if output and not output.startswith(LAYOUT):
        raise BentoError(f"--output: expected {LAYOUT}DIR, got {output!r}. Specify a directory for an OCI layout.")
    machine = os.uname().machine
    platform = _value(options, "platform") or f"linux/{_ARCHITECTURES.get(machine, machine)}"
    labels, exclude = _pairs(options, "label", "="), _pairs(options, "exclude", ":")
    if options.get("push") and options.get("load"):
        raise BentoError("--load and --push can't be combined. Remove one of the two options.")
    for name in names if options.get("push") else ():
        if not has_registry(name):
            raise BentoError(f"--push: the image name {name} has no registry. Use -t HOST/REPOSITORY:TAG.")
    loads = bool(options.get("load")) or not (options.get("push") or output)
    if loads and not find_loader():
        raise BentoError(
            f"--backend native: no running container engine found. Install or start {' or '.join(LOADERS)}, push the "
            f"image with --push, or write an OCI layout with --output {LAYOUT}DIR."
        )
    return _Settings(platform, compression, labels, exclude, output.removeprefix(LAYOUT), loads)


def weights_groups(weights: Sequence[_T]) -> list[list[_T]]:
    """Split weight files, sorted by path, into consecutive groups. As in the model rules, each group is one layer."""
    count = min(_MAX_WEIGHTS_LAYERS, len(weights))
    groups: list[list[_T]] = [[] for _ in range(count)]
    for number, file in enumerate(weights):
        groups[number * count // len(weights)].append(file)
    return groups


def _values(options: Options, name: str) -> list[str]:
    value = options.get(name, ())
    return [] if isinstance(value, bool) else [*value]


def _value(options: Options, name: str) -> str:
    values = _values(options, name)
    if len(values) > 1:
        raise BentoError(f"--{name}: expected one value, got {len(values)}. Specify --{name} only once.")
    return values[0] if values else ""


def _pairs(options: Options, name: str, separator: str) -> list[tuple[str, str]]:
    parted = {text: text.partition(separator) for text in _values(options, name)}
    for text, (key, found, _) in parted.items():
        if not (key and found):
            raise BentoError(f"--{name}: expected {_FORMS[name]}, got {text!r}.")
    return [(key, value) for key, _, value in parted.values()]


def _document(entry: Entry) -> dict[str, Any]:
    """Return the parsed bento.yaml, including fields that `entry.description.document` omits."""
    path = entry.path / BENTO.descriptor
    return read_mapping(read_file(path), str(path))


def _default_base(entry: Entry) -> str:
    image, docker = (_document(entry).get(key) or {} for key in ("image", "docker"))
    base = image.get("base_image") or docker.get("base_image")
    if not base:
        raise BentoError(f"{entry.tag} specifies no base image. Add --base IMAGE.")
    return str(base)


def _check(entry: Entry, base: BaseImageContents) -> None:
    """Raise BentoError if the base image is unsuitable for the Bento, or if the Bento's image requires commands."""
    document = _document(entry)
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
    packages = base.system.packages or ()
    missing = [
        name
        for name in requirements.packages
        if not ((request := PackageRequest.parse(name)) and request.is_satisfied(packages))
    ]
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
    wanted = image_requirements.read_requirements(_document(entry)).cuda
    names = [wheel.path.name for wheel in wheels]
    versions = [base.config["env"].get("CUDA_VERSION", ""), *image_requirements.cuda_of_wheels(names)]
    if wanted and wanted.split(".")[:2] not in [version.split(".")[:2] for version in versions]:
        raise BentoError(
            f"{entry.tag}: docker.cuda_version is {wanted}, but neither {base.name} nor the packages contain this CUDA "
            f"version. Use a base image with CUDA {wanted}. {BUILDER_REMEDY}"
        )


@cache
def _code_digest() -> str:
    """Return a digest of the libzstd version and of the code that builds images, for cache keys."""
    digest = hashlib.sha256(zstd.library_version().encode())
    for package in (actions, archives, images):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


class _Builder:
    """Builds an image by running the actions of the Bazel rules, and caches the layers."""

    def __init__(self, scratch: Path, cache_directory: Path, settings: _Settings) -> None:
        self._scratch = scratch
        self._cache = cache_directory / "layers"
        self._settings = settings

    def build(
        self, entry: Entry, bento_models: Sequence[Entry], base: BaseImageContents, wheels: Sequence[LocalWheel]
    ) -> NativeImage:
        """Write the layers, config, and manifest of an image, and return the image."""
        own = [self._environment_layer(base), *self._wheel_layers(wheels, base.python_version)]
        of_models = [self._model_layers(model) for model in bento_models]
        own += [layer for _, model_layers in of_models for layer in model_layers]
        own.append(self._bento_layer(entry, [described for described, _ in of_models]))
        blobs = {layer.digest: base.layout.blob(layer.digest) for layer, _ in base.image.layers}
        for layer in own:
            blobs[oci_image.Layer.loads((layer / _DESCRIPTION).read_text("utf-8")).digest] = layer / _BLOB
        return NativeImage(self._image(entry, base, own), blobs, base)

    def _cached(self, name: str, inputs: object, write: Callable[[Path], None]) -> Path:
        """Return the cached directory for `inputs`. If no directory exists, calls `write` to create the files."""
        key = json.dumps([_code_digest(), self._settings.compression, name, inputs])
        directory = self._cache / hashlib.sha256(key.encode()).hexdigest()
        if not directory.exists():
            try:
                with atomic_dir(directory) as unfinished:
                    write(unfinished)
            except OSError:
                if not directory.exists():  # otherwise, another process has just created it
                    raise
        return directory

    def _layer(self, action: Subcommand, words: Sequence[str | Path], inputs: object) -> Path:
        """Run an action unless its layer is cached. Returns the layer's directory. The cache key includes `inputs`."""

        def write(directory: Path) -> None:
            _run(action, [*words, *self._outputs(directory)])

        settings = [word for word in words if isinstance(word, str)]
        return self._cached(action.run.__name__, [settings, inputs], write)

    def _outputs(self, directory: Path) -> list[str | Path]:
        outputs: list[str | Path] = ["--output", directory / _BLOB, "--description", directory / _DESCRIPTION]
        return ["--compression", self._settings.compression, *outputs]

    def _environment_layer(self, base: BaseImageContents) -> Path:
        words = ["--prefix", _PREFIX, "--python", base.python, "--python-version", base.python_version]
        return self._layer(layers.environment_layer, [*words, "--home", _HOME, "--user", USER], [])

    def _wheel_layers(self, wheels: Sequence[LocalWheel], python_version: str) -> Iterator[Path]:
        """Yield the directory of each layer. Each large wheel is one layer. Layers of small wheels follow."""
        by_name = {wheel.distribution: wheel for wheel in wheels}
        sizes = {name: wheel.path.stat().st_size for name, wheel in by_name.items()}
        groups = group_wheels(sizes)
        settings = ["--prefix", _PREFIX, "--python-version", python_version, "--user", USER]
        alone = [names[0] for names in groups if len(names) == 1 and sizes[names[0]] >= ALONE]
        for wheel in map(by_name.__getitem__, alone):
            words = [*settings, "--name", _wheel_name(wheel), *_wheel_words(wheel, self._settings)]
            yield self._layer(wheel_layers.wheel_layer, words, _identity([wheel], self._settings))
        for names in groups:
            if names[0] not in alone:
                yield self._joined_layer([by_name[name] for name in names], settings)

    def _joined_layer(self, group: Sequence[LocalWheel], settings: Sequence[str]) -> Path:
        name = f"{len(group)} small packages" if len(group) > 1 else _wheel_name(group[0])

        def write(directory: Path) -> None:
            """Write a partial layer for each wheel, and join the partial layers into one layer."""
            parts: list[str | Path] = []
            for wheel in group:
                part, listing = (self._scratch / f"{wheel.distribution}.{suffix}" for suffix in ("part", "json"))
                words: list[str | Path] = [*settings, *_wheel_words(wheel, self._settings)]
                words += ["--compression", self._settings.compression, "--output", part, "--listing", listing]
                _run(wheel_layers.wheel_part, words)
                parts += ["--part", listing, part]
            _run(wheel_layers.join_layers, [*settings, "--name", name, *parts, *self._outputs(directory)])

        return self._cached("join_layers", [*settings, name, _identity(group, self._settings)], write)

    def _model_layers(self, model: Entry) -> tuple[Path, list[Path]]:
        """Return the directory of a model's description, and the directories of the model's layers, weights first."""
        place = ["--package", "", "--strip-prefix", ""]
        sources: dict[str, list[str | Path]] = {}
        for member in walk(model.path, ""):
            if member.link is not None:
                raise BentoError(
                    f"{model.tag}: {member.path} is a symbolic link, which the native backend doesn't support. "
                    f"{BUILDER_REMEDY}"
                )
            if not member.is_directory:
                sources[member.path] = ["--source", model.path / member.path, member.path, str(model.tag)]

        def inputs(paths: Iterable[str]) -> list[Any]:
            # Entries of the store don't change, so the contents aren't read.
            statuses = ((path, (model.path / path).stat()) for path in paths)
            return [(path, status.st_size, status.st_mtime_ns, status.st_mode) for path, status in statuses]

        def describe(directory: Path) -> None:
            outputs = [word for flag, name in _MODEL_FILES.items() for word in (flag, directory / name)]
            _run(models.model, [*place, *chain(*sources.values()), *outputs])

        described = self._cached("model", [str(model.tag), inputs(sources)], describe)
        common = [*place, "--directory", _BENTO, "--user", USER]
        weights = sorted(path for path in sources if path.endswith(WEIGHTS))
        if not weights or any(path.endswith(_NAMING) for path in sources):
            words: list[str | Path] = [*common, *chain(*sources.values())]
            return described, [self._layer(models.model_layer, words, inputs(sources))]
        common += ["--weights", f"{_HOME}/weights/{model.tag.name}"]
        own = [
            self._layer(models.weights_layer, [*common, *chain(*map(sources.__getitem__, group))], inputs(group))
            for group in weights_groups(weights)
        ]
        words = [*common, *(word for path, of in sources.items() if path not in weights for word in of)]
        words += [word for path in weights for word in ("--weights-file", "", path, str(model.tag))]
        words += [word for flag, name in _MODEL_FILES.items() for word in (f"--written{flag[1:]}", described / name)]
        return described, [*own, self._layer(models.model_layer, words, inputs(sources))]

    def _bento_layer(self, entry: Entry, described: Sequence[Path]) -> Path:
        files = (member for member in walk(entry.path, "", skip="models") if not member.is_directory)
        members = sorted(streamed_members(files), key=layers.bento_order)
        words = ["--directory", _BENTO, "--user", USER, *self._outputs(self._scratch)]
        words += [word for model in described for word in ("--model", model / _DESCRIPTION)]
        layers.write_bento_layer(_parsed(layers.bento_layer, words), members)
        return self._scratch

    def _image(self, entry: Entry, base: BaseImageContents, own: Sequence[Path]) -> oci_image.OciImage:
        """Return the config and manifest of the image, with the default settings of `bento_image`."""
        described = []
        for number, layer in enumerate(base.image.to_json()["layers"]):
            described.append(self._scratch / f"base.{number}.json")
            described[-1].write_text(json.dumps({**layer, "name": f"base layer {number}"}), "utf-8")
        config = self._scratch / "base.json"
        config.write_text(json.dumps(base.config), "utf-8")
        outputs = [self._scratch / name for name in ("config", "manifest", "digest")]
        text = str(_document(entry)["creation_time"])
        created = text if entry.creation_time.tzinfo else entry.moment.isoformat()
        words: list[str | Path] = ["--bento-yaml", entry.path / BENTO.descriptor, "--base-config", config]
        words += ["--bento", _BENTO, "--environment", _PREFIX, "--home", _HOME]
        words += ["--compression", self._settings.compression]
        words += ["--created", created, "--user", f"{USER}:{USER}", "--port", "3000/tcp", "--stop-signal", "SIGTERM"]
        for pair in self._settings.labels:
            words += ["--label", *map(json.dumps, pair)]
        words += [word for path in (*described, *(layer / _DESCRIPTION for layer in own)) for word in ("--layer", path)]
        words += ["--config", outputs[0], "--manifest", outputs[1], "--digest", outputs[2]]
        _run(image_action, words)
        return oci_image.OciImage(outputs[0].read_bytes(), outputs[1].read_bytes())


def _parsed(action: Subcommand, words: Sequence[str | Path]) -> Arguments:
    return Arguments([*map(str, words)], action.flags)


def _run(action: Subcommand, words: Sequence[str | Path]) -> None:
    action.run(_parsed(action, words))


def _wheel_name(wheel: LocalWheel) -> str:
    return f"{wheel.distribution} {wheel.version}"


def _wheel_words(wheel: LocalWheel, settings: _Settings) -> list[str | Path]:
    words: list[str | Path] = ["--wheel", wheel.path, *(["--locked", wheel.sha256] if wheel.sha256 else [])]
    for pattern in _patterns(wheel, settings):
        words += ["--exclude", json.dumps(pattern)]
    return words


def _patterns(wheel: LocalWheel, settings: _Settings) -> list[str]:
    return [pattern for name, pattern in settings.exclude if normalize_name(name) == wheel.distribution]


def _identity(wheels: Sequence[LocalWheel], settings: _Settings) -> list[list[str]]:
    """Return the name, digest, and exclude patterns of each wheel, for cache keys."""
    return [[wheel.path.name, wheel.sha256 or sha256_of(wheel.path), *_patterns(wheel, settings)] for wheel in wheels]


def _push(
    built: NativeImage, names: Sequence[str], registries: Registries, progress: Progress, signing: Signing | None
) -> int:
    """Push the image. If `signing` is set, signs the image first. Returns the number of bytes sent."""
    manifest, history = _manifest(built), BlobHistory.from_user_cache()
    sources: dict[str, BlobSource] = {digest: FileSource(path) for digest, path in built.blobs.items()}
    sources[manifest.config.digest] = BytesSource(built.image.config)
    mount_from = [built.base.origin] if built.base.origin else []
    references = [Reference.from_url(name) for name in names]
    targets = [reference if reference.tag else reference.with_tag("latest") for reference in references]
    package = Pushable(manifest, (), sources, mount_from, history.repositories())
    sign_in_registries(manifest.descriptor, targets, signing, registries, progress)
    pushed = push(package, targets, registries, progress)
    history.note((entry.reference.name for entry in pushed), sources)
    return sum(entry.size for entry in pushed)


def _manifest(built: NativeImage) -> Manifest:
    return Manifest.read(built.image.manifest, MANIFEST, "the image")


def _write_layout(directory: Path, built: NativeImage, names: Sequence[str]) -> None:
    """Add the image to an OCI layout. Copies only blobs that the layout lacks."""
    manifest, layout = _manifest(built), Layout.create(directory)
    layout.add(built.image.config)
    for blob in manifest.layers():
        if not layout.has(blob):
            with atomic_file(layout.blob(blob.digest)) as file, built.blobs[blob.digest].open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
    with layout.lock():
        for name in names:
            layout.add_manifest(manifest, name.rpartition("/")[2].partition(":")[2] or "latest")


def _load(built: NativeImage, names: Sequence[str]) -> str:
    """Load the image into a container engine, and tag the image with all names. Returns the engine's name."""
    tool = find_loader()
    program = which(tool) or tool
    loading = subprocess.Popen([program, "load"], stdin=subprocess.PIPE, stdout=2)
    if loading.stdin is None:
        raise AssertionError
    with suppress(BrokenPipeError), loading.stdin as pipe:
        pipe.writelines(oci_layout.docker_archive(built.image, built.blobs, names[0]))
    commands = [[program, "tag", names[0], name] for name in names[1:]]
    if loading.wait() or any(subprocess.run(command, check=False, stdout=2).returncode for command in commands):
        raise BentoError(f"{tool}: cannot load the image. Check the output above.")
    return tool
