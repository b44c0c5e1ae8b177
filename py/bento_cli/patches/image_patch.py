"""Plans a published image again from its claims, and then with other packages or another base.

One planner: a patch is a build whose lock is the SBOM of the image. The first build must give the image's digest, so
that its layers of packages are what the SBOM states, and its config is what the build writes. Only then does the second
build differ, by the packages and the base that the user names. So a patched image is what a rebuild gives. The layers
of the sources, which no index has, are taken by digest: a patch keeps what is in them.
"""

from __future__ import annotations

import json

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_json, read_object
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Mapping, NoReturn, Sequence
from rules_bento.bentos.packages.indexes import Indexes
from rules_bento.images.layers.contents import read_files
from rules_bento.images.plan import ImagePlan, PlannedLayer, PlannedWheel
from rules_bento.images.registry.reference import Reference
from rules_bento.images.system_packages import SystemFiles
from rules_bento.images.validation.package_needs import is_provided
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel import Locked, Wheel

from bento_cli.patches import image_claims
from bento_cli.patches.image_claims import REBUILD
from bento_cli.patches.requirements import Distribution, check
from bento_cli.sharing.image_options import Pair
from bento_cli.sharing.native_base import BaseImageContents, read_base
from bento_cli.sharing.native_build import BuildWorkspace, BuiltImage, CommandRemedies
from bento_cli.sharing.native_packages import LocalWheel, best_wheel, download, locate, location, target_environment
from bento_cli.sharing.registry_cache import CachedLayer

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.formats.oci import Layer

    from bento_cli.patches.image_claims import Claims
    from bento_cli.patches.published_image import PublishedImage

_KEPT = "kept"  # in the key of a layer that is taken by its digest
_LIBRARY, _ENVIRONMENT = "standard library bytecode", "environment"
_REQUIRES = "requires.json"
Urls = Mapping[str, tuple[str, int]]
"""The URL and the size, or 0, of wheels by SHA-256."""


class PatchedImage(BuiltImage):
    """The image of a plan, some of whose layers a published image has, by key."""

    kept: Mapping[str, CachedLayer]

    def _missing(self, layers: Sequence[PlannedLayer]) -> tuple[list[PlannedLayer], dict[str, CachedLayer]]:
        missing, cached = super()._missing([each for each in layers if self._shared_key(each) not in self.kept])
        return missing, {**cached, **self.kept}


class Published(NamedTuple):
    """One platform of a published image, and the plan that gives its digest."""

    source: PublishedImage
    claims: Claims
    base: BaseImageContents
    plan: ImagePlan
    projects: Mapping[str, Libraries]  # of the user's packages, by name
    before: PatchedImage | None = None  # built again

    def image(self, workspace: BuildWorkspace, base: BaseImageContents, plan: ImagePlan) -> PatchedImage:
        """Build the image of a plan. Raises BentoError for the problems of the image."""
        image, at = PatchedImage(workspace, base, plan), len(self.base.image.layers)
        own = {each.name: each for each in self.claims.layers[at:]}
        by_digest = {each.digest: each for each in self.claims.layers[at:]}
        kept = {}
        for each in plan.layers(workspace.cached):
            is_project, layer = bool(each.wheels) and each.wheels[0] in plan.projects, own.get(each.name)
            if isinstance(each.key, list) and each.key[0] == _KEPT:
                layer = by_digest[each.key[1]]
            elif not is_project or layer is None:
                continue
            packages = (self.projects[each.wheels[0].distribution],) if is_project and not each.python else ()
            blob = self.source.blob(layer.digest)
            kept[each.shared_key(plan.compression)] = CachedLayer(layer, packages, blob)
        image.kept = kept
        image.build(CommandRemedies(base.name, distributions=base.system.ids))
        return image


class Patch(NamedTuple):
    """An image with other packages or another base."""

    image: PatchedImage
    changes: tuple[tuple[str, str, str], ...]  # names, and the versions before and after
    base: str  # the new base, or ""
    notes: tuple[str, ...]


@dataclass
class ImagePlanner:
    """Plans images of a registry again. `base` is the base that the user names, or ""."""

    workspace: BuildWorkspace
    pins: Mapping[str, str]
    base: str = ""
    _located: dict[tuple[str, ...], Urls] = field(default_factory=dict)  # by version of Python, and pins
    _bases: dict[tuple[str, str], BaseImageContents] = field(default_factory=dict)

    def read(self, source: PublishedImage) -> Published:
        """Return an image whose plan gives its digest. Raises BentoError if no plan does."""
        claims = image_claims.read(source)
        base = self._original(source, claims)
        below = len(base.image.layers)
        names = [each.name for each in claims.layers[below:]]
        forms = {each.media_type.rpartition("+")[2] for each in claims.layers[below:]}
        if forms not in ({"gzip"}, {"zstd"}) or _ENVIRONMENT not in names:
            raise BentoError("no build writes such layers", remedy=REBUILD)
        self.workspace.settings |= {"compression": [*forms], "sbom": ["cyclonedx"]}
        base = self._with_packages(source, claims.layers[below : below + names.index(_ENVIRONMENT)], base)
        projects = [self._project(source, claims, base, each) for each in _project_layers(claims, below)]
        plan = self._plan(claims, base, [each for each, _ in projects])
        planned = [each.name for each in plan.layers(self.workspace.cached)]
        if planned != names[: len(planned)]:
            wrong = next((each for each in planned if each not in names), "another order")
            raise BentoError(f"the layers aren't what the SBOM states ({wrong})", remedy=REBUILD)
        plan = replace(plan, contents=tuple(map(_kept, claims.layers[below + len(planned) :])))
        published = Published(source, claims, base, plan, {each.distribution: found for each, found in projects})
        before = published.image(self.workspace, base, plan)
        if before.manifest.content != source.manifest.content:
            pairs = zip(before.contents, claims.layers, strict=True)
            wrong = next((mine.name for (mine, _), there in pairs if mine.digest != there.digest), "config")
            problem = f"a build of the packages in the SBOM gives another digest ({wrong})"
            raise BentoError(problem, remedy=f"If another version of the command built the image: {REBUILD}")
        return published._replace(before=before)

    def patch(self, published: Published) -> Patch | None:
        """Return the image with the packages and the base of the user, or None if it has them."""
        plan, base, own = published.plan, published.base, self.workspace
        changed = {
            each.distribution: each
            for each in plan.wheels
            if self.pins.get(each.distribution, each.version) != each.version
        }
        if named := {each.distribution for each in plan.projects} & self.pins.keys():
            raise BentoError(f"{min(named)} is of the project's sources", remedy="Build the image again.")
        swapped = self._swapped(published)
        if not (changed or swapped):
            return None
        own.notes = []
        if changed:
            wheels = [self._replacement(name, base) for name in changed]
            download([each for each in wheels if not each.size], own.progress)
            kept = [each for each in plan.wheels if each.distribution not in changed]
            own.settings["exclude"] = _excluded(published.claims, changed)
            new = replace(plan, wheels=(*kept, *own.plan_wheels(wheels)))
            own.notes += self._check_requirements(plan, new, base)
            plan = new
        if swapped:
            base, fields = swapped, own.plan_fields(swapped)
            names = ("base", "base_config", "base_layers", "system", "python")
            if plan.bytecode and not fields["bytecode"]:
                raise BentoError(f"no interpreter compiles bytecode for {base.name}", place="--base", remedy=REBUILD)
            plan = replace(
                plan, **{name: fields[name] for name in names}, bytecode=plan.bytecode and fields["bytecode"]
            )
        image = published.image(own, base, plan)
        found = {each.distribution: each.version for each in plan.wheels}
        changes = tuple((name, each.version, found[name]) for name, each in sorted(changed.items()))
        return Patch(image, changes, base.name if swapped else "", tuple(dict.fromkeys(own.notes)))

    def _read_base(self, text: str, platform: str) -> BaseImageContents:
        if (text, platform) not in self._bases:
            self._bases[text, platform] = read_base(self.workspace, text, platform, text)
        return self._bases[text, platform]

    def _original(self, source: PublishedImage, claims: Claims) -> BaseImageContents:
        """Return the base of an image. The image chooses it, so the image must have its layers."""
        text = self.base
        if claims.base:  # a reference, and not a path of this machine
            text = str(Reference.parse(f"{claims.base}@{claims.base_digest}"))
        if not text:
            raise BentoError("the base was a layout", remedy="Add --base oci:DIR for this layout.")
        base = self._read_base(text, source.platform)
        below = [each.descriptor for each in base.image.layers]
        if (
            base.image.digest != claims.base_digest
            or [each.descriptor for each in claims.layers[: len(below)]] != below
        ):
            raise BentoError(f"the lowest layers aren't the layers of {text}", remedy=REBUILD)
        return base

    def _swapped(self, published: Published) -> BaseImageContents | None:
        """Return the base of the user, or None if the image has it. Raises BentoError for another Python."""
        old = published.base
        base = self._read_base(self.base, published.source.platform) if self.base else old
        if base.image.digest == old.image.digest:
            return None
        has_own = published.plan.projects and published.plan.bytecode  # compiled by the old base's Python
        for new, before in ((base.python_version, old.python_version), (base.python_release, old.python_release)):
            if new != before and (has_own or new == base.python_version):
                raise BentoError(f"{base.name} has Python {new} instead of {before}", place="--base", remedy=REBUILD)
        if old.above:
            raise BentoError("the image has Debian packages of its base", place="--base", remedy=REBUILD)
        return base

    def _with_packages(
        self, source: PublishedImage, layers: Sequence[Layer], base: BaseImageContents
    ) -> BaseImageContents:
        """Return a base with the layer of Debian packages, if there is one."""
        above = [each for each in layers if each.name != _LIBRARY]
        if not above:
            return base
        [layer] = above[:1]
        blob = source.save(layer.digest, self.workspace.new_directory()), layer.media_type, layer.diff_id
        files = read_files([blob], lambda path, _head: is_provided(path), SystemFiles.has)
        names = {path.rpartition("/")[2] for path in files if is_provided(path)}
        packages = SystemFiles.from_files(
            {path: data for path, data in files.items() if SystemFiles.has(path)}
        ).packages
        system = SystemFiles(base.system.ids, packages or base.system.packages)
        libraries = tuple(sorted({*base.libraries, *names}))
        return base._replace(system=system, libraries=libraries, above=tuple(map(_kept, above)))

    def _project(
        self, source: PublishedImage, claims: Claims, base: BaseImageContents, layer: Layer
    ) -> tuple[PlannedWheel, Libraries]:
        """Return a package of the user, whose wheel only its layer has."""
        minor = int(base.python_version.partition(".")[2])
        wheel = Wheel.read(image_claims.write_wheel(source, layer, minor, self.workspace.new_directory()), Locked(""))
        name, _, version = layer.name.partition(" ")
        if wheel.distribution != name:
            raise BentoError(f"the layer has {wheel.distribution}", place=layer.name, remedy=REBUILD)
        package = claims.packages[name]
        size = wheel.file.stat().st_size
        planned = PlannedWheel(name, version, wheel.name, size, package.sha256, package.exclude, lambda: wheel)
        return planned, Libraries.read(wheel)

    def _plan(self, claims: Claims, base: BaseImageContents, projects: Sequence[PlannedWheel]) -> ImagePlan:
        """Return the plan of an image, as far as the layers of packages."""
        own = {each.distribution for each in projects}
        locked = {name: each for name, each in claims.packages.items() if name not in own}
        files = self._files([f"{name}=={each.version}" for name, each in locked.items()], base)
        if lost := [f"{name} {each.version}" for name, each in locked.items() if each.sha256 not in files]:
            problem = f"the index has no wheel with the SBOM's hash for {', '.join(sorted(lost))}"
            raise BentoError(problem, remedy="Use the index of the build, or build the image again.")
        wheels = []
        for name, (version, sha256, _) in sorted(locked.items()):
            url, size = files[sha256]
            path = location(url, sha256, self.workspace.downloads)
            wheels.append(LocalWheel(name, version, path, sha256, url, size))
        download([each for each in wheels if not each.size], self.workspace.progress)
        self.workspace.settings["exclude"] = _excluded(claims, locked)
        fields, settings = self.workspace.plan_fields(base), claims.settings
        if claims.bytecode and not fields["bytecode"]:
            raise BentoError("no interpreter of this machine compiles its bytecode", remedy=REBUILD)
        fields |= {"labels": {}, "bytecode": fields["bytecode"] if claims.bytecode else None}
        bare = ImagePlan(
            **fields,
            bento={"name": claims.title, "version": claims.version, "labels": {}, "envs": []},
            directory="",
            wheels=self.workspace.plan_wheels(wheels),
            projects=tuple(projects),
            contents=(),
            created=claims.config["created"],
            command=tuple(settings.get("Cmd", ())),
            ports=tuple(settings.get("ExposedPorts", ())),
            working_dir=settings.get("WorkingDir", ""),
            snapshots=claims.snapshots,
        )
        implied = read_object(bare.documents((), None).image.config, "config")["config"]
        env, defaults = (dict(each.partition("=")[::2] for each in found["Env"]) for found in (settings, implied))
        return replace(
            bare,
            env={key: text for key, text in env.items() if defaults.get(key) != text},
            labels={
                key: text
                for key, text in settings["Labels"].items()
                if implied["Labels"].get(key) != text and key != image_claims.BYTECODE
            },
        )

    def _files(self, pins: Sequence[str], base: BaseImageContents) -> Urls:
        """Return the wheels of releases, and maybe of others."""
        known = {pin for python, *asked in self._located if python == base.python_version for pin in asked}
        if new := tuple(sorted({*pins} - known)):
            self._locate(new, base)
        return {sha256: each for found in self._located.values() for sha256, each in found.items()}

    def _locate(self, pins: tuple[str, ...], base: BaseImageContents) -> Urls:
        """Return the wheels of releases (`NAME==VERSION`) in the index, which is asked once for all images."""
        key = base.python_version, *pins
        if key not in self._located:
            try:
                self._located[key] = locate(pins, base, Indexes())
            except BentoError as error:
                told = str(error).partition("\n")[2] or str(error)
                raise BentoError(f"the index lacks a wheel of the packages\n{told}", place="uv") from None
        return self._located[key]

    def _replacement(self, name: str, base: BaseImageContents) -> LocalWheel:
        """Return the best wheel of the version that the user names. Raises BentoError without a wheel for the base."""
        version = self.pins[name]
        files = self._locate((f"{name}=={version}",), base)
        urls = {sha256: url for sha256, (url, _) in files.items()}
        found = best_wheel(name, version, urls, base, self.workspace.downloads)
        if found is None:
            target = f"Python {base.python_version} on linux/{base.image.config['architecture']}"
            raise BentoError(f"no wheel for {target}", place=f"{name}=={version}", remedy="Choose another version.")
        return found._replace(size=files[found.sha256][1])

    def _check_requirements(self, old: ImagePlan, new: ImagePlan, base: BaseImageContents) -> list[str]:
        before, after = (
            [Distribution(each.distribution, each.version, self._requires(each)) for each in plan.wheels]
            + [Distribution(each.distribution, each.version, each.read().metadata.requires) for each in plan.projects]
            for plan in (old, new)
        )
        return check(before, after, target_environment(base))

    def _requires(self, wheel: PlannedWheel) -> tuple[str, ...]:
        """Return Requires-Dist of a wheel of the index, whose digest is verified when it is read."""

        def write(directory: Path) -> None:  # writes: own, a constant name
            (directory / _REQUIRES).write_text(json.dumps(wheel.read().metadata.requires), "utf-8")

        path = self.workspace.cached(["requires", wheel.name, wheel.sha256], write) / _REQUIRES
        return tuple(read_json(path.read_bytes(), _REQUIRES))


def _project_layers(claims: Claims, below: int) -> list[Layer]:
    """Return the layers of the user's packages: above the bytecode of others, or the one that the SBOM describes."""
    layers = claims.layers[below:]
    titles = {f"{name} {each.version}": each.sha256 for name, each in claims.packages.items()}
    first = next((at for at, each in enumerate(layers) if each.name.startswith("bytecode of ")), len(layers))
    return [
        each
        for at, each in enumerate(layers)
        if each.name in titles and (at > first or f"sha256:{titles[each.name]}" == claims.contents)
    ]


def _kept(layer: Layer) -> PlannedLayer:
    def write(_out: Path) -> NoReturn:
        raise BentoError(f"the layer {layer.name} isn't kept")

    return PlannedLayer(layer.name, [_KEPT, layer.digest], write)


def _excluded(claims: Claims, names: Iterable[str]) -> list[Pair]:
    return [Pair(name, pattern, "SBOM") for name in names for pattern in claims.packages[name].exclude]
