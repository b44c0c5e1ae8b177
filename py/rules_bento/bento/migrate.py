"""From a BentoML project to Bazel: the BUILD and MODULE lines, and what they cannot carry over.

`migrate` reads a folder and its bentofile and gives texts; it writes nothing, and imports nothing of the project.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rules_bento import service as services
from rules_bento.bento.of_folder import BENTOML_VERSION, PYTHON_VERSION, build_bentofile, default_store, project_files
from rules_bento.bento.of_folder import Beside as BesideOptions
from rules_bento.build_options import bentofile as bentofiles
from rules_bento.build_options.options import BuildOptions
from rules_bento.errors import BentoError
from rules_bento.models import model_store
from rules_bento.packages.nested_requirements import with_nested
from rules_bento.packages.requirements import normalized
from rules_bento.sources import snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rules_bento.build_options.project import ProjectFiles
    from rules_bento.service import ServiceInfo

_LOCKS = ("uv.lock", "pylock.toml", "requirements.lock", "requirements.lock.txt")
_LOCKED_HERE = ("requirements.in", "requirements.lock")
_HUB = "pypi"
# Of a workspace: no part of a Bento, and what a walk along the links of Bazel's would never end in.
_FILES_OF_BAZEL = (".bazelignore", ".bazelrc", ".bazelversion", "MODULE.bazel", "MODULE.bazel.lock")
_LINKS_OF_BAZEL = ("bazel-bin", "bazel-out", "bazel-testlogs")
_NEVER_WALKED = (".git", ".venv", "node_modules", "venv")
_LARGE = 10_000_000  # bytes of a file that is packed apart from the sources


@dataclass(frozen=True)
class Migration:
    """What a project becomes."""

    module: str  # lines of MODULE.bazel
    build: str  # BUILD.bazel of the project's folder
    requirements: str  # what to lock, where the project has no lock: requirements.in; empty otherwise
    ignore: str  # lines of .bazelignore: what Bazel must not walk, for a project that is a workspace; empty otherwise
    notes: tuple[str, ...]  # what is not carried over or left to do, and why

    def text(self) -> str:
        """All of it, for a terminal."""
        parts = [
            ("MODULE.bazel", self.module),
            (".bazelignore", self.ignore),
            ("BUILD.bazel", self.build),
            ("requirements.in", self.requirements),
        ]
        shown = [f"# {name}\n{text}" for name, text in parts if text]
        notes = "".join(f"# - {note}\n" for note in self.notes)
        return "\n".join([*shown, f"# Left to do, and not carried over:\n{notes}" if notes else ""]).rstrip("\n") + "\n"


@dataclass(frozen=True)
class _Project:
    """What is read of a project."""

    folder: Path
    package: str  # of the folder, in the workspace
    bentofile: str | None  # its path in the folder
    options: BuildOptions
    info: ServiceInfo
    files: ProjectFiles
    data: tuple[str, ...]  # paths in the folder of files that are large
    store: Path

    def label(self, file: str) -> str:
        """A file of the folder as MODULE.bazel names it."""
        return f"//{self.package}:{file}"


def migrate(
    folder: str | Path, package: str = "", *, bentofile: str | None = None, store: str | Path | None = None
) -> Migration:
    """Turn the project in a folder, which is the package `package` of the workspace, into rules.

    `bentofile` is the file's path in the folder; without it, bentofile.yaml, else pyproject.toml is read. `store` is
    BentoML's model store, of which descriptions are read. Raises BentoError for a project that cannot be read at all.
    """
    project = _read(Path(folder), package, bentofile, Path(store) if store else default_store())
    packages = _packages(project)
    lock, notes = _lock(project)
    models, model_notes = _models(project)
    build = _build_file(project, packages, models, [*_bazels_own(project), *([] if lock else _LOCKED_HERE)])
    notes = [*notes, *model_notes, *_unknown_notes(project), *_option_notes(project), *_trial(project)]
    module = _module_file(project, lock)
    return Migration(module, build, "" if lock else _requirements_in(packages), _ignored(project), tuple(notes))


def _read(folder: Path, package: str, bentofile: str | None, store: Path) -> _Project:
    path = folder / bentofile if bentofile else bentofiles.find(folder)
    options = BuildOptions()
    if path is not None:
        options = bentofiles.read(path, path.name, src_exists=(path.parent / "src").is_dir())
    declared = list(snapshot.walk(str(folder)))
    selection = snapshot.select(
        declared,
        options.include if options.include is not None else ("*",),
        options.exclude or (),
        src_layout=bool(options.python.is_src_layout),
    )
    sources = {file.path: file.source for file in selection.kept if file.link is None}
    tree = services.SourceTree(sources, lambda name: Path(sources[name]).read_bytes())
    info = services.read_service(options.service or "service", tree)
    name = path.relative_to(folder).as_posix() if path is not None else None
    files = project_files(declared, folder)
    kept = set(sources.values())
    data = tuple(file.path for file in declared if file.source in kept and Path(file.source).stat().st_size >= _LARGE)
    return _Project(folder, package.strip("/"), name, options, info, files, data, store)


# Packages


def _packages(project: _Project) -> list[str]:
    """The requirements that the project states, a bentoml among them."""
    python = project.options.python
    lines: list[str] = list(python.packages or ())
    if python.requirements_txt:
        place = project.options.at("python.requirements_txt")
        lines = with_nested(python.requirements_txt, project.files, place).splitlines()
    for step in project.info.image.calls if project.info.image else ():
        if step.method == "python_packages":
            lines += step.args
        elif step.method == "requirements_file":
            lines += with_nested(step.args[0], project.files, "requirements_file").splitlines()
    stated = [text for line in lines if (text := re.sub(r"(^|\s)#.*", "", line).strip().rstrip("\\").strip())]
    stated = [line for line in stated if not line.startswith("--hash=")]
    if not any(_name(line) == "bentoml" for line in stated):
        stated.append(f"bentoml=={BENTOML_VERSION}")
    return list(dict.fromkeys(stated))


def _name(requirement: str) -> str:
    """The normalized name of a requirement; empty where it has none, as an address or an option."""
    found = re.match(r"([A-Za-z0-9][-._A-Za-z0-9]*)\s*([\[=<>!~;@(]|$)", requirement)
    return normalized(found[1]) if found else ""


def _requirements_in(packages: Iterable[str]) -> str:
    return "".join(f"{package}\n" for package in packages)


def _lock(project: _Project) -> tuple[str | None, list[str]]:
    """The project's own lock, or what to do for one."""
    named = project.options.python.requirements_txt
    if named and "--hash=" in project.files.text(named, project.options.at("python.requirements_txt")):
        return project.files.path(named, "requirements_txt"), []
    found = next((name for name in _LOCKS if project.files.has(name)), None)
    if found:
        return found, []
    where = f"{project.package}/" if project.package else ""
    return None, [
        f"Packages: the project has no lock. Save requirements.in from above and run `uv pip compile --universal "
        f"--generate-hashes {where}requirements.in -o {where}requirements.lock`."
    ]


# Models


def _models(project: _Project) -> tuple[list[str], list[str]]:
    """A bento_model for each model that the project names, and what to do about its files."""
    tags = [choice.tag for choice in project.options.models or ()]
    aliases = {choice.tag: choice.alias for choice in project.options.models or () if choice.alias}
    references = [*project.info.models, *(model for service in project.info.services for model in service.models)]
    tags += [model.tag for model in references if model.tag and model.tag not in aliases.values()]
    targets: dict[str, str] = {}
    notes = []
    for tag in tags:
        name = tag.partition(":")[0]
        if name not in targets:
            stored = model_store.newest(project.store, tag)
            targets[name] = _model_target(tag, stored, aliases.get(tag))
            found = f"it is {stored['name']}:{stored['version']} in the store" if stored else "it is not in the store"
            notes.append(f"Models: {tag} ({found}). Copy its files to models/{name}/, or let a rule make them.")
    notes += [
        f"Models: {model.huggingface.model_id} of Hugging Face. Bundle its files as a bento_model."
        for model in references
        if model.huggingface
    ]
    filters = [choice for choice in project.options.models or () if choice.filter]
    notes += [f"Models: the filter {choice.filter!r} chooses among the labels of bento_models." for choice in filters]
    return list(targets.values()), notes


def _model_target(tag: str, stored: dict[str, Any] | None, alias: str | None) -> str:
    """A bento_model. A version that the project names is kept; `latest` finds the digest of the content as well."""
    name = tag.partition(":")[0]
    fields = stored or {}
    context = dict(fields.get("context") or {})
    framework_versions = context.pop("framework_versions", None)
    if context.get("framework_name") == str(fields.get("module", "")).rpartition(".")[2]:
        del context["framework_name"]
    return _call(
        "bento_model",
        {
            "name": name,
            "srcs": _Code(f'glob(["models/{name}/**"])'),
            "alias": alias,
            "api_version": fields.get("api_version") if fields.get("api_version") != "v1" else None,
            "context": context,
            "framework_versions": framework_versions,
            "labels": fields.get("labels"),
            "metadata": _encoded(fields.get("metadata")),
            "module": fields.get("module"),
            "options": _encoded(fields.get("options")),
            "signatures": _encoded(fields.get("signatures")),
            "strip_prefix": f"models/{name}",
            "tag": tag.removesuffix(":latest"),
        },
    )


def _encoded(value: object) -> _Code | None:
    return _Code(f"json.encode({_literal(value, 1)})") if value else None


# BUILD and MODULE


def _bazels_own(project: _Project) -> list[str]:
    return ["BUILD.bazel"] if project.package else ["BUILD.bazel", *_FILES_OF_BAZEL]


def _ignored(project: _Project) -> str:
    """`.bazelignore` of a project that is the workspace."""
    if project.package:
        return ""
    folders = [*_LINKS_OF_BAZEL, f"bazel-{project.folder.resolve().name}"]
    folders += [name for name in _NEVER_WALKED if (project.folder / name).is_dir()]
    return "".join(f"{name}\n" for name in folders)


def _build_file(project: _Project, packages: Sequence[str], models: Sequence[str], excluded: Sequence[str]) -> str:
    rules = ["bento_model"] * bool(models) + ["bento_package"]
    load = f'load("@rules_bento//rules:defs.bzl", {", ".join(f"{chr(34)}{rule}{chr(34)}" for rule in rules)})\n'
    names = [match[1] for model in models if (match := re.search(r'name = "(.+)"', model))]
    hub = [f"@{_HUB}//{name.replace('-', '_')}" for name in dict.fromkeys(map(_name, packages)) if name]
    data = sorted(path for path in project.data if not path.startswith(tuple(f"models/{name}/" for name in names)))
    python = project.options.docker.python_version
    bento = project.options.name or project.info.bento_name or "bento"
    attributes: dict[str, Any] = {
        "name": re.sub(r"\W", "_", bento) + "_bento",
        "srcs": _sources(sorted([*excluded, *data, *(f"models/{name}/**" for name in names)])),
        "bentofile": project.bentofile,
        "data": data,
        "models": [f":{name}" for name in names],
        "python_version": python,
        "requirements": sorted(hub),
        "service": project.info.service,
        "services": _declared_services(project.info),
    }
    return "\n\n".join([load.rstrip("\n"), *models, _call("bento_package", attributes)]) + "\n"


def _declared_services(info: ServiceInfo) -> dict[str, list[str]] | None:
    """`services`, where the source does not say it: what is known, for somebody to complete."""
    if not any(unknown.attribute == "services" for unknown in info.unknowns):
        return None
    return {
        service.name or service.class_name: [one.service for one in service.dependencies if one.service]
        for service in info.services
    }


def _module_file(project: _Project, lock: str | None) -> str:
    python = project.options.docker.python_version or PYTHON_VERSION
    pypi = _call(
        "bento.pypi",
        {
            "name": _HUB,
            "lock": project.label(lock or "requirements.lock"),
            "platforms": ["linux_x86_64"],
            "python_version": python,
        },
    )
    return f"""\
bazel_dep(name = "rules_bento", version = "0.1.0")

bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
{pypi}
use_repo(bento, "{_HUB}")
"""


class _Code(str):
    """Text that stands in a BUILD file as it is."""

    __slots__ = ()


def _sources(excluded: Sequence[str]) -> _Code:
    """All files of the package but those."""
    listed = "".join(f'            "{pattern}",\n' for pattern in excluded)
    if len(excluded) == 1:
        return _Code(f'glob(\n        ["**"],\n        exclude = ["{excluded[0]}"],\n    )')
    return _Code(f'glob(\n        ["**"],\n        exclude = [\n{listed}        ],\n    )')


def _call(rule: str, attributes: dict[str, Any]) -> str:
    given = {key: value for key, value in attributes.items() if value not in (None, [], {}, "")}
    return f"{rule}(\n" + "".join(f"    {key} = {_literal(value, 1)},\n" for key, value in given.items()) + ")"


def _literal(value: Any, depth: int = 0) -> str:
    """A value in Starlark, laid out as buildifier does."""
    if isinstance(value, _Code):
        return str(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    inner = depth + 1 if isinstance(value, (dict, list, tuple)) and len(value) > 1 else depth
    if isinstance(value, (list, tuple)):
        items = [_literal(item, inner) for item in value]
        return _laid_out("[", items, "]", depth)
    if isinstance(value, dict):
        items = [f"{_literal(str(key))}: {_literal(item, inner)}" for key, item in value.items()]
        return _laid_out("{", items, "}", depth)
    return repr(value)


def _laid_out(start: str, items: list[str], end: str, depth: int) -> str:
    if len(items) < 2:
        return start + "".join(items) + end
    indent = "    " * depth
    return f"{start}\n" + "".join(f"{indent}    {item},\n" for item in items) + indent + end


# What is left


def _unknown_notes(project: _Project) -> list[str]:
    return [
        f"Service: {unknown.path}:{unknown.line}: {unknown.what}. Set {unknown.attribute!r} of bento_package."
        for unknown in project.info.unknowns
        if unknown.attribute
    ]


def _option_notes(project: _Project) -> list[str]:
    """Options of which the rules take another view than BentoML's build."""
    options, python = project.options, project.options.python
    notes = []
    if python.lock_packages is not False:
        notes.append("python.lock_packages: the Bento is locked by the hub, not by a resolver at each build.")
    if python.index_url or python.extra_index_url or python.find_links:
        notes.append(
            "python.index_url and its like say where an image build gets packages. Bazel gets them where your uv is "
            "configured to; see bento.pypi(index = ...)."
        )
    if any(re.search(r"(^|\s|@)git\+", line) for line in _packages(project)):
        notes.append("python.packages: a git repository is no package of a hub. Name its archive in python.wheels.")
    if options.service is None:
        notes.append(f"service: BentoML finds it; the rule is told {project.info.service!r}.")
    outside = [path for path in (options.include or ()) if path.startswith("../")]
    notes += [f"include: {path!r} is outside of the package. Name a py_library in deps." for path in outside]
    return notes


def _trial(project: _Project) -> list[str]:
    """What a build of the project as it is says, if it is refused: BentoML would leave that out in silence, or fail."""
    path = project.folder / project.bentofile if project.bentofile else None
    try:
        build_bentofile(path, build_ctx=project.folder, beside=BesideOptions(store=project.store))
    except BentoError as error:
        message = " ".join(str(error).split())
        if "needs the model" in message or "uv_lock()" in message or "State it in the source" in message:
            return []  # said above, by what to do about it
        return [f"Not carried over: {message}"]
    return []
