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
import tempfile
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path

import rules_bento.images
from rules_bento import actions, archives
from rules_bento.actions import images, layers, models, wheel_layers
from rules_bento.archives.atomic import atomic_file
from rules_bento.arguments import Arguments, Subcommand
from rules_bento.artifacts.signatures import sign_in_registries
from rules_bento.errors import BentoError
from rules_bento.images import image_checks, image_requirements, oci_image, oci_layout
from rules_bento.images.engines import LOADERS, find_loader
from rules_bento.images.layers import zstd
from rules_bento.images.system_packages import PackageRequest
from rules_bento.images.wheel_groups import ALONE, group_wheels
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.net.transfers import Progress
from rules_bento.packages.platforms import ARCHITECTURES
from rules_bento.packages.requirements import normalize_name
from rules_bento.packages.shared_files import PackageFiles, check_shared_files
from rules_bento.programs import which
from rules_bento.registry.client import Registries
from rules_bento.registry.descriptor import MANIFEST, Manifest
from rules_bento.registry.layout import Layout
from rules_bento.registry.push import push
from rules_bento.registry.pushable import BytesSource, FileSource, Pushable
from rules_bento.registry.reference import Reference, has_registry
from rules_bento.run.blob_history import BlobHistory, user_cache_directory
from rules_bento.run.load import load
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Sequence, TypeVar

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
    from rules_bento.registry.pushable import BlobSource

    from bento_cli.sharing.backends import Options
    from bento_cli.store.entry_store import Entry
    from bento_cli.store.home import Home

_T = TypeVar("_T")
_Flags = dict[str, Any]  # values of an action's flags, without the leading hyphens
_Settings = dict[str, list[str]]  # values of options
# As in private/layers.bzl, transitions.bzl, and model_entry.bzl.
_BENTO, _HOME, USER, _PREFIX = "/home/bentoml/bento", "/home/bentoml", "1034", "/app/.venv"
WEIGHTS, _NAMING = (".bin", ".ckpt", ".gguf", ".pt", ".pth", ".safetensors"), ".onnx"
_MAX_WEIGHTS_LAYERS = 31
_MODEL_FILES = ("description", "manifest", "model-yaml")  # names of files and of flags
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
    "compression": ("--opt compression", "zstd|gzip", "zstd or gzip"),
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
    cache = (user_cache_directory() or home.own) / "native"
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

    with Registries(settings.get("insecure", ())) as registries, Progress(f"building {names[0]}") as progress:
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
    settings = {"compression": ["zstd"], "platform": [f"linux/{ARCHITECTURES.get(machine, machine)}"]}
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
    for package in (actions, archives, rules_bento.images):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


class _Builder:
    """Builds an image by running the actions of the Bazel rules, and caches the layers."""

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
        self._common: _Flags = {"compression": settings["compression"][0], "user": USER}
        self._fetch = fetch_wheel
        self._wheels: dict[Path, LocalWheel] = {}
        self._digests: dict[Path, str] = {}  # BLAKE3 of the models' files
        described = enumerate(base.image.to_json()["layers"])
        self._layers = [oci_image.Layer(**fields, name=f"base layer {number}") for number, fields in described]
        self.blobs = {layer.digest: base.layout.blob(layer.digest) for layer in self._layers}

    def _cached(self, key: object, write: Callable[[Path], None]) -> Path:
        """Return the cached directory for `key`. If no directory exists, calls `write` to create the files."""
        text = json.dumps([_code_digest(), key], default=self._identity)
        directory = self._cache / hashlib.sha256(text.encode()).hexdigest()
        return native_cache.read_directory(directory, write, large=[_BLOB])

    def _identity(self, path: Path) -> object:
        """Return the part of a key that represents a file: the digest of the content, and for a model, the mode."""
        if path.parent == self._scratch:
            return path.name
        return self._wheels[path].sha256 if path in self._wheels else [self._digests[path], path.stat().st_mode]

    def _run(self, action: Subcommand, flags: _Flags) -> None:
        if "wheel" in flags:
            self._fetch(self._wheels[flags["wheel"]])
        _run(action, flags)

    def _add_layer(self, *steps: tuple[Subcommand, _Flags]) -> None:
        """Run actions unless their layer is cached. The last action writes the layer."""
        *first, (action, flags) = steps

        def write(directory: Path) -> None:
            for step in first:
                self._run(*step)
            self._run(action, flags | _outputs(directory))

        self._add(self._cached([(action.run.__name__, flags) for action, flags in steps], write))

    def _add(self, directory: Path) -> None:
        self._layers.append(oci_image.Layer.loads((directory / _DESCRIPTION).read_text("utf-8")))
        self.blobs[self._layers[-1].digest] = directory / _BLOB

    def add_wheels(self, wheels: Sequence[LocalWheel]) -> None:
        """Add the layers of the environment and the packages: a layer per large wheel, then layers of small wheels."""
        common = self._common | {"prefix": _PREFIX, "python-version": self.base.python_version}
        self._add_layer((layers.environment_layer, common | {"home": _HOME, "python": self.base.python}))
        by_name = {wheel.distribution: wheel for wheel in wheels}
        self._wheels = {wheel.path: wheel for wheel in wheels}
        sizes = {name: wheel.path.stat().st_size for name, wheel in by_name.items()}
        groups = group_wheels(sizes)
        large = [names for names in groups if len(names) == 1 and sizes[names[0]] >= ALONE]
        excluded: dict[str, list[str]] = {}
        for package, _, pattern in (text.partition(":") for text in self._settings.get("exclude", ())):
            excluded.setdefault(normalize_name(package), []).append(json.dumps(pattern))
        if unknown := excluded.keys() - by_name.keys():
            raise BentoError(
                f"--opt exclude: {min(unknown)} isn't a package of the image. Correct the name, or remove the option."
            )
        flags: dict[str, _Flags] = {
            name: {"wheel": wheel.path, "exclude": excluded.get(name, []), "exclude-option": "--opt exclude"}
            for name, wheel in by_name.items()
        }
        self._check_libraries([*flags.values()])
        for names in sorted(groups, key=lambda names: names not in large):
            title = f"{len(names)} small packages" if len(names) > 1 else f"{names[0]} {by_name[names[0]].version}"
            named = common | {"name": title}
            parts = [(self._scratch / f"{name}.json", self._scratch / f"{name}.part") for name in names]
            each = [flags[name] for name in names]
            if names in large:
                self._add_layer((wheel_layers.wheel_layer, named | each[0]))
                continue
            steps = [
                (wheel_layers.wheel_part, common | wheel | {"listing": listing, "output": part})
                for wheel, (listing, part) in zip(each, parts, strict=True)
            ]
            self._add_layer(*steps, (wheel_layers.join_layers, named | {"part": parts}))

    def _check_libraries(self, wheels: Sequence[_Flags]) -> None:
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

        self._cached([contents, wheels], check)

    def _libraries(self, flags: _Flags) -> Libraries:
        """Return the shared libraries of a wheel. `flags` contains the flags of the wheel."""
        scan = wheel_layers.wheel_libraries
        key = [scan.run.__name__, flags]
        directory = self._cached(key, lambda directory: self._run(scan, flags | {"output": directory / _LIBRARIES}))
        return Libraries.loads((directory / _LIBRARIES).read_text("utf-8"))

    def add_model(self, model: Entry, digests: Mapping[str, str]) -> Path:
        """Add the layers of a model, weights first. Returns the path of the model's description.

        `digests` contains the BLAKE3 digests of verified files. All other files are read.
        """
        files = regular_files(model, "", f"the native backend doesn't support. {BUILDER_REMEDY}")
        sources = {file.path: (model.path / file.path, file.path, str(model.tag)) for file in files}
        for relative, (path, _, _) in sources.items():
            self._digests[path] = digests.get(relative) or verification.digest_of(path, path.stat().st_size)
        place: _Flags = {"package": "", "strip-prefix": ""}
        flags = place | {"source": [*sources.values()]}
        described = self._cached(
            flags, lambda directory: self._run(models.model, flags | {name: directory / name for name in _MODEL_FILES})
        )
        common = self._common | place | {"directory": _BENTO, "weights": f"{_HOME}/weights/{model.tag.name}"}
        has_names = any(path.endswith(_NAMING) for path in sources)
        weights = [] if has_names else sorted(path for path in sources if path.endswith(WEIGHTS))
        for group in weights_groups(weights):
            self._add_layer((models.weights_layer, common | {"source": [sources[path] for path in group]}))
        common |= {f"written-{name}": str(described / name) for name in _MODEL_FILES}
        common["source"] = [source for path, source in sources.items() if path not in weights]
        common["weights-file"] = [("", path, str(model.tag)) for path in weights]
        self._add_layer((models.model_layer, common))
        return described / "description"

    def add_bento(self, described: Sequence[Path]) -> None:
        """Add the layer of the Bento. `described` contains the descriptions of the models."""
        files = (member for member in walk(self._entry.path, "", skip="models") if not member.is_directory)
        members = sorted(streamed_members(files), key=layers.bento_order)
        flags = self._common | {"directory": _BENTO, "model": [*described]} | _outputs(self._scratch)
        layers.write_bento_layer(_arguments(layers.bento_layer, flags), members)
        self._add(self._scratch)

    @cached_property
    def image(self) -> oci_image.OciImage:
        """The config and manifest of the image, with the default settings of `bento_image`."""
        description = self._entry.description
        document = description.declared | {name: description.document[name] for name in ("envs", "labels")}
        created = str(document["creation_time"]) if self._entry.creation_time.tzinfo else self._entry.moment.isoformat()
        flags: _Flags = {"bento": _BENTO, "environment": _PREFIX, "home": _HOME, "user": f"{USER}:{USER}"}
        flags |= {"created": created, "port": "3000/tcp"}
        parted = (text.partition("=") for text in self._settings.get("label", ()))
        flags["label"] = [(json.dumps(key), json.dumps(value)) for key, _, value in parted]
        base = self.base.image.config | {"digest": self.base.image.digest, "origin": self.base.origin}
        oci_image.check_layers(self._layers, f"Use a base image with fewer layers. {BUILDER_REMEDY}")
        if self._settings["compression"] == ["gzip"]:
            images.require_gzip(self._layers, "--opt compression=gzip", "use --opt compression=zstd")
        config = images.image_config(_arguments(images.image, flags), base, document)
        return oci_image.make_image(self._layers, config)

    @property
    def manifest(self) -> Manifest:
        """The parsed manifest of the image."""
        return Manifest.read(self.image.manifest, MANIFEST, "the image")


def _outputs(directory: Path) -> _Flags:
    return {"output": directory / _BLOB, "description": directory / _DESCRIPTION}


def _arguments(action: Subcommand, flags: _Flags) -> Arguments:
    """Return the arguments of an action. In `flags`, a list contains the values of a repeated flag."""
    words: list[str] = []
    for flag, value in flags.items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{flag}", *map(str, one if isinstance(one, tuple) else (one,))]
    return Arguments(words, action.flags)


def _run(action: Subcommand, flags: _Flags) -> None:
    action.run(_arguments(action, flags))


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
