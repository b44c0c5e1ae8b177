"""Selects, places and digests the sources of a Bento, reads its service, and packs both for what follows."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from pathlib import Path

from rules_bento import service as services
from rules_bento.actions import data, secrets_search
from rules_bento.archives.archive import write_part
from rules_bento.errors import BentoError
from rules_bento.models.model_loads import find_model_loads
from rules_bento.sources import snapshot
from rules_bento.sources.manifest import Manifest
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_bento.actions.data import Plan
    from rules_bento.arguments import Arguments
    from rules_bento.build_options.options import BuildOptions
    from rules_bento.build_options.project import ProjectFiles
    from rules_bento.service import ServiceInfo
    from rules_bento.sources.manifest import Entry
    from rules_bento.sources.snapshot import DeclaredFile, Selection

REUSABLE = True  # see worker

FLAGS = (
    data.SELECTION
    | secrets_search.FLAGS
    | {
        "--arg-file": 2,  # path, name in messages
        "--bento-args": 1,  # JSON object
        "--image": 2,  # path of the image's JSON, label in messages
        "--manifest": 1,
        "--packed-data": 1,  # manifest of the files that `data` packs
        "--part": 1,
        "--service-info": 1,
        "--states-packages": 0,  # which bentofile and image ask for, and a lock has to give
        "--unread": 0,  # the service is imported by another action
        "--unused": 1,
        "--used": 1,  # what the verbs behind this one read
    }
)

_README = "README.md"
_OUTPUT_ROOT = "bazel-out/"


def run(arguments: Arguments) -> None:
    """Write manifest, archive part, service facts and the list of inputs without influence."""
    declared = data.declared_files(arguments)
    plan = data.read_plan(arguments, declared)
    selection = data.select(declared, plan)
    if plan.service is not None:
        _require_module(plan.service, selection)
    if not selection.kept:
        raise BentoError("no file is left: include and exclude drop all of srcs, data and deps. Change these patterns.")
    _tell_idle(arguments.required("--target"), selection, plan)
    snapshot.check_followed(selection.kept)
    sources = {file.path: file for file in selection.kept if file.link is None}
    seen: dict[str, bytes] = {}  # files that were read, by path
    if arguments.has("--unread"):
        info = services.ServiceInfo(_name(plan, sources), path="", kind="new", bento_name=None, entry_service=None)
    else:
        info = _read(_name(plan, sources), sources, _bento_arguments(arguments, plan), seen)
    apart = _packed_data(arguments)
    packed = [file for file in selection.kept if file.path not in apart]
    manifest = Manifest.of([*snapshot.digest(packed).entries, *apart.values()])
    secrets_search.refuse_secrets_of(arguments, packed)
    readme = next((file for file in declared if file.path == _README), None)
    named = _named_files(info, plan, declared)
    snapshot.check_followed(file for file in declared if file.path in named)  # patterns may have dropped them
    facts = {
        "readme": _text(readme) if readme else None,
        "service": services.to_json(info),
        **({"files": {path: b64encode(content).decode() for path, content in named.items()}} if named else {}),
        **({"loads": found} if (found := find_model_loads(seen)) else {}),
        **({"src_exists": True} if plan.src_exists else {}),
        **({"stated": _stated(arguments, info, plan, declared)} if arguments.has("--states-packages") else {}),
    }
    write_part(Path(arguments.required("--part")), data.members(packed, manifest))
    Path(arguments.required("--manifest")).write_text(manifest.to_json(), "utf-8")
    Path(arguments.required("--service-info")).write_text(
        json.dumps(facts, ensure_ascii=False, indent=1) + "\n", "utf-8"
    )
    used = [path for flag in ("--bentofile", "--arg-file") for path, _ in arguments.tuples(flag)]
    used += arguments.repeated("--used")
    used += [file.source for file in declared if file.path in named or file is readme]
    Path(arguments.required("--unused")).write_text(_unused(selection, used), "utf-8", "surrogateescape")


def _tell_idle(target: str, selection: Selection, plan: Plan) -> None:
    """Tell of patterns that match no file: BentoML does not, and an action sees only what the target declares."""
    if selection.idle:
        from rules_bento.build_options.options import BuildOptions
        from rules_bento.build_options.target_options import unmatched_patterns

        for note in unmatched_patterns(selection, plan.options or BuildOptions(), "srcs, data and deps"):
            sys.stderr.write(f"{target}: {note}\n")


def _packed_data(arguments: Arguments) -> dict[str, Entry]:
    """Read the entries of the files that another part of the archive holds, by path."""
    path = arguments.optional("--packed-data")
    entries = Manifest.from_json(Path(path).read_text("utf-8"), path).entries if path else ()
    return {entry.path: entry for entry in entries}


def _bento_arguments(arguments: Arguments, plan: Plan) -> dict[str, Any]:
    """Return what `bentoml.use_arguments()` gives the service: as BentoPackage merges it for bento.yaml."""
    values: dict[str, Any] = json.loads(arguments.optional("--bento-args", "{}"))
    for path, name in arguments.tuples("--arg-file"):
        from rules_bento.build_options.bentofile import read_arguments

        values = read_arguments(path, name) | values
    return (plan.options.args if plan.options else {}) | values


def _name(plan: Plan, sources: dict[str, DeclaredFile]) -> str:
    """Return `module:Service`: the target's, else the bentofile's, else the only one in the sources."""
    if plan.service is not None:
        return plan.service
    from rules_bento.build_options.options import BuildOptions
    from rules_bento.build_options.target_options import find_service

    return find_service(plan.options or BuildOptions(), sources)


def _read(
    service: str, sources: dict[str, DeclaredFile], values: dict[str, Any], seen: dict[str, bytes]
) -> ServiceInfo:
    tree = services.SourceTree(sources, lambda path: seen.setdefault(path, snapshot.content(sources[path])))
    return services.read_service(service, tree, values)


def _project(declared: Sequence[DeclaredFile]) -> ProjectFiles:
    from rules_bento.build_options.project import ProjectFiles

    return ProjectFiles({file.path: file.source for file in declared if file.filtered})


def _named_files(info: ServiceInfo, plan: Plan, declared: Sequence[DeclaredFile]) -> dict[str, bytes]:
    """Read the files that the options and the service's image name; later actions get no other source."""
    if plan.options is None and info.image is None and not (info.description or "").startswith("file:"):
        return {}
    from rules_bento.bento.named_files import named_files
    from rules_bento.build_options.options import BuildOptions

    return named_files(info, plan.options or BuildOptions(), _project(declared))


def _stated(
    arguments: Arguments, info: ServiceInfo, plan: Plan, declared: Sequence[DeclaredFile]
) -> list[dict[str, Any]]:
    if plan.options is None and info.image is None and not arguments.has("--image"):
        return []
    from rules_bento.build_options.options import BuildOptions

    return stated(arguments, info, plan.options or BuildOptions(), _project(declared))


def stated(
    arguments: Arguments, info: ServiceInfo, options: BuildOptions, project: ProjectFiles
) -> list[dict[str, Any]]:
    """Return, as objects of JSON, what the options and the image (`--image`, else the service's) ask for."""
    from rules_bento.bento import image_steps as images
    from rules_bento.bento.declared_packages import declared_packages
    from rules_bento.dataclasses_lite import asdict

    image = images.ImageDefinition()
    for path, label in arguments.tuples("--image"):
        image = images.from_json(Path(path).read_text("utf-8"), label)
    if not arguments.has("--image") and info.image is not None:
        image = images.from_service(info.image, f"{info.path}: the image of the service")
    return [asdict(packages) for packages in declared_packages(options, image, project)]


def _text(file: DeclaredFile) -> str:
    snapshot.check_followed([file])
    try:
        return snapshot.content(file).decode()  # with its own line ends, as BentoML copies it
    except UnicodeDecodeError:
        raise BentoError(
            f"{file.path} (from {file.origin}) is not UTF-8 text. Save it as UTF-8, or set description."
        ) from None


def _require_module(service: str, selection: Selection) -> None:
    """Refuse a selection that drops the service's module, and say which pattern did."""
    module = service.partition(":")[0]
    path = module if module.endswith(".py") else module.replace(".", "/")
    candidates = [path] if module.endswith(".py") else [f"{path}.py", f"{path}/__init__.py"]
    if any(file.path in candidates for file in selection.dropped):
        snapshot.require_kept(selection, candidates, what=f"service {service!r}")


def _unused(selection: Selection, also: Sequence[str]) -> str:
    """Return the inputs that nothing was read from, so that Bazel reruns nothing when they change.

    `also` are used beside those that are kept. Names under the output folder are left out: path mapping may have
    changed them.
    """
    used = {file.source for file in selection.kept} | set(also)
    unused = {
        file.source
        for file in selection.dropped
        if file.source not in used
        and not file.source.startswith(_OUTPUT_ROOT)
        and file.path.rpartition("/")[2] != snapshot.IGNORE_FILE
    }
    return "".join(f"{source}\n" for source in sorted(unused))
