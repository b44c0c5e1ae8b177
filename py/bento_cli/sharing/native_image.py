"""Plans the images of Bentos for the native backend. The images have the same digests as images from `bento_image`."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterator, Mapping, Sequence
from rules_bento.bentos.models import model_store
from rules_bento.bentos.models.model import HUB_CACHE, ModelDescription, ModelEntry, read_license
from rules_bento.bentos.models.weights import check_weights
from rules_bento.bentos.service.metadata import SourceTree
from rules_bento.bentos.sources.snapshot import DeclaredFile
from rules_bento.bentos.sources.tree_manifest import TreeManifest
from rules_bento.images.debian.any_base import UnfitBaseError
from rules_bento.images.layers import members
from rules_bento.images.layers.layer import write_tar_layer
from rules_bento.images.plan import BENTO, HOME, OWNER, WEIGHTS, ImagePlan, Packing, PlannedLayer, PlannedModel
from rules_bento.images.system_packages import PackageRequest
from rules_bento.images.validation import bento_requirements

from bento_cli.projects.uv_project import DEBIAN_LOCK
from bento_cli.sharing import extra_files, native_build, native_delivery, unprovided_imports
from bento_cli.sharing.backends import BUILDER, BUILDER_REMEDY
from bento_cli.sharing.base_syntax import BaseSyntax
from bento_cli.sharing.debian_packages import SystemRequest, extend
from bento_cli.sharing.image_options import read_options
from bento_cli.sharing.native_base import DEFAULT_BASE
from bento_cli.sharing.native_packages import find_wheels
from bento_cli.store import verification
from bento_cli.store.entry_contents import EntryContents
from bento_cli.store.entry_store import Entry, models_of
from bento_cli.store.export import own_members, streamed_members, walk
from bento_cli.store.import_manifests import ManifestCache

if TYPE_CHECKING:
    from rules_bento.base.archives.tarstream import Member
    from rules_bento.base.formats.oci import Layer
    from rules_bento.bentos.service.loaded_modules import MissingModule
    from rules_bento.images.artifacts.signatures import Signing
    from rules_bento.images.layers.layer import Compression

    from bento_cli.sharing.backends import NativeImage, Options
    from bento_cli.sharing.image_options import Settings
    from bento_cli.sharing.native_base import BaseImageContents
    from bento_cli.sharing.native_build import BuildWorkspace
    from bento_cli.store.home import Home

_MODEL_FILES = ("description", "manifest", "model.yaml")  # in the cache


def build_image(
    home: Home, entry: Entry, names: Sequence[str], options: Options, *, check: bool, signing: Signing | None
) -> NativeImage:
    """Build the image of a Bento, and write, load, or push it. Raises BentoError if one of these steps fails.

    The default of `names` is the Bento's tag. If `signing` is set, signs the image before tagging it in registries.
    """
    names = tuple(names) or (str(entry.tag),)
    settings = read_options(options, names, signing)
    default = _declared(entry, "base_image") or DEFAULT_BASE.format(_declared_python(entry) or "3.11")
    models = models_of(home, entry)
    noted = ManifestCache(home)
    if check:
        verification.require_intact(home, [entry, *models], noted)
    digests = {model.path: noted.digests(model.kind, model.path) if check else {} for model in models}

    def run(workspace: BuildWorkspace) -> NativeImage:
        workspace.request_permission(names)
        origins = _origins(settings, models)
        planned = [
            plan_model(workspace, model, digests[model.path], origins.get(str(model.tag), "")) for model in models
        ]
        images = []
        for base in workspace.bases(default):
            try:
                base = extend(workspace, base, system_request(workspace, entry, base))
            except UnfitBaseError:
                if workspace.values("apt"):
                    raise  # otherwise, the check of the image says what the Bento requires
            plan = plan_image(workspace, entry, base, planned, noted.digests(entry.kind, entry.path) if check else {})
            images.append(native_build.build_image(workspace, base, plan, BUILDER))
        described = [model.stored.entry.description for model in planned]
        delivery = native_delivery.Delivery(
            workspace, images, lambda: EntryContents.of_entry(entry, noted).digest(described)
        )
        return delivery.deliver(names, signing)

    return native_build.build(f"Building {names[0]}", home.own, settings, run)


def system_request(workspace: BuildWorkspace, entry: Entry, base: BaseImageContents) -> SystemRequest:
    """Return the Debian packages that the options name, or that the Bento requires and its base lacks."""
    names = [*workspace.values("apt")]
    if base.system.packages is not None and {*base.system.ids} & {"debian", "ubuntu"}:
        for name in bento_requirements.read_requirements(entry.description.declared).packages:
            request = PackageRequest.parse(name)
            if request and not request.is_satisfied(base.system.packages) and name not in names:
                names.append(name)
    names = [name for name in names if name not in workspace.values("ignore-requirement")]
    return SystemRequest(tuple(names), entry.path / "src" / DEBIAN_LOCK, "")


def _declared(entry: Entry, name: str) -> str:
    """Return a setting of the image from bento.yaml, or an empty string."""
    images = (entry.description.declared.get(key) or {} for key in ("image", "docker"))
    return next((str(image[name]) for image in images if image.get(name)), "")


def _declared_python(entry: Entry) -> str:
    return ".".join(_declared(entry, "python_version").split(".")[:2])


def _origins(settings: Settings, models: Sequence[Entry]) -> dict[str, str]:
    """Map the tags of models to the origins in the option `hugging-face`, which the store doesn't record."""
    origins: dict[str, str] = {}
    for name, repository, commit, place in settings.get("hugging-face", ()):
        tags = [str(model.tag) for model in models if name in (str(model.tag), model.tag.name)]
        if not tags:
            listed = ", ".join(str(model.tag) for model in models) or "no models"
            remedy = f"Specify one of: {listed}."
            raise BentoError(f"{name or repository} isn't a model of the Bento", place=place, remedy=remedy)
        origins |= dict.fromkeys(tags, f"{repository}@{commit}")
    return origins


def regular_files(model: Entry, prefix: str, problem: str) -> Iterator[Member]:
    """Yield the files of a model with paths that begin with `prefix`. Raises BentoError for a symbolic link."""
    for member in walk(model.path, prefix):
        if member.link is not None:
            raise BentoError(f"{member.path} is a symbolic link, which {problem}", place=str(model.tag))
        if not member.is_directory:
            yield member


def plan_image(
    workspace: BuildWorkspace,
    entry: Entry,
    base: BaseImageContents,
    models: Sequence[PlannedModel],
    noted: Mapping[str, str] = MappingProxyType({}),
) -> ImagePlan:
    """Return the plan of an image with the default settings of `bento_image`.

    `noted` has the BLAKE3 digests of verified files of the Bento. All other files are read.
    Raises BentoError for another Python version than the base's, and for packages without bentoml.
    """
    document = entry.description.declared
    wanted = _declared_python(entry)
    if wanted and wanted != base.python_version:
        problem = f"{base.name} has Python {base.python_version}, but {entry.tag} requires Python {wanted}"
        remedy = f"build the Bento with `bento build --python-version {base.python_version}`."
        raise BentoError(problem, place="--base", remedy=f"Use a base image with Python {wanted}, or {remedy}")
    wheels = find_wheels(entry.path, base, workspace)
    if not any(wheel.distribution == "bentoml" for wheel in wheels):
        problem = "the requirements don't include bentoml, which serves the Bento"
        remedy = "Add bentoml to the requirements, and build the Bento again."
        raise BentoError(problem, place=str(entry.tag), remedy=remedy)
    created = str(document["creation_time"]) if entry.creation_time.tzinfo else entry.moment.isoformat()
    fields = workspace.plan_fields(base)
    files = extra_files.declared(workspace.values("file"))
    extra_files.check_secrets(files, workspace.values("env"), ())
    planned = workspace.plan_wheels(wheels)
    code = [f"{BENTO}/{each.path}" for each in walk(entry.path, "", skip="models") if not each.is_directory]
    places = [f"{BENTO}/models", WEIGHTS, f"{HOME}/{HUB_CACHE}"] if models else []
    added, replaced = extra_files.plan(workspace, base, files, extra_files.OtherPaths(code, places, planned))
    return ImagePlan(
        **fields,
        bento=document | {name: entry.description.document[name] for name in ("envs", "labels")},
        directory=BENTO,
        wheels=planned,
        models=tuple(models),
        imports=tuple(_imports(entry, BaseSyntax(workspace, base))),
        included=tuple(wheel.path.name for wheel in wheels if wheel.path.is_relative_to(entry.path)),
        env=workspace.pairs("env"),
        contents=(
            *added,
            _plan_bento(entry, models, fields["compression"], replaced, noted),
            *extra_files.plan_writable(workspace, base),
        ),
        created=created,
        ports=("3000/tcp",),
    )


def _imports(entry: Entry, syntax: BaseSyntax) -> list[MissingModule]:
    """Return the modules that the service imports, and that packages or the base must provide."""
    found = {each.path: each for each in walk(entry.path / "src", "") if not each.is_directory}
    paths = [path for path, member in found.items() if member.link is None]
    sources = SourceTree(paths, lambda path: (entry.path / "src" / path).read_bytes(), parse=syntax.parse)
    files = [f"{path}/" if member.link else path for path, member in found.items()]
    return unprovided_imports.of_modules([str(entry.description.document.get("service", ""))], sources, files, 1)


def _plan_bento(
    entry: Entry,
    models: Sequence[PlannedModel],
    compression: Compression,
    replaced: Collection[str],
    noted: Mapping[str, str],
) -> PlannedLayer:
    """Return the layer of the Bento without the paths `replaced`. It names the versions of `models`."""
    files = [
        each._replace(blake3=noted.get(each.path) or verification.digest_of(Path(each.source), each.size))
        if each.source
        else each
        for each in own_members(entry)
        if not each.is_directory and f"{BENTO}/{each.path}" not in replaced
    ]
    described = [model.stored.entry.description for model in models]

    def write(out: Path) -> Layer:  # writes: output, of the caller
        ordered = sorted(streamed_members(files), key=members.bento_order)
        return write_tar_layer(out, members.bento_tar(BENTO, OWNER, ordered, described), compression)

    key = [members.key(files), [each.tag for each in described]]
    return PlannedLayer("Bento", key, lambda: Packing([entry.path], write))


def plan_model(workspace: BuildWorkspace, model: Entry, digests: Mapping[str, str], origin: str) -> PlannedModel:
    """Return a model with its origin on the Hugging Face Hub. Raises BentoError for files that can't be loaded.

    `digests` contains the BLAKE3 digests of verified files. All other files are read.
    """
    files: dict[str, DeclaredFile] = {}
    states: dict[str, object] = {}  # the digest and mode of each file
    for member in regular_files(model, "", f"the native backend doesn't support. {BUILDER_REMEDY}"):
        path = model.path / member.path
        files[member.path] = DeclaredFile(member.path, str(path), f"model {model.tag}", filtered=False)
        state = path.stat()
        digest = digests.get(member.path) or verification.digest_of(path, state.st_size)
        states[member.path] = [digest, state.st_mode]
    sources = {path: file.source for path, file in files.items()}

    def describe(directory: Path) -> None:
        entry = model_store.from_files([*files.values()], str(model.tag)).entry
        weights = check_weights(sources, str(model.tag))
        described = replace(entry.description, weights=weights, license=read_license(sources))
        contents = (described.dumps().encode(), entry.manifest.to_json().encode(), entry.model_yaml)
        for name, content in zip(_MODEL_FILES, contents, strict=True):
            (directory / name).write_bytes(content)  # writes: own, constant names

    directory = workspace.packed(["model", states], lambda: Packing(sources.values(), describe))
    description, manifest, model_yaml = ((directory / name).read_bytes() for name in _MODEL_FILES)
    described = replace(ModelDescription.loads(description.decode()), hugging_face=origin)
    entry = ModelEntry(described, model_yaml, TreeManifest.from_json(manifest.decode(), str(model.tag)))
    return PlannedModel(model_store.StoredModel(entry, sources), states)
