"""Plans a published image again from its claims, and then with other packages or another base.

One planner: a patch is a build whose lock is the SBOM of the image. The first build must give the image's digest, so
that its layers of packages are what the SBOM states, and its config is what the build writes. Only then does the second
build differ, by the packages and the base that the user names. So a patched image is what a rebuild gives. The layers
of the sources, which no index has, are taken by digest: a patch keeps what is in them. A Bento is written again.
"""

from __future__ import annotations

import itertools

from rules_bento.base.dataclasses_lite import dataclass, field, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.packages.indexes import Indexes
from rules_bento.images.layers.contents import read_files
from rules_bento.images.plan import ImagePlan, Packing, PlannedLayer, PlannedWheel
from rules_bento.images.registry.blob_sources import ResumedSource
from rules_bento.images.registry.reference import Reference
from rules_bento.images.system_packages import SystemFiles
from rules_bento.images.validation.package_needs import is_provided
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel import Locked, Wheel

from bento_cli.patches.published_bento import LAYER, read_bento, replace_packages
from bento_cli.patches.published_image import BYTECODE, REBUILD, read_claims, write_wheel
from bento_cli.patches.requirements import Distribution, check_requirements
from bento_cli.projects.project_reach import confined
from bento_cli.sharing.image_options import Pair
from bento_cli.sharing.native_base import BaseImageContents, read_base
from bento_cli.sharing.native_build import BuiltImage
from bento_cli.sharing.native_image import plan_image
from bento_cli.sharing.native_packages import LocalWheel, best_wheel, download, locate, location, target_environment
from bento_cli.sharing.registry_cache import CachedLayer

if TYPE_CHECKING:
    from rules_bento.base.formats.oci import Layer
    from rules_bento.bentos.packages.requirement_syntax import Line
    from rules_bento.images.plan import PlannedBytecode

    from bento_cli.patches.published_image import Claims, Package, PublishedImage
    from bento_cli.sharing.native_build import BuildWorkspace

_KEPT = "kept"  # in the key of a layer that is taken by its digest
_LIBRARY, _ENVIRONMENT = "standard library bytecode", "environment"
_OTHER = f"If another version of the command built the image: {REBUILD}"
Urls = Mapping[str, tuple[str, int]]
"""The URL and the size, or 0, of wheels by SHA-256."""


class PatchedImage(BuiltImage):
    """The image of a plan. Its layers of sources are in a published image. `projects` are the user's packages."""

    claims: Claims
    projects: Mapping[str, Libraries]  # by name

    def _missing(self, layers: Sequence[PlannedLayer]) -> tuple[list[PlannedLayer], dict[str, CachedLayer]]:
        kept = {self._shared_key(each): found for each in layers if (found := self._published(each))}
        missing, cached = super()._missing([each for each in layers if self._shared_key(each) not in kept])
        return missing, {**cached, **kept}

    def _published(self, layer: PlannedLayer) -> CachedLayer | None:
        """Return a layer that is taken by its digest, or that is of a user's package."""
        digest = layer.key[1] if isinstance(layer.key, list) and layer.key[0] == _KEPT else ""
        own = self.projects.get(layer.wheels[0].distribution) if layer.wheels else None
        for each in self.claims.layers:
            if each.digest == digest or (own and each.name == layer.name):
                packages = (own,) if own and not layer.python else ()
                return CachedLayer(each, packages, ResumedSource(self.claims.image.repository, each.digest))
        return None


@dataclass
class ImagePlanner:
    """Plans images of a registry again. `base` is the base that the user names, or ""."""

    workspace: BuildWorkspace
    pins: Mapping[str, str]
    base: str = ""
    _located: dict[tuple[str, ...], Urls] = field(default_factory=dict)  # by version of Python, and pins
    _releases: dict[tuple[str, ...], Line] = field(default_factory=dict)  # by version of Python, indexes, and pin
    _bases: dict[tuple[str, str], BaseImageContents] = field(default_factory=dict)
    _requires: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by SHA-256 of a wheel of the index

    def read(self, source: PublishedImage) -> PatchedImage:
        """Return a built image with the digest and SBOM of a published image. Raises BentoError if no plan has them."""
        claims = read_claims(source)
        base = self._original(claims)
        claims = claims._replace(layers=claims.layers[len(base.image.layers) :])
        names = [each.name for each in claims.layers]
        forms = {each.media_type.rpartition("+")[2] for each in claims.layers}
        if forms not in ({"gzip"}, {"zstd"}) or _ENVIRONMENT not in names:
            raise BentoError("no build writes such layers", remedy=REBUILD)
        self.workspace.settings |= {"compression": [*forms], "sbom": ["cyclonedx"]}
        base = self._with_packages(claims, base)
        found = [self._project(claims, base, each) for each in _project_layers(claims)]
        if LAYER in names:
            layer, directory = claims.layers[names.index(LAYER)], self.workspace.new_directory()
            bento = read_bento(source.save(layer, directory), layer.media_type, claims.contents, directory)
            claims = claims._replace(bento=bento)
        plan = self._plan(claims, base, [each for each, _ in found])
        count = sum(1 for _ in replace(plan, contents=()).layers(self.workspace.packed))
        plan = replace(plan, contents=_contents(plan.contents, map(_kept, claims.layers[count:])))
        image = self._build(claims, {each.distribution: libraries for each, libraries in found}, base, plan)
        if image.manifest.content != source.manifest.content:
            pairs = zip(image.contents[-len(claims.layers) :], claims.layers, strict=False)
            wrong = next((mine.name for (mine, _), there in pairs if mine.digest != there.digest), "config")
            raise BentoError(f"a build of the packages in the SBOM gives another digest ({wrong})", remedy=_OTHER)
        document = read_object(image.sbom(claims.contents, "cyclonedx"), "SBOM", is_large=True)
        if document["components"] != claims.components:
            raise BentoError("the SBOM isn't what a build of the image writes", remedy=_OTHER)
        return image

    def patch(self, image: PatchedImage) -> PatchedImage | None:
        """Return the image with the packages and the base of the user, or None if it has them. Adds notes."""
        plan, base, own, claims = image.plan, image.base, self.workspace, image.claims
        changed = [each for each in plan.wheels if self.pins.get(each.distribution, each.version) != each.version]
        if named := image.projects.keys() & self.pins.keys():
            raise BentoError(f"{min(named)} is of the project's sources", remedy="Build the image again.")
        swapped = self._swapped(image)
        if not (changed or swapped):
            return None
        if changed and claims.bento:
            bento = replace_packages(claims.bento, self.pins, base, self._releases)
            claims, new = claims._replace(bento=bento, contents=bento.digest), plan_image(own, bento.entry, base, ())
            contents = _contents(new.contents, plan.contents)
            plan = replace(plan, bento=new.bento, wheels=new.wheels, imports=new.imports, contents=contents)
        elif changed:
            wheels = [self._replacement(each.distribution, base) for each in changed]
            download([each for each in wheels if not each.size], own.progress)
            own.settings["exclude"] = _excluded(claims, [each.distribution for each in changed])
            kept = [each for each in plan.wheels if each not in changed]
            plan = replace(plan, wheels=(*kept, *own.plan_wheels(wheels)))
        if changed:
            roots = [image.claims.bento.requirements()] if image.claims.bento else []
            before, after = ([*roots, *self._distributions(each)] for each in (image.plan, plan))
            own.notes += check_requirements(before, after, target_environment(base))
        if swapped:
            base, fields = swapped, own.plan_fields(swapped)
            names = ("base", "base_config", "base_layers", "system", "python")
            is_of_rules = plan.bytecode and image.base.uncompiled and not plan.bytecode.base_layers
            bytecode = plan.bytecode and self._bytecode(fields["bytecode"], base, is_of_rules)
            plan = replace(plan, **{name: fields[name] for name in names}, bytecode=bytecode)
        return self._build(claims, image.projects, base, plan)

    def _build(
        self, claims: Claims, projects: Mapping[str, Libraries], base: BaseImageContents, plan: ImagePlan
    ) -> PatchedImage:
        """Build the image of a plan. Raises BentoError for the problems of the image."""
        image = PatchedImage(self.workspace, base, plan)
        image.claims, image.projects = claims, projects
        image.build()
        return image

    @staticmethod
    def _bytecode(found: PlannedBytecode | None, base: BaseImageContents, of_rules: object) -> PlannedBytecode:
        """Return the bytecode that `plan_fields` planned. The rules add none for the standard library of a base."""
        if not found:
            raise BentoError(f"no interpreter compiles bytecode for {base.name}", remedy=REBUILD)
        return found._replace(base_layers=None) if of_rules else found

    def _read_base(self, text: str, platform: str) -> BaseImageContents:
        if (text, platform) not in self._bases:
            self._bases[text, platform] = read_base(self.workspace, text, platform, text)
        return self._bases[text, platform]

    def _original(self, claims: Claims) -> BaseImageContents:
        """Return the base of an image. The image chooses it, so the image must have its layers."""
        text, digest = self.base, claims.standard["base.digest"]
        if name := claims.standard.get("base.name"):  # a reference, and not a path of this machine
            text = str(Reference.parse(f"{name}@{digest}"))
        if not text:
            raise BentoError("the base was a layout", remedy="Add --base oci:DIR for this layout.")
        base = self._read_base(text, claims.image.platform)
        below = [each.descriptor for each in base.image.layers]
        if base.image.digest != digest or [each.descriptor for each in claims.layers[: len(below)]] != below:
            raise BentoError(f"the lowest layers aren't the layers of {text}", remedy=REBUILD)
        return base

    def _swapped(self, image: PatchedImage) -> BaseImageContents | None:
        """Return the base of the user, or None if the image has it. Raises BentoError for another Python."""
        old = image.base
        base = self._read_base(self.base, image.claims.image.platform) if self.base else old
        if base.image.digest == old.image.digest:
            return None
        has_own = image.projects and image.plan.bytecode  # compiled by the old base's Python
        for new, before in ((base.python_version, old.python_version), (base.python_release, old.python_release)):
            if new != before and (has_own or new == base.python_version):
                raise BentoError(f"{base.name} has Python {new} instead of {before}", place="--base", remedy=REBUILD)
        if old.above:
            raise BentoError("the image has Debian packages of its base", place="--base", remedy=REBUILD)
        return base

    def _with_packages(self, claims: Claims, base: BaseImageContents) -> BaseImageContents:
        """Return a base with the layer of Debian packages, if there is one."""
        below = itertools.takewhile(lambda each: each.name != _ENVIRONMENT, claims.layers)
        above = [each for each in below if each.name != _LIBRARY]
        if not above:
            return base
        blob = claims.image.save(above[0], self.workspace.new_directory()), above[0].media_type, above[0].diff_id
        files = confined(blob[:1], read_files, [blob], lambda path, _head: is_provided(path), SystemFiles.has)
        names = {path.rpartition("/")[2] for path in files if is_provided(path)}
        system = SystemFiles.from_files({path: data for path, data in files.items() if SystemFiles.has(path)})
        return base._replace(
            system=SystemFiles(base.system.ids, system.packages or base.system.packages),
            libraries=tuple(sorted({*base.libraries, *names})),
            above=tuple(map(_kept, above)),
        )

    def _project(self, claims: Claims, base: BaseImageContents, layer: Layer) -> tuple[PlannedWheel, Libraries]:
        """Return a package of the user, whose wheel only its layer has."""
        blob, directory = claims.image.save(layer, self.workspace.new_directory()), self.workspace.new_directory()
        path = confined([blob], write_wheel, blob, layer, base.python_version, directory, copy=directory)
        wheel = confined([path], Wheel.read, path, Locked(""))
        name, _, version = layer.name.partition(" ")
        if wheel.distribution != name:
            raise BentoError(f"the layer has {wheel.distribution}", place=layer.name, remedy=REBUILD)
        _, sha256, exclude = claims.packages[name]
        size = wheel.file.stat().st_size
        planned = PlannedWheel(name, version, wheel.name, size, sha256, exclude, lambda: path, lambda: wheel)
        return planned, confined([path], Libraries.read, wheel)

    def _plan(self, claims: Claims, base: BaseImageContents, projects: Sequence[PlannedWheel]) -> ImagePlan:
        """Return the plan of an image. Its contents are only the layer of the Bento."""
        own, settings = {each.distribution for each in projects}, claims.image.config["config"]
        locked = {name: each for name, each in sorted(claims.packages.items()) if name not in own}
        self.workspace.settings["exclude"] = _excluded(claims, locked)
        if claims.bento:
            bare = plan_image(self.workspace, claims.bento.entry, base, ())
        else:
            bare = replace(self._plan_program(claims, base, locked), projects=tuple(projects))
        has_library, has_bytecode = _LIBRARY in [each.name for each in claims.layers], BYTECODE in settings["Labels"]
        bytecode = self._bytecode(bare.bytecode, base, not has_library) if has_bytecode else None
        bare = replace(bare, labels={}, bytecode=bytecode)
        implied = read_object(bare.documents((), None).image.config, "config")["config"]
        env, defaults = (dict(each.partition("=")[::2] for each in found["Env"]) for found in (settings, implied))
        labels = {key: text for key, text in settings["Labels"].items() if implied["Labels"].get(key) != text}
        labels.pop(BYTECODE, None)
        return replace(bare, env={key: text for key, text in env.items() if defaults.get(key) != text}, labels=labels)

    def _plan_program(self, claims: Claims, base: BaseImageContents, locked: Mapping[str, Package]) -> ImagePlan:
        settings = claims.image.config["config"]
        files = self._locate([f"{name}=={each.version}" for name, each in locked.items()], base)
        if lost := [f"{name} {each.version}" for name, each in locked.items() if each.sha256 not in files]:
            problem = f"the index has no wheel with the SBOM's hash for {', '.join(lost)}"
            raise BentoError(problem, remedy="Use the index of the build, or build the image again.")
        wheels = []
        for name, (version, sha256, _) in locked.items():
            url, size = files[sha256]
            path = location(url, sha256, self.workspace.downloads)
            wheels.append(LocalWheel(name, version, path, sha256, url, size))
        download([each for each in wheels if not each.size], self.workspace.progress)
        return ImagePlan(
            **self.workspace.plan_fields(base),
            bento={"name": claims.standard["title"], "version": claims.standard["version"], "labels": {}, "envs": []},
            directory="",
            wheels=self.workspace.plan_wheels(wheels),
            contents=(),
            created=claims.image.config["created"],
            command=tuple(settings.get("Cmd", ())),
            ports=tuple(settings.get("ExposedPorts", ())),
            working_dir=settings.get("WorkingDir", ""),
            snapshots=claims.snapshots,
        )

    def _locate(self, pins: Sequence[str], base: BaseImageContents) -> Urls:
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

    def _distributions(self, plan: ImagePlan) -> Iterator[Distribution]:
        for each in plan.all_wheels:
            known = self._requires if each in plan.wheels else {}  # the digest of a project is only stated
            if each.sha256 not in known:
                known[each.sha256] = self.workspace.read(each, lambda wheel: wheel.metadata.requires)
            yield Distribution(each.distribution, each.version, known[each.sha256])


def _project_layers(claims: Claims) -> list[Layer]:
    """Return the layers of the user's packages: above the bytecode of others, or the one that the SBOM describes."""
    titles = {f"{name} {each.version}": each.sha256 for name, each in claims.packages.items()}
    names = [each.name for each in claims.layers]
    first = next((at for at, name in enumerate(names) if name.startswith("bytecode of ")), len(names))
    return [
        each
        for at, each in enumerate(claims.layers)
        if each.name in titles and (at > first or f"sha256:{titles[each.name]}" == claims.contents)
    ]


def _kept(layer: Layer) -> PlannedLayer:
    return PlannedLayer(layer.name, [_KEPT, layer.digest], lambda: Packing([], lambda _: layer))  # is found before


def _contents(new: Iterable[PlannedLayer], layers: Iterable[PlannedLayer]) -> tuple[PlannedLayer, ...]:
    """Return layers, with the new one of the Bento, if there is one."""
    found = {each.name: each for each in new}
    return tuple(found.get(each.name, each) for each in layers)


def _excluded(claims: Claims, names: Iterable[str]) -> list[Pair]:
    return [Pair(name, pattern, "SBOM") for name in names for pattern in claims.packages[name].exclude]
