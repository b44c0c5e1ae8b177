"""Builds Bentos from directories without Bazel, for scripts, notebooks, and the command line.

A build has the same tag and bytes as a `bento_package` target with the same inputs, because both use the same
functions. A build uses the project's lock. It resolves packages only if `ExtraOptions.locking` is set, and imports the
service only if `ExtraOptions.python` is set.
"""

from __future__ import annotations

import posixpath
import re
from contextlib import suppress
from functools import cached_property
from os.path import lexists
from pathlib import Path

from rules_bento.base.dataclasses_lite import dataclass, field, fields, replace
from rules_bento.base.display import some
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.times import normalize_time
from rules_bento.base.landlock import outside
from rules_bento.base.net import terminal
from rules_bento.base.own_files import own_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Mapping, Sequence, TypeAlias
from rules_bento.bentos import service as services
from rules_bento.bentos.assembly import image_steps, model_refs
from rules_bento.bentos.assembly.env.common import CREATION_TIME, ApiDescription, BentoOptions, BentoSettings
from rules_bento.bentos.assembly.kinds import BENTO, BENTOML_VERSION, MODEL
from rules_bento.bentos.assembly.write_bento import AssembledBento, assemble_bento, members
from rules_bento.bentos.build_options import bentofile as bentofiles
from rules_bento.bentos.build_options import option_reader
from rules_bento.bentos.build_options.document import Document
from rules_bento.bentos.build_options.options import BuildOptions, merge
from rules_bento.bentos.models.model import latest_versions
from rules_bento.bentos.models.model_loads import find_model_loads
from rules_bento.bentos.packages.requirement_syntax import (
    check_lines,
    logical_lines,
    normalize_name,
    plain_pin,
    requirement_name,
)
from rules_bento.bentos.service import loaded_modules
from rules_bento.bentos.service.known_metadata import IMPORT_BY_OPTION, ImportNeededError, require_known
from rules_bento.bentos.service.loaded_names import STAND_IN
from rules_bento.bentos.sources import snapshot

from bento_cli.projects.bento_project import BentoProject
from bento_cli.projects.project_locks import LockOptions, ProjectLock
from bento_cli.store.home import Home

if TYPE_CHECKING:
    import os

    from rules_bento.base.archives.tarstream import Member
    from rules_bento.base.archives.unpack import Advance
    from rules_bento.base.tag import Tag
    from rules_bento.bentos.assembly.installed_packages import InstalledPackage
    from rules_bento.bentos.models.model_store import StoredModel
    from rules_bento.bentos.service.import_twice import ImportedMetadata
    from rules_bento.bentos.sources.tree_manifest import TreeManifest

    from bento_cli.projects.model_pins import ModelPins, Request
    from bento_cli.store.import_session import Imported

    Fallback: TypeAlias = Callable[[BentoError], "Path | None"]

_README = "README.md"
_READS_ONLY = "the Python API, which only reads locks (`bento lock` writes one)"
_PASS_VARIABLE = "--import-env NAME"
_NOT_COMPARED = "What depends on them wasn't compared. To compare it, install them in the environment of --python."
_CHOSEN = (
    "the Bento requires bentoml=={}, {}. To choose the version, add bentoml to the requirements, or set "
    "--bentoml-version."
)


@dataclass(frozen=True)
class BuildResult:
    """A Bento that was built from a directory, and the warnings of the build."""

    bento: AssembledBento
    sources: tuple[Member, ...]
    models: tuple[StoredModel, ...]
    notes: tuple[str, ...] = ()  # warnings
    project: str = ""  # the directory, for messages

    @property
    def tag(self) -> Tag:
        """The tag of the Bento: its name and version."""
        return self.bento.tag

    @property
    def digest(self) -> str:
        """The digest of the Bento's content (`blake3:HEX`), as in the output group `digest` of `bento_package`."""
        return f"blake3:{self.bento.digest.hex()}"

    def archive(self, out: str | os.PathLike[str]) -> Path:  # writes: own, constants and numbers; output
        """Write the Bento and its models to a `.bento` archive for `bentoml import`. Returns the archive's path."""
        from rules_bento.base.archives.archive import assemble, write_part

        target = Path(out)
        with own_directory() as directory:
            parts = [directory / "metadata", directory / "sources"]
            write_part(parts[0], members(self.bento), threads=1)
            write_part(parts[1], self.sources)
            models = {str(model.entry.description.tag): model for model in self.models}
            for index, tag in enumerate(sorted(models)):
                parts.append(directory / f"{index}.part")
                write_part(parts[-1], models[tag].members())
            outside(assemble, target, parts, latest_versions(models[tag].entry.description for tag in sorted(models)))
        return target

    @property
    def size(self) -> int:
        """The size of the files in bytes, without models."""
        return sum(member.size for member in (*members(self.bento), *self.sources))

    def add(self, home: Home, progress: Advance | None = None) -> Imported:
        """Add the Bento to the store in `home`, which must contain the Bento's models. Keeps an existing Bento.

        Calls `progress` with the number of bytes read.
        Raises BentoError if a model is missing, or if the store contains another Bento with the same tag.
        """
        from bento_cli.store.entry_contents import Known
        from bento_cli.store.entry_store import EntryStore
        from bento_cli.store.import_session import Options, import_session

        models = EntryStore(home, MODEL)
        known = [Known.of(models.get(model.entry.description.tag)) for model in self.models]
        files = (*members(self.bento), *self.sources)
        with import_session(home, Options(act="build"), has_force=False) as session:
            staged = session.stage_members(BENTO, self.tag, files, self.project, progress)
            if staged.main.tree.manifest() != self.bento.manifest:
                raise BentoError("a file changed during the build", place=self.project, remedy="Run the build again.")
            return session.commit([staged], known)[0]


@dataclass(frozen=True)
class ExtraOptions(BentoOptions):
    """Build options that `bentoml.build` doesn't support."""

    is_command: bool = False  # errors name options of `bento build`
    requirements: str = ""  # lines of a requirements file, after the options' packages
    locking: LockOptions | None = None  # how the project's packages are locked; default: by its lock, if there is one
    pin_command: str = ""  # pins Hugging Face models in the project, for messages; default: the project has no pins
    request_commit: Request | None = None  # requests missing commits of Hugging Face models
    # The version of bentoml, which also limits requirements for bentoml. "": the default, if no requirement names
    # bentoml; None: the same, or as models and imports have it.
    bentoml_version: str | None = ""
    store: Path | None = None  # model store; default: `models` in $BENTOML_HOME or ~/bentoml
    python: Path | None = None  # an interpreter with BentoML to import the service; default: static analysis
    allow_unprotected_import: bool = False  # import the service even if the system can't isolate the import
    environment: Path | None = None  # the caller's interpreter, whose packages might make objects of BentoML
    fallback: Fallback | None = None  # the interpreter to import the service if static analysis fails with an error
    comparison: Path | None = None  # an interpreter for an import that must have the result of the static analysis
    variables: Mapping[str, str] = field(default_factory=dict)  # environment of the import
    secrets: tuple[str, ...] | None = ()  # paths in the Bento that can contain secrets; None: no check


def build(
    service: str | None = None,
    *,
    version: str = "",
    build_ctx: str | os.PathLike[str] = ".",
    extra: ExtraOptions = ExtraOptions(),  # noqa: B008 - the default is frozen
    **options: Any,
) -> BuildResult:
    """Build a Bento from options and the directory `build_ctx`. Ignores the directory's bentofile.

    Has the parameters of `bentoml.build`, such as `labels`, and `extra`. By default, `service` is the only
    service in `service.py`, and `version` is derived from the content. Raises BentoError for invalid inputs.
    """
    return _build(BentoProject(Path(build_ctx), _options(service=service, **options)), version, extra)


def build_bentofile(
    bentofile: str | os.PathLike[str] | None = None,
    *,
    version: str = "",
    build_ctx: str | os.PathLike[str] = ".",
    extra: ExtraOptions = ExtraOptions(),  # noqa: B008 - the default is frozen
    **options: Any,
) -> BuildResult:
    """Build a Bento from the directory `build_ctx` and a bentofile. Other parameters override the bentofile's options.

    Has the parameters of `bentoml.build`, such as `labels`, and `extra`. By default, `bentofile` is the
    directory's bentofile.yaml or pyproject.toml. Raises BentoError for invalid inputs.
    """
    directory = Path(build_ctx)
    if not directory.is_dir():
        raise BentoError(f"{directory}: no such directory. Specify a project directory.")
    path = Path(bentofile) if bentofile is not None else bentofiles.find(directory)
    defaults = BuildOptions()
    if path is not None:
        defaults = bentofiles.read(path, str(path), src_exists=(path.parent / "src").is_dir())
    attributes = _options(**options)
    if attributes.name and extra.is_command:
        attributes = replace(attributes, places={**attributes.places, "name": "--name"})
    return _build(BentoProject(directory, merge(attributes, defaults), path), version, extra)


def _options(**options: Any) -> BuildOptions:
    if isinstance(options.get("name"), str):
        options["name"] = options["name"].lower()  # as BentoML does
    return option_reader.parse(
        Document("", {key: _to_plain(value) for key, value in options.items() if value is not None})
    )


def _build(project: BentoProject, version: str, extra: ExtraOptions) -> BuildResult:
    notes = tuple(bentofiles.unmatched_patterns(project.selection, project.options, "the project"))
    artifacts = snapshot.artifact_notes(project.selection.kept, str(project.directory))
    build = _Build(project, version, extra)
    try:
        result = build.run()
    except BentoError as error:
        field = "remedy" if error.remedy else "problem"
        setattr(error, field, "\n  ".join([getattr(error, field), *notes]))  # a pattern might be the reason
        raise
    return replace(result, notes=(*result.notes, *notes, *artifacts))


class _Build:
    """The build of a Bento from a project."""

    def __init__(self, project: BentoProject, version: str, extra: ExtraOptions) -> None:
        self._project, self._version, self._extra = project, version, extra
        self._options, self._directory, self._files = project.options, project.directory, project.files
        self._store = extra.store or Home.find().entries_dir(MODEL)
        self._lock = ProjectLock(project, extra.locking or LockOptions(offline=_READS_ONLY))
        self._pins: ModelPins | None = None
        self._notes: list[str] = []
        self._bentoml = ""  # the version of BentoML that imported the service

    def run(self) -> BuildResult:
        """Return the Bento. Raises BentoError for invalid inputs."""
        project, options, extra = self._project, self._options, self._extra
        self._settings = self._read_settings()
        info = self._analyze()
        models = self._find_models(info)
        reason = self._choose_bentoml(info, models)
        included = [model.bundled() for model in models]
        if self._lock.options.is_explicit:  # the lock doesn't depend on models
            info, included = model_refs.without_models(info), []
            self._settings = replace(self._settings, options=replace(options, models=None), loads=[])
        manifest = snapshot.digest(project.selection.kept)
        bento = assemble_bento(info, self._settings, manifest, included)
        if self._lock.written or (self._pins and self._pins.written):  # it can be one of the sources
            project.select_files()
            manifest = snapshot.digest(project.selection.kept)
            bento = assemble_bento(info, self._settings, manifest, included)
        if extra.comparison and not self._bentoml:
            self._compare(info, bento, manifest, extra.comparison)
        self._notes += dict.fromkeys(self._lock.notes)
        version = self._settings.bentoml_version
        pin = re.compile(rf"^bentoml(\[.*\])?=={re.escape(version)}$", re.MULTILINE)
        if reason and pin.search(bento.files["env/python/requirements.txt"].decode()):
            self._notes.append(_CHOSEN.format(version, reason))
        if extra.secrets is not None:
            self._check_secrets(bento, extra.secrets)
        if place_of_dynamic := options.places.get("project.dynamic"):
            note = "the Bento doesn't require dependencies that a build determines. Add them to python.packages."
            self._notes.append(f"{place_of_dynamic}: {note}")
        self._notes += bento.notes
        self._notes += model_refs.absent_loads(self._settings.loads, included)
        self._notes += self._framework_notes(info, models, bento)
        self._notes += self._unused_requirements(info.path, bento)
        sources = tuple(snapshot.members(project.selection.kept, manifest))
        return BuildResult(bento, sources, tuple(models), tuple(self._notes), str(self._directory.absolute()))

    def _read_settings(self) -> BentoSettings:
        extra, files = self._extra, self._files
        chosen = {each.name: getattr(extra, each.name) for each in fields(BentoOptions)}
        settings = BentoSettings(
            **chosen | {"creation_time": _normal_time(extra.creation_time)},
            bentoml_version=extra.bentoml_version or BENTOML_VERSION,
            is_bentoml_chosen=bool(extra.bentoml_version),
            options=self._options,
            files=files,
            version=self._version.lower(),  # as BentoML does
            readme=files.read(_README, _README) if files.has(_README) else None,
            requirements=tuple(logical_lines(extra.requirements, "requirements")),
            installed=self._installed,
            resolve=self._lock.lock,
        )
        check_lines(settings.requirements)
        return settings

    def _analyze(self) -> services.ServiceInfo:
        """Return the service's metadata, with pinned models. Completes the settings."""
        extra, selection, directory = self._extra, self._project.selection, self._directory
        tree = replace(self._project.source_tree(selection.kept), bentoml_users=self._modules_of_users)
        paths = [file.path for file in selection.kept] if extra.python else tree.paths
        service = bentofiles.find_service(self._options, paths, str(directory.absolute()) if extra.is_command else "")
        terminal.step(f"analyzing {service}, number of files: {len(paths)}")
        imported = None
        if not (python := extra.python):
            try:
                info = services.read_service(service, tree, self._options.args)
                local = directory / ".venv"
                option = IMPORT_BY_OPTION.replace("ENV", str(local) if (local / "bin/python").exists() else "ENV")
                require_known(info, option if extra.is_command else "Set `python` in ExtraOptions.")
                self._settings = replace(self._settings, loads=find_model_loads(self._project.read_contents))
            except ImportNeededError as error:
                if not (python := outside(extra.fallback, error) if extra.fallback else None):
                    raise
                self._notes.append(_fallback_note(error, python))
        if python:
            imported = self._import(service, python)
            info, self._bentoml = imported.info, imported.version
            self._settings = replace(self._settings, api=ApiDescription(imported.schema, imported.openapi))
        info = self._pin(info)
        if self._pins and self._pins.written:
            self._notes.append(f"Pinned Hugging Face models in {self._pins.written}. Commit this file.")
        excluded = [file.path for file in selection.dropped if file.path.endswith(".py")]
        survey = loaded_modules.survey(service, tree, directory.resolve().name, excluded)
        self._settings = replace(self._settings, survey=survey)
        self._add_missing(imported)
        return info

    def _add_missing(self, imported: ImportedMetadata | None) -> None:
        """Add the modules that an import didn't find to the survey."""
        survey = self._settings.survey
        if imported and survey:
            rows = [loaded_modules.MissingModule(*row) for row in imported.missing]
            self._settings = replace(self._settings, survey=survey._replace(missing=[*survey.missing, *rows]))

    def _pin(self, info: services.ServiceInfo) -> services.ServiceInfo:
        """Return the metadata with commits of Hugging Face models."""
        extra = self._extra
        if not extra.pin_command or not any(model.huggingface for each in info.services for model in each.models):
            return info
        from bento_cli.projects.model_pins import ModelPins

        directory = self._project.lock_directory
        self._pins = self._pins or ModelPins(directory, extra.pin_command, extra.request_commit)
        return self._pins.apply(info)

    def _compare(self, info: services.ServiceInfo, bento: AssembledBento, manifest: TreeManifest, python: Path) -> None:
        """Raise BentoError if the import of a service has another result than static analysis."""
        from bento_cli.projects.import_differences import changed_lines, compared

        found = self._import(info.service, python)
        self._add_missing(found)
        imported = self._pin(found.info)
        models = [model.bundled() for model in self._find_models(imported)]
        other = assemble_bento(imported, self._settings, manifest, models)
        fields = compared(services.to_json(info), services.to_json(imported), bento, other)
        if lines := fields or changed_lines(bento, other):
            listed = "\n".join(f"  {line}" for line in lines)
            problem = f"static analysis and the import have different results:\n{listed}"
            remedy = "Write constants in the source, or import the service." if fields else "Import the service."
            raise BentoError(problem, remedy=f"{remedy} {IMPORT_BY_OPTION}")
        self._notes += [note for note in other.notes if note not in bento.notes]
        if replaced := [f"{module} ({place})" for module, place, reason in found.missing if reason == STAND_IN]:
            self._notes.append(f"Stand-ins replaced {', '.join(replaced)}. {_NOT_COMPARED}")

    def _find_models(self, info: services.ServiceInfo) -> list[StoredModel]:
        """Return the models of the Bento. If a model is missing, and the build only locks, returns no models."""
        try:
            models = outside(model_refs.find_models, info, self._options, self._store)  # links in it can leave it
        except model_refs.MissingModelError:
            if not self._lock.options.is_explicit:
                raise
            return []
        for model in models:
            from rules_bento.bentos.models.weights import check_weights

            outside(check_weights, model.sources, model.entry.description.tag)
        return models

    def _choose_bentoml(self, info: services.ServiceInfo, models: Sequence[StoredModel]) -> str:
        """Set the version of BentoML if requirements have none. Returns the reason for the version, or ""."""
        extra = self._extra
        if extra.bentoml_version is not None or extra.lock or "bentoml" in self._required_packages(info):
            return ""
        version, reason = _bentoml_version(self._bentoml, models, self._lock.bentoml_version())
        self._settings = replace(self._settings, bentoml_version=version)
        return reason

    def _unused_requirements(self, service: str, bento: AssembledBento) -> list[str]:
        """Return a note if a requirements.txt next to the service has packages that the Bento doesn't require."""
        files, python = self._files, self._options.python
        path = posixpath.join(posixpath.dirname(service), "requirements.txt")
        if not files.has(path) or path in files.loaded or self._extra.lock:
            return []
        try:
            text = files.read(path, path).decode(errors="replace")
        except BentoError:
            return []
        names = _names_in(text) - _names_in(bento.files["env/python/requirements.txt"].decode())
        if not names:
            return []
        remedy = f"add `requirements_txt: {path}` to `python` in bentofile.yaml"
        remedy = "add them to python.packages" if python.packages else remedy
        problem = f"{path}: no option refers to this file, so the Bento doesn't require {some(sorted(names), 3)}."
        return [f"{problem} To require the packages, {remedy}."]

    def _framework_notes(
        self, info: services.ServiceInfo, models: Sequence[StoredModel], bento: AssembledBento
    ) -> list[str]:
        """Return notes on frameworks of models that a Bento certainly doesn't install."""
        from rules_bento.base.formats.yaml import read_mapping

        if not models:
            return []
        from rules_bento.bentos.assembly.missing_modules import installs_only_packages

        image = image_steps.from_service(info) or image_steps.ImageDefinition()
        required = _names_in(bento.files["env/python/requirements.txt"].decode())
        is_locked = "env/python/requirements.lock.txt" in bento.files  # with the transitive dependencies
        if not installs_only_packages(self._settings, image) or not (is_locked or required <= {"bentoml"}):
            return []
        notes = []
        for model in models:
            tag = model.entry.description.tag
            document = read_mapping(model.entry.model_yaml, tag)
            versions = (document.get("context") or {}).get("framework_versions") or {}
            names = {str(name) for name in versions if str(document.get("module")).startswith("bentoml.")}
            missing = ", ".join(sorted(name for name in names if normalize_name(name) not in required))
            if missing:
                notes.append(f"the Bento doesn't require {missing}, which saved the model {tag}. Add the package.")
        return notes

    def _check_secrets(self, bento: AssembledBento, allowed: tuple[str, ...]) -> None:
        """Raise BentoError if a file whose path isn't in `allowed` might contain a secret."""
        from rules_bento.bentos.sources import secrets

        findings = [*secrets.scan_files(sorted(bento.files.items()))]
        findings += secrets.scan_files(snapshot.read_prefixes(self._project.selection.kept, secrets.MAX_BYTES))
        words = secrets.OptionNames("--allow-secret", "--no-secrets-check")
        secrets.check(findings, allowed, [entry.path for entry in bento.manifest.entries], words)

    def _import(self, service: str, python: Path) -> ImportedMetadata:
        """Import the service with the interpreter `python`, which starts only in the isolated import."""
        from rules_bento.bentos.packages.interpreter_files import named_environment
        from rules_bento.bentos.service.import_twice import Subject, import_service

        options, extra, selection = self._options, self._extra, self._project.selection
        with own_directory("rules_bento-import-") as scratch:
            bento = scratch / "bento"
            snapshot.copy(selection.kept, bento / "src")
            if self._store.is_dir():
                (bento / "models").symlink_to(self._store.absolute())
            packages = self._stand_in_packages()
            subject = Subject(
                service,
                bento,
                arguments=options.args or {},
                aliases={choice.alias: choice.tag for choice in options.models or () if choice.alias},
                variables=extra.variables,
                packages=packages,
                is_open=not self._locked_versions() or None in packages.values(),
                bentoml_users=sorted(self._modules_of_users()),
                outside=[file.path.partition("/")[0].removesuffix(".py") for file in selection.dropped],
                remedy="Install {} in the environment of --python",
                is_unprotected=extra.allow_unprotected_import,
                permission="add --allow-unprotected-import",
            )
            environment = outside(named_environment, python)
            imported = outside(import_service, subject, environment, scratch / "imports")
        self._notes += imported.notes
        dropped = [file.path for file in selection.dropped]
        self._notes += imported.unseen(
            dropped, lambda name: lexists(self._directory / name), "include and exclude", _PASS_VARIABLE
        )
        return imported

    def _stand_in_packages(self) -> dict[str, Sequence[str] | None]:
        """Return the packages of the Bento that are known before the import, with their modules."""
        pins, own = self._locked_versions(), services.ServiceInfo("", "", "new", None, None)
        names, known = {*pins, *self._required_packages(own), "bentoml"}, self._installed(pins)
        return {name: known[name].modules if name in known else None for name in sorted(names)}

    def _locked_versions(self) -> dict[str, str]:
        if self._extra.lock:
            return dict(pin for text, _ in self._extra.lock.pins if (pin := plain_pin(text)))
        return self._lock.versions()

    @cached_property
    def _environment_packages(self) -> Mapping[str, InstalledPackage]:
        """The packages of the environment that the caller names."""
        from rules_bento.bentos.assembly.installed_packages import installed_packages
        from rules_bento.bentos.packages.interpreter_files import module_directories

        extra = self._extra
        python = extra.python or extra.comparison or extra.environment
        return outside(lambda: installed_packages(module_directories(python)) if python and lexists(python) else {})

    def _installed(self, pins: Mapping[str, str]) -> Mapping[str, InstalledPackage]:
        """Return the packages of the caller's environment, and those of other `pins` in uv's cache."""
        from rules_bento.bentos.assembly.installed_packages import cached_packages
        from rules_bento.bentos.packages.uv import cache_directory

        known: dict[str, InstalledPackage] = {}
        with suppress(BentoError, OSError):  # notes don't depend on them
            known.update(self._environment_packages)
        with suppress(BentoError, OSError):
            others = {name: version for name, version in pins.items() if name not in known}
            known.update(outside(lambda: cached_packages(cache_directory(), others)))
        return known

    def _modules_of_users(self) -> set[str]:
        """Return the modules of packages that require bentoml, in a lock and in the caller's environment."""
        from rules_bento.bentos.assembly.installed_packages import modules_of_users

        users = self._lock.bentoml_users()
        return {name.replace("-", "_") for name in users} | modules_of_users(self._environment_packages)

    def _required_packages(self, info: services.ServiceInfo) -> set[str]:
        """Return the names of the packages that the Bento requires."""
        from rules_bento.bentos.assembly.declared_packages import declared_packages

        image = image_steps.from_service(info) or image_steps.ImageDefinition()
        declared = declared_packages(self._settings.options, image, self._settings.files)
        texts = [
            *(text for packages in declared for text in packages.requirements),
            *(line.text for line in self._settings.requirements),
        ]
        return {normalize_name(name) for text in texts if (name := requirement_name(text))}


def _fallback_note(error: BentoError, python: Path) -> str:
    match = re.search(r"\S+:[0-9]+: .*?(?=\. |\.?$)", str(error), re.MULTILINE)
    reason = match[0] if match else str(error).partition(". ")[0]
    return f"{reason}. Therefore, the service was imported in isolation, with {python}. To prevent this, add --static."


def _names_in(text: str) -> set[str]:
    """Return the normalized names of the packages in a requirements file."""
    return {normalize_name(each.name) for line in logical_lines(text) if not line.flag and (each := line.parse())}


def _bentoml_version(environment: str, models: Sequence[StoredModel], locked: str) -> tuple[str, str]:
    """Return the version of BentoML for a Bento whose requirements have none, and the reason.

    `environment` is the version that imported the service, if it was imported. `locked` is the version in the lock.
    """
    from packaging.version import InvalidVersion, Version
    from rules_bento.base.formats.yaml import read_mapping

    base = (
        (environment, "the version in the environment of --python")
        if environment
        else (locked or BENTOML_VERSION, "" if locked else "the default")
    )
    candidates = [base]
    for model in models:
        tag = model.entry.description.tag
        context = read_mapping(model.entry.model_yaml, tag).get("context") or {}
        candidates.append((str(context.get("bentoml_version")), f"the version that saved the model {tag}"))
    known = []
    for text, reason in candidates:
        with suppress(InvalidVersion):
            version = Version(text)
            known += [] if version.is_devrelease or version.local else [(version, reason)]
    newest = max(known, key=lambda each: each[0], default=None)
    return (str(newest[0]), newest[1]) if newest else (BENTOML_VERSION, "the default")


def _normal_time(text: str) -> str:
    try:
        return normalize_time(text)
    except ValueError:
        problem = f"creation_time: expected a time with a time zone, such as {CREATION_TIME}, got {text!r}."
        raise BentoError(problem) from None


def _to_plain(value: Any) -> Any:
    """Convert mappings and sequences of any type to dicts and lists, recursively."""
    if hasattr(value, "items"):
        return {key: _to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(item) for item in value]
    return value
