"""Finds what an image must contain: from sources and their lock, or only from a lock or an index.

For sources, the fronts choose packages, command, and variables, as for an image. The report shows what they chose, and
nothing of their layers is used.
"""

from __future__ import annotations

import os
import posixpath
import re
from datetime import datetime, timezone
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

from rules_bento.base.archives import sha256_of
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.times import parse_time
from rules_bento.base.tree_walk import open_below
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Iterator, Sequence, cast
from rules_bento.bentos.packages import lock_format
from rules_bento.bentos.packages.indexes import Indexes
from rules_bento.bentos.packages.requirement_syntax import decode, normalize_name, parse
from rules_bento.images.system_packages import SystemFiles
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel import Locked, Wheel

from bento_cli.proofs import own_files
from bento_cli.proofs.config_proof import ANNOTATION, Claims, Sboms
from bento_cli.proofs.expected import Expected, Finding
from bento_cli.proofs.image_proof import TrustedWheel
from bento_cli.sharing import hub_snapshots, native_packages
from bento_cli.sharing.native_packages import LocalWheel
from bento_cli.store.export import walk

if TYPE_CHECKING:
    from rules_bento.bentos.sources.snapshot import DeclaredFile
    from rules_bento.images.plan import ImagePlan, PlannedModel, PlannedWheel
    from rules_bento.images.sbom import Format

    from bento_cli.proofs.base_files import BaseFiles
    from bento_cli.proofs.expected import LayerMember
    from bento_cli.sharing.native_base import BaseImageContents
    from bento_cli.sharing.native_build import BuildWorkspace
    from bento_cli.store.entry_store import Entry

APP, BENTO = "app/_main", f"{own_files.HOME}/bento"
_ROOT = (0, 0)
_SOURCES, _MODELS = "sources", "models"
_WEIGHTS = (".bin", ".ckpt", ".gguf", ".pt", ".pth", ".safetensors")
_MAX_LINKS = 40
_LINKED = 2 << 20  # bytes of a model's file in a layer of its own
_WHEEL = re.compile(r".*/site-packages/([^/-]+)-([^/-]+)\.dist-info/WHEEL")
_PIN = re.compile(r"[a-z0-9-]+==[0-9A-Za-z.!+-]+")


def wheels_of(
    workspace: BuildWorkspace, wheels: Sequence[PlannedWheel], projects: Collection[PlannedWheel] = ()
) -> list[TrustedWheel]:
    """Return verified wheels, of which `projects` are built from the user's sources. Downloads missing wheels."""
    workspace.download(wheels)
    found = []
    for planned in wheels:
        wheel = workspace.wheel(planned)
        native_packages.fetch(wheel, workspace.progress)
        excluded: set[str] = set()
        if planned.exclude:
            excluded = {each.path for each in Wheel.read(wheel.path, Locked("")).members}
            excluded -= {each.path for each in planned.read().members}
        found.append(TrustedWheel(wheel.sha256, wheel.path, frozenset(excluded), is_project=planned in projects))
    return found


def sboms_of(plan: ImagePlan, contents: str) -> Sboms:
    """Return a function that computes the SBOMs of an image. `contents` is the digest of the Bento or program.

    Rules that don't have the layers of a base list no system packages in an SBOM, which states this.
    """
    packages = cache(lambda: [Libraries.read(wheel.read()) for wheel in plan.all_wheels])

    def compute(digest: str, form: str) -> Iterator[dict[str, Any]]:
        for system in (plan.system, SystemFiles((), None)):
            content = replace(plan, system=system).sbom(digest, contents, cast("Format", form), packages())
            yield read_object(content, "SBOM", is_large=True)

    return compute


def claims_of(plan: ImagePlan) -> Claims:
    """Return what a plan implies for the config."""
    bento = plan.bento
    declared = {each["name"]: str(each["value"]) for each in bento["envs"] if each["value"] != ""}
    build = {each["name"] for each in bento["envs"] if each["stage"] == "build"}
    env = {name: value for name, value in declared.items() if name not in build} | dict(plan.env)
    downloads = any("registry" in each for one in bento.get("services") or () for each in one.get("models") or ())
    has_models = any(model.stored.entry.description.hugging_face for model in plan.models)
    if not downloads and (has_models or plan.snapshots):
        env = {"HF_HUB_CACHE": f"/{own_files.HOME}/huggingface/hub", "HF_HUB_OFFLINE": "1"} | env
    standard = {"created": plan.created, "title": bento["name"], "version": bento["version"]}
    labels = {f"{ANNOTATION}{name}": text for name, text in standard.items()} | bento["labels"] | dict(plan.labels)
    return Claims(
        is_complete=True,
        command=plan.command,
        env=env,
        labels=labels,
        working_dir=plan.working_dir or plan.directory,
        ports=plan.ports,
        created=plan.created,
        directory=plan.directory,
    )


def files_of(kept: Sequence[DeclaredFile], top: str) -> dict[str, Expected]:
    """Return the files of a project below the directory `top`, which root owns."""
    return {
        f"{top}/{file.path}".lstrip("/"): _file(file.source, file.link, _SOURCES, _ROOT, file.below) for file in kept
    }


def added_of(added: Sequence[DeclaredFile], base: BaseFiles) -> dict[str, Expected]:
    """Return the files of `--file`."""
    return {place(path, base): each for path, each in files_of(added, "").items()}


def place(path: str, base: BaseFiles) -> str:
    """Return a path in the image whose directories aren't links of the base."""
    for _ in range(_MAX_LINKS):
        above = path
        while (above := above.rpartition("/")[0]) and not (base.is_file(above) and base.members[above].link):
            pass
        if not above:
            return path
        target = posixpath.join("/", above.rpartition("/")[0], base.members[above].link)
        path = posixpath.normpath(target + path[len(above) :]).lstrip("/")
    return path


def _file(source: str, link: str | None, kind: str, owner: tuple[int, int], below: str = "") -> Expected:
    if link is not None:
        return Expected(kind, source, "link", 0o777, owner, link=link)
    file = open_below(source, below)
    mode = 0o755 if os.fstat(file).st_mode & 0o100 else 0o644
    return Expected(kind, source, "file", mode, owner, sha256_of(file))


def bento_files(entry: Entry, models: Sequence[PlannedModel]) -> dict[str, Expected]:
    """Return the files of a Bento, and of its models."""
    own = own_files.OWNER
    found = {
        f"{BENTO}/{each.path}": _file(str(entry.path / each.path), each.link, _SOURCES, own)
        for each in walk(entry.path, "", skip="models")
        if not each.is_directory
    }
    latest: dict[str, tuple[object, str]] = {}
    for model in models:
        description = model.stored.entry.description
        name, _, version = description.tag.partition(":")
        directory = f"{BENTO}/models/{name}/{version}"
        has_weights = not any(path.endswith(".onnx") for path in model.stored.sources)
        for path, source in model.stored.sources.items():
            expected = _file(source, None, _MODELS, own)
            if path == "model.yaml":
                expected = _text(model.stored.entry.model_yaml, expected.mode)
            elif has_weights and path.endswith(_WEIGHTS):
                place = f"{own_files.HOME}/weights/{name}/{_blake3(source)}/{path.rpartition('/')[2]}"
                found[place] = expected
                target = posixpath.relpath(place, f"{directory}/{path}".rpartition("/")[0])
                expected = Expected(_MODELS, description.tag, "link", 0o777, own, link=target)
            found[f"{directory}/{path}"] = expected
        latest[name] = max(latest.get(name, ("", "")), (description.creation_moment, version), key=str)
        if description.hugging_face:
            repository, _, revision = description.hugging_face.partition("@")
            hub = f"{own_files.HOME}/huggingface/hub/models--{repository.replace('/', '--')}"
            found[f"{hub}/refs/main"] = _text(revision.encode())
            target = posixpath.relpath(directory, f"{hub}/snapshots")
            found[f"{hub}/snapshots/{revision}"] = Expected(_MODELS, repository, "link", 0o777, own, link=target)
    for name, (_, version) in latest.items():
        found[f"{BENTO}/models/{name}/latest"] = _text(version.encode())
    return found


def hub_files(workspace: BuildWorkspace) -> dict[str, Expected]:
    """Return the files of models of `--hugging-face`, whose hashes the Hub has for the commits."""
    found: dict[str, Expected] = {}
    for _, model, commit, _ in workspace.values("hugging-face"):
        top = f"{own_files.HOME}/huggingface/hub/models--{model.replace('/', '--')}"
        files = [*hub_snapshots.list_files(workspace, model, commit)]
        has_links = not any(file.path.endswith(".onnx") for file in files)
        for file in files:
            path = f"{top}/snapshots/{commit}/{file.path}"
            expected = Expected(_MODELS, model, "file", 0o644, own_files.OWNER, file.sha256)
            if has_links and file.size >= _LINKED:
                blob = f"{top}/blobs/{file.sha256}"
                found[blob] = expected
                target = posixpath.relpath(blob, path.rpartition("/")[0])
                expected = Expected(_MODELS, model, "link", 0o777, own_files.OWNER, link=target)
            found[path] = expected
        found[f"{top}/refs/main"] = _text(commit.encode())
    return found


def _text(data: bytes, mode: int = 0o644) -> Expected:
    return Expected(_MODELS, "the model", "file", mode, own_files.OWNER, sha256(data).hexdigest())


def _blake3(source: str) -> str:
    from blake3 import blake3

    with Path(source).open("rb") as file:
        hashed = blake3()
        for piece in iter(partial(file.read, 1 << 20), b""):
            hashed.update(piece)
    return hashed.hexdigest()


def wheels_of_image(
    members: Sequence[LayerMember], lock: Path | None, base: BaseImageContents, workspace: BuildWorkspace
) -> list[TrustedWheel]:
    """Return the verified wheels of the packages whose names and versions an image states.

    The hashes are of the lock or, without one, of the user's index.
    Omits packages without such a wheel, so that nothing implies their files.
    """
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    installed = dict(filter(None, map(_installed, members)))
    candidates = _candidates(lock, [f"{name}=={version}" for name, version in installed], base)
    found: dict[tuple[str, str], LocalWheel] = {}
    for digest, (url, size) in sorted(candidates.items()):
        place = native_packages.location(url, digest, workspace.downloads)
        try:
            name, version, _, tags = parse_wheel_filename(place.name)
        except InvalidWheelFilename:
            continue
        key = (normalize_name(name), str(version))
        if installed.get(key) == {str(tag) for tag in tags}:
            found[key] = LocalWheel(*key, place, digest, url, size)
    native_packages.download([*found.values()], workspace.progress)
    return wheels_of(workspace, workspace.plan_wheels([*found.values()]))


def _installed(member: LayerMember) -> tuple[tuple[str, str], set[str]] | None:
    """Return name, version, and tags of a package from its file WHEEL, or None for another file."""
    from packaging.version import InvalidVersion, Version

    match = _WHEEL.fullmatch(member.path) if member.content is not None else None
    if not match or member.content is None:
        return None
    tags = set(re.findall(r"^Tag: *(\S+) *\r?$", member.content.decode("utf-8", "replace"), re.MULTILINE))
    try:
        return (normalize_name(match[1]), str(Version(match[2]))), tags
    except InvalidVersion:
        return None


def _candidates(lock: Path | None, pins: Sequence[str], base: BaseImageContents) -> dict[str, tuple[str, int]]:
    """Return the URL and the size of the wheels that a package can have, by SHA-256: of a lock, or of the index."""
    text = decode(read_file(lock), str(lock)) if lock else ""
    if lock and lock.suffix in (".lock", ".toml"):
        packages = [each for each in lock_format.read_uv_lock(text, str(lock))["package"] if each.get("wheels")]
        return {
            sha256: (url, lock_format.locked_size(package, sha256))
            for package in packages
            for sha256, url in lock_format.locked_files(package, str(lock), lock.parent).items()
        }
    found = native_packages.locate(sorted(filter(_PIN.fullmatch, pins)), base, Indexes()) if pins else {}
    if not lock:
        return found
    if lock.suffix == ".json":
        allowed = {sha256 for package in lock_format.load(lock)["packages"] for sha256 in package["files"].values()}
    else:
        allowed = {sha256 for each in parse(text, str(lock))[0] for sha256 in each.hashes}
    if not allowed:
        problem = "the lock has no hashes"
        raise BentoError(problem, place=str(lock), remedy="Name a uv.lock, or a requirements file with hashes.")
    return {sha256: each for sha256, each in found.items() if sha256 in allowed}


def newest_upload(wheels: Sequence[TrustedWheel], locks: Sequence[Path]) -> tuple[str, str]:
    """Return the time of the newest upload (RFC 3339) that uv.locks state, and the wheel.

    The time is empty if a wheel that an index has has no time.
    """
    times: dict[str, str] = {}
    for lock in locks:
        document = lock_format.read_uv_lock(decode(read_file(lock), str(lock)), str(lock))
        files = (each for package in document["package"] for each in package.get("wheels", ()))
        times |= {str(each.get("hash", ""))[7:]: str(each.get("upload-time", "")) for each in files}
    named = [(times.get(each.sha256, ""), each.path.name) for each in wheels if not each.is_project]
    unknown = next((name for time, name in named if not time), "")
    return ("", unknown) if unknown else max(named, default=("", ""))


def age_finding(newest: tuple[str, str], days: int) -> list[Finding]:
    """Return a finding if the newest wheel was uploaded less than `days` days ago, or at an unknown time."""
    time, name = newest
    if name and not time:
        return [Finding(None, "--age", f"{name} has no upload time in a uv.lock")]
    if time and (datetime.now(timezone.utc) - parse_time(time)).days < days:
        return [Finding(None, "--age", f"{name} was uploaded at {time}, less than {days} days ago")]
    return []
