"""Writes, loads, signs, and pushes the images that `native_build` has built."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import INDEX, SBOM_TYPES, digest_of
from rules_bento.base.landlock import outside
from rules_bento.base.net import terminal
from rules_bento.base.programs import which
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Sequence, cast
from rules_bento.images import image_archive, oci_image
from rules_bento.images.registry import RegistryError
from rules_bento.images.registry.blob_sources import BytesSource, FileSource, Pushable, RemoteSource, verified_pieces
from rules_bento.images.registry.descriptor import MANIFEST, Descriptor, Manifest
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.push_records import BlobHistory
from rules_bento.images.registry.reference import Reference

from bento_cli.sharing import native_cache
from bento_cli.sharing.backends import NativeImage
from bento_cli.sharing.image_options import LAYOUT, NO_SBOM

if TYPE_CHECKING:
    from rules_bento.images.artifacts.signatures import Signing
    from rules_bento.images.registry.blob_sources import BlobSource
    from rules_bento.images.sbom import Format

    from bento_cli.sharing.image_changes import ImageChanges
    from bento_cli.sharing.native_build import BuildWorkspace, BuiltImage

_NO_SBOM = "If the registry doesn't accept SBOMs, add --sbom none."


class Delivery:
    """Writes, loads, or pushes the images of one build. With several images or SOCI, an index lists the images."""

    def __init__(
        self, workspace: BuildWorkspace, images: Sequence[BuiltImage], contents_digest: Callable[[], str]
    ) -> None:
        """Take the images in the order of their platforms. `contents_digest` returns a digest of the contents."""
        self._workspace = workspace
        self.images = images
        self._contents_digest = contents_digest
        self.children = [image.manifest for image in images]
        self.root = self.children[0]
        small = [image.documents.image.config for image in images]
        for image in images:
            small += image.documents.soci[1:]
            self.children += [Manifest.read(manifest, MANIFEST, "SOCI") for manifest in image.documents.soci[:1]]
        if len(self.children) == 1:
            self.children = []
        else:
            self.root = Manifest.read(self._index(), INDEX, "the image")
        self.sources: dict[str, BlobSource] = {digest_of(content): BytesSource(content) for content in small}
        for image in images:
            if origin := image.base.origin:
                repository = workspace.registries.repository(Reference.from_url(origin))
                self.sources |= {each.digest: RemoteSource(repository, each.digest) for each in image.base.image.layers}
            self.sources |= {each.layer.digest: each.source for each in image.cached_layers.values()}
            self.sources |= {digest: FileSource(path) for digest, path in image.blobs.items()}

    def _index(self) -> bytes:
        from rules_bento.images import soci

        entries, others = [], []
        for image in self.images:
            config = image.plan.base_config
            platform = {key: config[key] for key in ("architecture", "os")}
            entries.append((image.documents.image.manifest, platform))
            of_image = image.documents.image.manifest
            others += [soci.index_entry(manifest, of_image, platform) for manifest in image.documents.soci[:1]]
        return oci_image.make_index(entries, {}, others)

    def sboms(self) -> list[tuple[BuiltImage, bytes]]:
        """Return the SBOM of each image, unless the user disabled SBOMs."""
        [form] = self._workspace.settings["sbom"]
        if form == NO_SBOM:
            return []
        digest = self._contents_digest()
        return [(image, image.sbom(digest, cast("Format", form))) for image in self.images]

    def _referrers(self) -> list[Pushable]:
        from rules_bento.images.artifacts import artifact

        media_type = SBOM_TYPES.get(self._workspace.settings["sbom"][0], "")
        return [
            artifact.refer(image.manifest.descriptor, Descriptor.from_content(sbom, media_type), sbom, {})
            for image, sbom in self.sboms()
        ]

    def deliver(self, names: Sequence[str], signing: Signing | None) -> NativeImage:
        """Start, write, push, and load the images. Raises DamagedError for a damaged cache."""
        settings = self._workspace.settings
        changes: tuple[ImageChanges, ...] = ()
        if "explain" in settings:
            from bento_cli.sharing.image_changes import compare

            changes = tuple(
                compare(image.contents, image.platform, names[0], self._workspace.registries) for image in self.images
            )
        startup: dict[str, Any] = {}
        try:
            if "start" in settings:
                from bento_cli.sharing.start_option import start, startable

                image = startable({each.platform: each for each in self.images}, *settings["platform"])
                files = [(layer, image.blobs[layer.digest]) for layer, _ in image.contents]
                self._workspace.progress.begin("Starting the image")
                startup = start(settings, files, image.documents.image.config, str(self._workspace.scratch))
                if startup["ready"].startswith("ended"):
                    self._workspace.notes.append(f"--start: the program {startup['ready']}, and served nothing.")
            for output in settings.get("output", ()):
                self._write(Path(output.removeprefix(LAYOUT)), names)
            sent, mounted = self._push(names, signing) if "push" in settings else (0, 0)
            self._write_notes(names, signing)
            for runner in settings.get("load", ()):
                self._load(runner, names)
        except (BentoError, OSError) as error:
            layers = [layer for image in self.images for layer in image.manifest.layers()]
            blobs = {digest: path for image in self.images for digest, path in image.blobs.items()}
            local = [layer for layer in layers if layer.digest in blobs]
            if native_cache.remove_damaged(self._workspace.cache, local, blobs):
                problem = "cached files were damaged again after they had been replaced"
                remedy = "Check the disk, or set XDG_CACHE_HOME to a directory on another disk."
                place = str(self._workspace.cache)
                raise native_cache.DamagedError(problem, place=place, remedy=remedy) from error
            raise
        notes = tuple(dict.fromkeys(filter(None, (*self._workspace.notes, *(image.note for image in self.images)))))
        [runner] = settings.get("load", [""])
        digest, base = self.root.descriptor.digest, self.images[0].base.name
        return NativeImage(tuple(names), runner, digest, base, sent, mounted, notes, changes, startup)

    def _push(self, names: Sequence[str], signing: Signing | None) -> tuple[int, int]:
        """Return the numbers of sent and of mounted bytes. A name can have a digest in place of a tag."""
        from rules_bento.images.registry.push_to_registry import push, push_all

        history, registries = BlobHistory.from_user_cache(), self._workspace.registries
        references = [Reference.from_url(name) for name in names]
        targets = [each if each.tag or each.digest else each.with_tag("latest") for each in references]
        origins = dict.fromkeys(image.base.origin for image in self.images if image.base.origin)
        mounts = dict(history.repositories())
        for image in self.images:
            mounts |= {
                each.layer.digest: each.repositories for each in image.cached_layers.values() if each.repositories
            }
        package = Pushable(self.root, self.children, self.sources, [*origins], mounts)
        if signing:
            self._workspace.progress.begin("Signing")
            self._sign(targets, signing)
        self._workspace.progress.begin(f"Pushing {', '.join(names)}")
        pushed = push(package, targets, registries, self._workspace.progress)
        history.note((entry.reference.name for entry in pushed), self.sources)
        referrers = [
            (referrer, [target.with_digest(referrer.root.descriptor.digest) for target in targets])
            for referrer in self._referrers()
        ]
        self._workspace.progress.begin("Pushing SBOM")
        try:
            push_all(referrers, registries, self._workspace.progress)
        except RegistryError as error:
            if not any(each.tag for each in targets):  # the caller writes the tag of a complete image
                raise
            self._workspace.notes.append(f"The image is in the registry, but its SBOM isn't: {error} {_NO_SBOM}")
        return sum(entry.size for entry in pushed), sum(entry.mounted_size for entry in pushed)

    def _write_notes(self, names: Sequence[str], signing: Signing | None) -> None:
        """Write the notes of the images' layers to the repositories that `--cache-to` names."""
        cache = self._workspace.registry_cache
        if cache and self._workspace.values("cache-to"):
            layers = {key: layer for image in self.images for key, layer in image.cached_layers.items()}
            pushed = names if "push" in self._workspace.settings else ()
            self._workspace.progress.begin("Pushing layer notes")
            try:
                cache.write(layers, [Reference.from_url(name).name for name in pushed], signing)
            except RegistryError as error:
                self._workspace.notes.append(f"The registry of --cache-to refuses layers: {error}")

    def _sign(self, targets: Sequence[Reference], signing: Signing) -> None:
        """Sign the images and their SBOMs before tags refer to them."""
        from rules_bento.images.artifacts import signatures
        from rules_bento.images.signing.cosign import sbom_type

        registries = self._workspace.registries
        for manifest in [self.root, *(image.manifest for image in self.images if image.manifest != self.root)]:
            signatures.sign_in_registries(manifest.descriptor, targets, signing, registries)
        for image, sbom in self.sboms():
            document = json.loads(sbom)
            for name in sorted({target.name for target in targets}):
                place = signatures.InRegistry(Reference.parse(name), registries)
                kind = sbom_type(document, "the SBOM")
                signatures.attest(place, name, image.manifest.descriptor, kind, document, signing)

    def _write(self, directory: Path, names: Sequence[str]) -> None:
        """Add the images and their SBOMs to an OCI layout. Copies only blobs that the layout lacks."""
        layout = Layout.create(directory)
        for package in [Pushable(self.root, self.children, self.sources), *self._referrers()]:
            for blob in (blob for blob in package.blobs() if not layout.has(blob)):
                problem = f"{blob.digest}: the cached content doesn't match the digest. Build the image again."
                pieces = verified_pieces(package.sources[blob.digest], blob.digest, blob.size, problem)
                layout.write(blob.digest, pieces)
            for manifest in package.manifests():
                layout.add(manifest.content)
        with layout.lock():
            for name in names:
                tag = "" if ":" in name.rpartition("/")[2] else ":latest"
                layout.add_manifest(self.root, name + tag, is_image=True)

    def _load(self, tool: str, names: Sequence[str]) -> None:
        """Load the image into a container engine, and tag the image with all names."""
        from rules_bento.run.load import load

        [image] = self.images
        program = which(tool) or tool
        layers = {layer.digest: image.blobs[layer.digest] for layer in image.manifest.layers()}
        archive = image_archive.docker_archive(image.documents.image, layers, names[0])
        if tool in ("docker", "podman"):  # otherwise, they print a line for each layer
            self._workspace.progress.begin(f"Loading into {tool}")
            status = load(program, archive, "--quiet", stdout=subprocess.DEVNULL)
        else:
            terminal.erase(sys.stderr)  # the engine prints its own progress
            status = load(program, archive, stdout=2)
        for name in names[1:]:
            words = [program, "tag", names[0], name]
            status = status or outside(subprocess.run, words, check=False, stdout=2).returncode
        if status:
            raise BentoError(f"{tool}: cannot load the image. Check the output above.")
