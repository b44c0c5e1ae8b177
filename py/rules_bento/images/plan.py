"""Describes an image independent of the front that a user calls: its layers, its checks, and its documents.

The commands pass a complete plan. The rules compute the parts of a plan in separate actions with the same functions:
`layers.members`, `checks`, and `image_config`.
"""

from __future__ import annotations

import json
from functools import partial
from hashlib import sha256
from itertools import groupby

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Sequence, TypeVar
from rules_bento.bentos.packages.shared_files import PackageFiles, inert_notes
from rules_bento.bentos.sources.snapshot import DeclaredFile
from rules_bento.images import entrypoint
from rules_bento.images.image_config import Documents, documents, has_hub_cache, image_config
from rules_bento.images.layers import members
from rules_bento.images.layers.layer import write_files_layer, write_wheel_layer
from rules_bento.images.layers.parts import PartListing, WheelPart, join_parts, write_wheel_part
from rules_bento.images.standard_library import write_library_layer
from rules_bento.images.validation import all_checks
from rules_bento.images.validation.bento_requirements import ImageSystem, cuda_versions, reject_commands
from rules_bento.images.validation.gpus import Gpu
from rules_bento.images.validation.gpus import check as check_gpus
from rules_bento.images.wheels.bytecode import write_bytecode_part
from rules_bento.images.wheels.install import InstallLayout

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.tarstream import Member
    from rules_bento.base.formats.oci import Layer
    from rules_bento.bentos.models.model_store import StoredModel
    from rules_bento.bentos.service.loaded_modules import MissingModule
    from rules_bento.images.layers.layer import Compression
    from rules_bento.images.sbom import Format
    from rules_bento.images.system_packages import SystemFiles
    from rules_bento.images.validation.base_compatibility import Base
    from rules_bento.images.validation.remedies import Remedies
    from rules_bento.images.wheels.bytecode import Compiler
    from rules_bento.images.wheels.libraries import Libraries
    from rules_bento.images.wheels.wheel import Wheel

# Returns the directory of a key. If its files are missing or damaged, they are what the function prepares.
Packed = Callable[[object, Callable[[], "Packing"]], "Path"]
_PART, _LISTING = "part", "part.json"
_T = TypeVar("_T")
# Increase this number with each change of wheels' layers and bytecode, of `Libraries`, or of what is read from bases:
# caches use it. Since 3, directories named `tests` have no bytecode, and own projects have `checked-hash` bytecode.
# Since 4, the bytecode of wheels is omitted. Since 5, notes of bases have `uncompiled`.
# Since 6, gzip layers have level 5, except for what wheels contain.
FORMAT = 6
# Also in private/layers.bzl and private/model_entry.bzl; a test compares them.
BENTO, ENVIRONMENT, HOME, USER = "/home/bentoml/bento", "/app/.venv", "/home/bentoml", "1034"
APP = "/app"  # the directory of a program; also in rules/python_image.bzl
WEIGHTS = f"{HOME}/weights"
WEIGHTS_SUFFIXES = (".bin", ".ckpt", ".gguf", ".pt", ".pth", ".safetensors")
LINK_READERS = (".onnx",)  # suffixes of files that refer to other files, whose readers reject links
MAX_WEIGHTS_LAYERS = 31  # of a model; `image_layers` without the layer of the other files
OWNER = {"uid": int(USER), "gid": int(USER)}


class Packing(NamedTuple):
    """A call that reads only `inputs`, and writes only a new file or directory: what needs a network is there."""

    inputs: Iterable[str | Path]
    write: Callable[[Path], Any]


class PlannedWheel(NamedTuple):
    """A wheel of an image. After `fetch`, `read` returns the wheel without the files that match `exclude`."""

    distribution: str
    version: str
    name: str  # of the file
    size: int
    sha256: str
    exclude: tuple[str, ...]
    fetch: Callable[[], Path]
    read: Callable[[], Wheel]

    @property
    def key(self) -> object:
        """What the wheel's files in the image depend on."""
        return [self.sha256, self.exclude]


class PlannedModel(NamedTuple):
    """A model in an image. `states` has what a layer depends on for each file."""

    stored: StoredModel
    states: Mapping[str, object]


class PlannedLayer(NamedTuple):
    """A layer. Equal keys mean equal files. `prepare` fetches and compiles its inputs. `write` returns a `Layer`."""

    name: str
    key: object
    prepare: Callable[[], Packing]
    wheels: tuple[PlannedWheel, ...] = ()
    python: str = ""  # X.Y.Z, the version of the interpreter that compiles the wheels' modules
    size: int = 0  # bytes of the system packages from which the layer is written

    @classmethod
    def of_members(
        cls, name: str, listed: Sequence[Member], compression: Compression, places: Iterable[str | Path] = ()
    ) -> PlannedLayer:
        """Return a layer of files with digests, links, and directories. Its key has all that is written of them.

        Compares what is written with the digests, so that a file that changes meanwhile is an error. `places` has all.
        """
        packing = Packing(places, partial(write_files_layer, entries=listed, compression=compression))
        return cls(name, members.key(listed), lambda: packing)

    def local_key(self, compression: Compression) -> object:
        """Return the key of the layer in a cache of one version of the program."""
        return [compression, self.name, self.key]

    def shared_key(self, compression: Compression) -> str:
        """Return the key of a layer of wheels in caches that machines and versions share. It depends on `FORMAT`."""
        return sha256(json.dumps([FORMAT, compression, self.key]).encode()).hexdigest()


class PlannedBytecode(NamedTuple):
    """Bytecode in an image. `compiler` returns the interpreter for a mode, which all layers share."""

    python: str  # X.Y.Z
    compiler: Callable[[str], Compiler]
    is_trusted: bool  # whether `compiler` never returns the base's interpreter
    # Returns the layers of a base whose standard library lacks bytecode: blob, media type, and diff ID.
    base_layers: Callable[[], Iterable[tuple[Path, str, str]]] | None = None


@dataclass(frozen=True)
class ImagePlan:
    """An image. The fields have the meaning of the attributes of `bento_image`."""

    base: Base
    base_config: dict[str, Any]  # with the digest and the repository of the base
    base_layers: tuple[Layer, ...]
    system: SystemFiles  # of the base
    python: str  # path of the interpreter
    bento: dict[str, Any]  # bento.yaml, or the same fields of a program
    directory: str  # of the Bento; empty for a program
    wheels: tuple[PlannedWheel, ...]
    contents: tuple[PlannedLayer, ...]  # of the Bento or program, on top of the other layers
    created: str
    above_base: tuple[PlannedLayer, ...] = ()  # system packages
    compression: Compression = "gzip"
    bytecode: PlannedBytecode | None = None
    projects: tuple[PlannedWheel, ...] = ()  # wheels of the user's sources, each in a layer
    models: tuple[PlannedModel, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()  # of a program; the default serves the Bento
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    working_dir: str = ""
    files: tuple[str, ...] | None = None  # of a program in `APP`, or absolute; None: not checked
    scripts: tuple[tuple[str, str], ...] = ()  # of the user's package, and their modules, which packages must provide
    imports: tuple[MissingModule, ...] = ()  # of modules that packages or the base must provide
    snapshots: tuple[tuple[str, str], ...] = ()  # in the cache of huggingface_hub: organization/name, and commit
    included: tuple[str, ...] = ()  # file names of wheels that the sources of a Bento include
    ignore_libraries: tuple[str, ...] = ()
    ignore_requirements: tuple[str, ...] = ()
    gpus: tuple[Gpu, ...] = ()  # of the hosts; default: those of the Bento's services
    size_limit: int = 0  # bytes

    def layers(self, packed: Packed) -> Iterator[PlannedLayer]:
        """Yield the layers above the base: its bytecode, system packages, environment, wheels, models, and contents."""
        yield from self._library_layer()
        yield from self.above_base
        environment = (HOME, ENVIRONMENT, self.python, self.base.python_version, USER)
        yield self._files("environment", environment, (), partial(members.environment_members, *environment))
        layout = InstallLayout.venv(ENVIRONMENT, int(self.base.python_version.split(".")[1]), **OWNER)
        yield from self._wheel_layers(packed, layout)
        for model in self.models:
            yield from self._model_layers(model)
        for wheel in self.projects:
            yield self._wheel_layer(wheel, layout)
        # A user can change the project in a container. Packages don't change, and pay for no comparison.
        yield from self._bytecode_layers(packed, layout, [[wheel] for wheel in self.projects], "checked-hash")
        yield from self.contents

    @property
    def all_wheels(self) -> tuple[PlannedWheel, ...]:
        """All wheels of the image."""
        return (*self.wheels, *self.projects)

    def _files(
        self, name: str, key: object, inputs: Iterable[str], listed: Callable[[], Sequence[Member]]
    ) -> PlannedLayer:
        def write(out: Path) -> Layer:
            return write_files_layer(out, listed(), self.compression)  # writes: output, of the caller

        return PlannedLayer(name, key, lambda: Packing(inputs, write))

    def _library_layer(self) -> Iterator[PlannedLayer]:
        """Yield the layer with bytecode of the standard library, if the base lacks it."""
        if self.bytecode and (read_layers := self.bytecode.base_layers):
            python, compiler, *_ = self.bytecode
            interpreter = self.python, self.base.python_version

            def prepare() -> Packing:  # writes: output, of the caller
                started, layers = compiler("unchecked-hash"), [*read_layers()]
                words = layers, *interpreter, started, self.compression
                return Packing([path for path, *_ in layers], lambda out: write_library_layer(out, *words))

            key = ["standard library", python, interpreter, self.base_config["digest"]]
            yield PlannedLayer("standard library bytecode", key, prepare, python=python)

    def _wheel_layer(self, wheel: PlannedWheel, layout: InstallLayout) -> PlannedLayer:
        key = [True, layout, [wheel.key]]

        def write(out: Path) -> Layer:
            return write_wheel_layer(out, wheel.read(), layout, self.compression)  # writes: output, of the caller

        return PlannedLayer(_title([wheel]), key, lambda: Packing([wheel.fetch()], write), (wheel,))

    def _wheel_layers(self, packed: Packed, layout: InstallLayout) -> Iterator[PlannedLayer]:
        by_name = {wheel.distribution: wheel for wheel in self.wheels}
        groups = group_wheels({wheel.distribution: wheel.size for wheel in self.wheels})
        large = [names for names in groups if len(names) == 1 and by_name[names[0]].size >= ALONE]
        small = [names for names in groups if names not in large]

        def write_part(out: Path, wheel: Wheel) -> PartListing:
            return write_wheel_part(out, wheel, layout, self.compression)  # writes: output, of the caller

        for names in large:
            yield self._wheel_layer(by_name[names[0]], layout)
        for names in small:
            group = [by_name[name] for name in names]
            key = [False, layout, [wheel.key for wheel in group]]
            prepare = partial(self._join, packed, layout, "part", lambda: write_part, group)
            yield PlannedLayer(_title(group), key, prepare, tuple(group))
        compiled = [[by_name[name] for name in names] for names in large + small]
        yield from self._bytecode_layers(packed, layout, compiled)

    def _bytecode_layers(
        self,
        packed: Packed,
        layout: InstallLayout,
        groups: Iterable[Sequence[PlannedWheel]],
        mode: str = "unchecked-hash",
    ) -> Iterator[PlannedLayer]:
        """Yield the layer with the bytecode of each group, if the image has bytecode."""
        if not self.bytecode:
            return
        python, compiler, is_trusted, _ = self.bytecode
        base = self.base_config["digest"]

        def start() -> Callable[[Path, Wheel], PartListing]:  # writes: output, of the caller
            words = layout, self.compression, compiler(mode), None
            return lambda out, wheel: write_bytecode_part(out, wheel, *words)

        for group in groups:
            # The base's interpreter can write any bytecode, but only for its own images. Layers of all machines have
            # one key, so that notes of a registry don't depend on a machine's interpreter.
            key = [mode, python, base, layout, [wheel.key for wheel in group]]
            of_part = [mode, python, "" if is_trusted else base]
            prepare = partial(self._join, packed, layout, of_part, start, group)
            yield PlannedLayer(f"bytecode of {_title(group)}", key, prepare, tuple(group), python)

    def _join(
        self,
        packed: Packed,
        layout: InstallLayout,
        key: object,
        start: Callable[[], Callable[[Path, Wheel], PartListing]],
        wheels: Sequence[PlannedWheel],
    ) -> Packing:
        """Join parts of wheels, which are cached, because a group changes with each. `start` returns their writer."""

        def prepare(wheel: PlannedWheel) -> Packing:
            write_part = start()

            def write(directory: Path) -> None:  # writes: own, constant names
                (directory / _LISTING).write_text(write_part(directory / _PART, wheel.read()).dumps(), "utf-8")

            return Packing([wheel.fetch()], write)

        def join(out: Path) -> Layer:
            listings = (PartListing.loads((each / _LISTING).read_text("utf-8")) for each in parts)
            found = [WheelPart(listing, each / _PART) for listing, each in zip(listings, parts, strict=True)]
            return join_parts(out, found, layout, self.compression)  # writes: output, of the caller

        of_all = [key, self.compression, layout]
        parts = [packed([*of_all, each.name, each.key], partial(prepare, each)) for each in wheels]
        return Packing(parts, join)

    def _model_layers(self, model: PlannedModel) -> Iterator[PlannedLayer]:
        stored, tag = model.stored, model.stored.entry.description.tag
        place = f"{WEIGHTS}/{tag.partition(':')[0]}"
        has_links = not any(path.endswith(LINK_READERS) for path in stored.sources)
        weights = sorted(path for path in stored.sources if path.endswith(WEIGHTS_SUFFIXES)) if has_links else []
        for group in weights_groups(weights):
            files = [DeclaredFile(path, stored.sources[path], f"model {tag}", filtered=False) for path in group]
            key = [place, {path: model.states[path] for path in group}]
            listed = partial(members.weights_members, files, BENTO, place, OWNER)
            yield self._files(f"weights {', '.join(group)}", key, [file.source for file in files], listed)
        listed = partial(members.model_members, stored, BENTO, frozenset(weights), place, OWNER)
        key = [weights, model.states, stored.entry.description.hugging_face]
        yield self._files(f"model {tag}", key, stored.sources.values(), listed)

    def check_system(self, remedies: Remedies) -> str:
        """Check what needs no wheels: commands, distribution, system packages, and CUDA. Returns a note, or ""."""
        reject_commands(
            self.bento, self.ignore_requirements, remedies, f"{self.bento['name']}:{self.bento['version']}: "
        )
        versions = cuda_versions(self.base_config["env"], (wheel.name for wheel in self.all_wheels))
        packages = self.system.packages
        system = ImageSystem(self.base.name, self.system.ids, packages or (), packages is not None, versions)
        sizes = [(wheel.name, wheel.size) for wheel in self.all_wheels]
        return all_checks.check_system(self.bento, system, self.ignore_requirements, sizes, remedies)

    def check_gpus(self, packages: Callable[[], Sequence[Libraries]], remedies: Remedies) -> list[str]:
        """Check that the wheels have code for the GPUs of the hosts, and return notes."""
        gpus, notes = (self.gpus, []) if self.gpus else Gpu.of_services(self.bento)
        cuda = cuda_versions(self.base_config["env"], (wheel.name for wheel in self.all_wheels))
        return notes + check_gpus(gpus, packages, cuda, self.ignore_libraries, remedies)

    def check_packages(self, packages: Sequence[Libraries], remedies: Remedies) -> list[str]:
        """Check that the wheels, whose properties are `packages`, can run on the base and have what they need.

        Returns notes.
        """
        names = [wheel.name for wheel in self.all_wheels]
        env = self.base_config["env"]
        command = entrypoint.ContainerCommand(
            self.command, ENVIRONMENT, env, self.working_dir, APP, self.files, dict(self.scripts)
        )
        own = {*self.included, *(wheel.name for wheel in self.projects)}
        all_checks.check_packages(self.base, names, packages, self.ignore_libraries, remedies, command=command, own=own)
        files = (PackageFiles(package.distribution, package.files) for package in packages)
        notes = [*all_checks.bytecode_notes(packages), *entrypoint.script_notes(command, packages)]
        return notes + inert_notes(files)

    def check_layers(self, layers: Sequence[Layer], remedies: Remedies) -> None:
        """Check the number, compression, and size of the image's layers."""
        all_checks.check_layers(layers, self.compression, remedies)
        if self.size_limit:
            all_checks.check_size(layers, self.size_limit, remedies)

    def documents(self, layers: Sequence[Layer], ztocs: Sequence[dict[str, Any]] | None) -> Documents:
        """Return the config and manifest, and the SOCI index if `ztocs` isn't None."""
        described = [model.stored.entry.description for model in self.models]
        config = image_config(
            self.base_config,
            self.bento,
            created=self.created,
            directory=self.directory,
            environment=ENVIRONMENT,
            home=HOME,
            has_hub_cache=has_hub_cache(self.bento, described) or bool(self.snapshots),
            env=self.env,
            labels=dict(self.labels),
            cmd=self.command,
            user=f"{USER}:{USER}",
            working_dir=self.working_dir,
            ports=self.ports,
        )
        return documents(layers, config, ztocs)

    def sbom(self, digest: str, contents: str, form: Format, packages: Iterable[Libraries]) -> bytes:
        """Return the SBOM of the image with the digest `digest`.

        `contents` is the digest of the Bento or program. `packages` has the properties of the wheels.
        """
        from rules_bento.images import sbom

        subject = sbom.ImageSubject(self.bento["name"], self.bento["version"], digest, self.created)
        wheels = [(wheel.distribution, wheel.version, wheel.sha256) for wheel in self.all_wheels]
        remarks = {
            wheel.distribution: f"The image excludes files of the wheel: {' '.join(wheel.exclude)}."
            for wheel in self.all_wheels
            if wheel.exclude
        }
        models = [model.stored.entry.description for model in self.models]
        kind = "bento" if self.directory else "program"
        own = sbom.sources(subject.name, subject.version, contents, kind)
        components = sbom.image_components(own, wheels, remarks, packages, models)
        components += [sbom.snapshot(*each) for each in self.snapshots]
        components += sbom.base_image(self.base_config, self.system)
        return sbom.make_sbom(subject, components, form)


def _title(wheels: Sequence[PlannedWheel]) -> str:
    first = wheels[0]
    return f"{len(wheels)} small packages" if len(wheels) > 1 else f"{first.distribution} {first.version}"


def weights_groups(weights: Sequence[_T]) -> list[list[_T]]:
    """Split weight files, sorted by path, into consecutive groups. As in the model rules, each group is one layer."""
    count = min(MAX_WEIGHTS_LAYERS, len(weights))
    groups = groupby(enumerate(weights), lambda numbered: numbered[0] * count // len(weights))
    return [[file for _, file in group] for _, group in groups]


ALONE = 128 << 10  # minimum size in bytes of a wheel with its own layer
TOGETHER = 4 << 20  # maximum size in bytes of a group
_MAX_WHEEL_LAYERS = 30
_BITS = 32
_MASK = (1 << _BITS) - 1
_MIX = 0x9E3779B1


def group_wheels(sizes: Mapping[str, int], budget: int = _MAX_WHEEL_LAYERS) -> list[list[str]]:
    """Return at most `budget` sorted groups of wheel names, as `private/wheel_groups.bzl` does.

    `sizes` maps names to sizes in bytes.
    """
    alone, together = ALONE, TOGETHER
    while True:
        groups = [[name] for name, size in sizes.items() if size >= alone]
        groups += _split_group(sorted(name for name, size in sizes.items() if size < alone), sizes, together, 0)
        if len(groups) <= max(budget, 1):
            return sorted(groups)
        alone, together = 2 * alone, 2 * together


def _split_group(names: Sequence[str], sizes: Mapping[str, int], together: int, bit: int) -> list[list[str]]:
    """Split `names` by the bits of the names' hashes, starting at `bit`. `together` is the maximum size of a group."""
    if not names:
        return []
    if bit == _BITS or sum(sizes[name] for name in names) <= together:
        return [list(names)]
    sides = ([name for name in names if _hash_bit(name, bit) == side] for side in (0, 1))
    return [group for part in sides for group in _split_group(part, sizes, together, bit + 1)]


def _hash_bit(name: str, bit: int) -> int:
    value = 0
    for letter in name:  # Starlark's `hash`
        value = value * 31 + ord(letter) & _MASK
    return (value * _MIX & _MASK) >> (_BITS - 1 - bit) & 1
