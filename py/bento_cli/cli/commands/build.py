"""Implements `bento build`, which builds a Bento from a project."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path

import click
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.exit_handling import exit_on_signals
from rules_bento.base.formats.times import normalize_time, time_of_epoch
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.assembly.kinds import BENTO, MODEL

from bento_cli.cli import shared_options, show
from bento_cli.cli.command import File, Tag, command

if TYPE_CHECKING:
    from bento_cli.library import Store
    from bento_cli.projects.from_directory import BuildResult, Fallback
    from bento_cli.projects.project_locks import LockOptions

_NOTHING = "No Bento was built."
_UNPROTECTED = "--allow-unprotected-import"


# The options that determine the requirements of a Bento.
_project = shared_options.combine(
    click.argument(
        "build_ctx",
        type=File(),
        metavar="[PATH]",
        default=".",
        help="Use this project directory or this service (MODULE:SERVICE; default: the current directory)",
    ),
    shared_options.bentofile,
    shared_options.repeatable("--model", f"Include this model from the store ({shared_options.TAG})", type=Tag(MODEL)),
    shared_options.pairs_option("--arg", help="Set a build argument (overrides --arg-file)"),
    shared_options.option("--arg-file", "Read build arguments from this YAML file (- for standard input)", type=File()),
    shared_options.option("--enable-features LIST", "Require these bentoml extras, such as grpc,io", default=""),
    shared_options.option(
        "--bentoml-version VERSION",
        "Use this BentoML version unless the requirements set one (default: the newest of the versions that saved "
        "the models and of the environment of --python, otherwise the default of bento_package)",
    ),
    shared_options.option("--python-version VERSION", "Use this Python version unless the project sets one"),
    shared_options.option(
        "--import, --apis",
        "Import the service with BentoML instead of analyzing its source, and write apis/ and the schema; replace "
        "missing packages with stand-ins",
        name="is_imported",
    ),
    shared_options.option(
        "--static",
        "Never import the service, not even if the source doesn't specify its metadata (default: BENTO_STATIC)",
        name="is_static",
        envvar="BENTO_STATIC",
    ),
    shared_options.repeatable(
        "--import-env NAME[=VALUE]",
        "Set this environment variable for the import (default: its value in this environment)",
    ),
    shared_options.option(
        "--python PATH",
        "Import the service with this Python environment or interpreter, if the service is imported (default: "
        "VIRTUAL_ENV, or CONDA_PREFIX)",
        type=File(),
    ),
    shared_options.option(
        _UNPROTECTED, "Import the service even if the system can't isolate its code from your files; requires --import"
    ),
    shared_options.isolation,
)


@command("svc", "svc --archive svc.bento")
@_project
@shared_options.option(
    "--name NAME", "Set the Bento's name (default: the project's name if set, otherwise the service's name)"
)
@shared_options.option("--version VERSION", "Set the Bento's version (default: a digest)", default="")
@shared_options.option("--description TEXT", "Set the Bento's description, or read it from a file (file:PATH)")
@shared_options.pairs_option("--label", help="Add a label to the Bento")
@shared_options.repeatable(
    "--env NAME=VALUE[;stage=STAGE]", "Set an environment variable; STAGE is build, runtime, or all (default: all)"
)
@shared_options.option(
    "--spec", "Write bento.yaml in this format (default: 2 if possible)", type=click.Choice(("1", "2"))
)
@shared_options.option(
    "--creation-time TIME",
    "Set the creation time (ISO 8601 with a time zone; default: SOURCE_DATE_EPOCH if set, otherwise the current time)",
)
@shared_options.option(
    "--no-lock", "Neither lock the packages nor use the project's lock (default: BENTO_NO_LOCK)", envvar="BENTO_NO_LOCK"
)
@shared_options.option(
    "--pin",
    "Request the commits of Hugging Face models whose revision isn't a commit, and write huggingface.lock.json",
    name="is_pinned",
)
@shared_options.option(
    "--offline", "Don't lock the packages if the project has no lock (default: UV_OFFLINE)", envvar="UV_OFFLINE"
)
@shared_options.option(
    "--compare",
    "If the source specifies all metadata, also import the service in isolation, and fail if the results differ",
    name="is_compared",
)
@shared_options.repeatable("--allow-secret", "Ignore suspected secrets in this file (example: a.pem)", type=File())
@shared_options.option("--no-secrets-check", "Don't scan the Bento for secrets")
@shared_options.option(
    "--archive",
    "Write this .bento archive (- for standard output) instead of adding the Bento to the store",
    type=File(),
)
@shared_options.repeatable("--push REFERENCE", "Push the Bento to this registry reference, as `bento push`")
@shared_options.option("--containerize", "Build an image of the Bento, as `bento containerize`")
@shared_options.insecure
@shared_options.no_sync
@shared_options.output("text", "json", "yaml", "ref", "tag", "path")
def build_command(
    store: Store,
    build_ctx: str,
    version: str,
    archive: str | None,
    push: Sequence[str],
    containerize: bool,
    insecure: Sequence[str],
    output: str,
    **options: Any,
) -> None:
    """Build a Bento from a project.

    The command analyzes the source. If the source doesn't specify all metadata, and --python, VIRTUAL_ENV, or
    CONDA_PREFIX names an environment, the command imports the service in isolation from your files.

    The Bento contains the packages of the project's lock: uv.lock for the dependencies in pyproject.toml, pylock.toml,
    requirements.lock.txt, or requirements with hashes. If the project has no lock, the command runs `bento lock`
    without building packages. The version and the digest depend only on the project, not on the creation time. Without
    a lock, the bento_package rule produces the same version and digest for the same version of BentoML.
    """
    if (push or containerize) and (archive or output != "text"):
        raise BentoError("--push and --containerize can't be combined with --archive or -o. Remove one of the options.")
    if insecure and not push:
        raise BentoError("--insecure requires --push. Add --push, or remove the option.")
    if archive and archive != "-":
        archive = _archive_path(archive)
    with show.on_interrupt(_NOTHING):
        result = _build(store, build_ctx, version, _locking(options, build_ctx), **options)
    for text in result.notes:
        show.note(text)
    if archive:
        with shared_options.output_path(archive, output) as out, show.on_interrupt(_NOTHING):
            path, is_known = result.archive(out), False
        if archive == "-":
            return
    else:
        path, is_known = _add_to_store(result, version, store)
    if output == "ref":
        show.out(str(result.tag))
    elif output == "tag":
        show.out(f"__tag__:{result.tag}")  # as BentoML does
    elif output == "path":
        show.out(str(path))
    elif not show.data({"tag": str(result.tag), "digest": result.digest, "path": str(path)}, output):
        where = f" at {show.plain(str(path))}" if archive else " (already in the store)" if is_known else ""
        show.done(f"Built {result.tag}{where}.")
        if archive:
            show.next_steps(f"import {path}")
        elif push or containerize:
            _continue(
                str(result.tag), [*push, *(f"--insecure={each}" for each in insecure)] if push else (), containerize
            )
        else:
            show.next_steps(*(f"{verb} {result.tag.name}" for verb in ("serve", "image", "push")))


def _continue(tag: str, push: Sequence[str], containerize: bool) -> None:
    """Run `bento containerize` and `bento push` for the Bento that was built."""
    from bento_cli.cli.commands.run import containerize_command
    from bento_cli.cli.commands.sharing import push_command

    parent = click.get_current_context()
    commands = [(containerize_command, "containerize", [tag])] if containerize else []
    commands += [(push_command(BENTO), "push", [tag, *push])] if push else []
    for each, name, words in commands:
        with each.make_context(name, words, parent=parent) as context:
            each.invoke(context)


@command("svc", "svc --upgrade", "-o pylock.toml", kept="The lock is unchanged.")
@_project
@shared_options.option("--upgrade", "Choose the newest version of each package")
@shared_options.repeatable("--upgrade-package NAME", "Choose the newest version of this package")
@shared_options.option(
    "-o, --output NAME",
    "Write this file next to the bentofile: pylock.toml or another name that ends in .txt (default: the lock that "
    "the project has, otherwise uv.lock for the dependencies in pyproject.toml, or requirements.lock.txt)",
    name="output",
    type=File(),
    default="",
)
@shared_options.repeatable(
    "--apt NAME[=VERSION]", "Lock this Debian package for `bento image`, instead of the project's packages"
)
@shared_options.option("--debian", "Lock the Debian packages in tool.bento.image.apt of pyproject.toml")
@shared_options.option("--upgrade-base", "Renew the digest of tool.bento.image.base of pyproject.toml")
@shared_options.option("--explain", "With --upgrade-base, print what a server with the old base pulls for the new one")
@shared_options.option("--base IMAGE", "Lock the Debian packages that this base lacks (default: as for `bento image`)")
@shared_options.repeatable("--platform OS/ARCHITECTURE", "Lock the Debian packages for this platform")
@shared_options.insecure
def lock_command(
    store: Store,
    build_ctx: str,
    upgrade: bool,
    upgrade_package: Sequence[str],
    apt: Sequence[str],
    debian: bool,
    upgrade_base: bool,
    explain: bool,
    base: str | None,
    platform: Sequence[str],
    insecure: Sequence[str],
    **options: Any,
) -> None:
    """Lock the packages of a project with uv, or Debian packages with apt.

    Keeps the locked versions that satisfy the requirements. If metadata of the project or a package is dynamic, its
    code runs in isolation. Commit the lock: `bento build` uses the lock, and reports requirements that the lock doesn't
    satisfy.
    """
    if explain and not upgrade_base:
        raise BentoError("--explain requires --upgrade-base", remedy="Add --upgrade-base, or remove --explain.")
    if upgrade_base or apt or debian:
        shared_options.confine(store, [], require_isolation=options["require_isolation"])
    if upgrade_base:
        _upgrade_base(Path(build_ctx), platform, insecure, is_explained=explain)
        return
    if apt or debian:
        settings = {"base": [base] if base else (), "platform": platform, "insecure": insecure}
        _lock_debian(store, build_ctx, apt, settings)
        return
    output = options.pop("output")
    if output and (Path(output).name != output or not output.endswith((".txt", ".toml"))):
        raise BentoError(f"-o: expected pylock.toml or a name that ends in .txt, got {output}.")
    locking = replace(
        _locking({"no_lock": False, "offline": False} | options, build_ctx),
        is_explicit=True,
        output=output,
        upgrade=tuple(["*"] if upgrade else upgrade_package),
    )
    exit_on_signals()  # else, code of packages would continue
    result = _build(store, build_ctx, "", locking, no_secrets_check=True, **options)
    for text in result.notes:
        show.note(text)


def _upgrade_base(directory: Path, platform: Sequence[str], insecure: Sequence[str], *, is_explained: bool) -> None:
    """Renew the digest of a base, and print the layers that change if `is_explained` is true."""
    from bento_cli.cli.commands.run import show_changes
    from bento_cli.sharing.image_changes import compare_bases
    from bento_cli.sharing.image_options import read_options
    from bento_cli.sharing.project_init import upgrade_base

    settings = read_options({"platform": platform}, (), is_delivered=False)
    with shared_options.connected(insecure, "Reading the base") as (registries, _):
        path, before, after = upgrade_base(directory, registries)
        chosen = settings["platform"] if is_explained and "@" in before and before != after else ()
        changes = [compare_bases(before, after, each, registries) for each in chosen]
    for each in changes:
        show_changes(each)
    show.out(show.plain(f"Before: {before}\nAfter:  {after}"))
    show.done(f"{'Kept' if after == before else 'Wrote'} the base of {show.plain(path)}.")


def _lock_debian(store: Store, directory: str, names: Sequence[str], options: dict[str, Sequence[str]]) -> None:
    """Write debian.lock.json next to uv.lock."""
    from bento_cli.sharing.debian_lock import lock

    path, count, is_changed = lock(store.home.own, Path(directory), names, options)
    state = "Wrote" if is_changed else "Kept"
    show.done(f"{state} {show.plain(str(path))} ({show.count(count, 'package')}).")


def _check_python_version(text: str) -> None:
    from rules_bento.bentos.build_options import distros
    from rules_bento.bentos.build_options.option_checks import short_python_version
    from rules_bento.bentos.packages import platforms

    supported = dict.fromkeys((*distros.PYTHON_VERSIONS, *platforms.PYTHON_VERSIONS))
    if (version := short_python_version(text, "--python-version")) not in supported:
        raise BentoError(f"--python-version: Python {version} isn't supported. Use {', '.join(supported)}.")


def _locking(options: dict[str, Any], build_ctx: str) -> LockOptions:
    import shlex

    from bento_cli.projects.project_locks import LockOptions

    words = ["bento", "lock", *([build_ctx] if build_ctx != "." else [])]
    words += ["-f", options["bentofile"]] if options["bentofile"] else []
    for name in ("enable_features", "bentoml_version", "python_version"):
        words += [f"--{name.replace('_', '-')}", options[name]] if options[name] else []
    disabled, offline = (shared_options.origin(name) if options.pop(name) else "" for name in ("no_lock", "offline"))
    return LockOptions(shlex.join(words), disabled=disabled, offline=offline)


def _archive_path(text: str) -> str:
    """Return the path for `--archive`. Adds a missing suffix. Raises BentoError for a directory or a wrong suffix."""
    from rules_bento.base.tag import Tag

    from bento_cli.store.export import file_name

    directory, slash, name = text.rpartition("/")
    written, form = file_name(BENTO, Tag("", ""), name, None)
    path = Path(directory + slash + written)
    if not name or Path(text).is_dir() or path.is_dir():
        raise BentoError(f"--archive: {text} is a directory. Add a file name, such as svc.bento.")
    if form != "xz":
        raise BentoError(f"--archive: expected the suffix .bento, got {text}. For other formats, run `bento export`.")
    if not path.parent.is_dir():
        raise BentoError(f"--archive: the directory {path.parent} doesn't exist. Create the directory first.")
    return str(path)


def _build(
    store: Store,
    build_ctx: str,
    version: str,
    locking: LockOptions,
    *,
    bentofile: str | None,
    python: str | None,
    is_imported: bool,
    is_static: bool,
    require_isolation: bool,
    **options: Any,
) -> BuildResult:
    """Build a Bento. `bento lock` has only some of the options."""
    from rules_bento.bentos.assembly.env.common import PYTHON_VERSION

    from bento_cli.projects import from_directory, project_reach

    _check_import(is_imported, is_static, options["allow_unprotected_import"])
    shared_options.confine(store, [str(store.home.root)], require_isolation=require_isolation)
    _check_python_version(python_version := options["python_version"] or PYTHON_VERSION)
    extra = from_directory.ExtraOptions(
        creation_time=_creation_time(options.get("creation_time")),
        is_command=True,
        features=tuple(feature for feature in options["enable_features"].split(",") if feature),
        spec=int(options["spec"]) if options.get("spec") else None,
        store=store.home.entries_dir(MODEL),
        variables=_variables(options["import_env"]),
        python=_interpreter(python) if is_imported else None,
        comparison=_interpreter(python) if options.get("is_compared") else None,
        allow_unprotected_import=options["allow_unprotected_import"],
        environment=_named_python(python),
        fallback=None if is_static else _fallback(python),
        secrets=None if options["no_secrets_check"] else options["allow_secret"],
        bentoml_version=options["bentoml_version"],
        python_version=python_version,
        locking=locking,
        pin_command=locking.command.replace("bento lock", "bento build", 1) + " --pin",
        request_commit=_request_commit if options.get("is_pinned") else None,
    )
    is_service = ":" in build_ctx or not Path(build_ctx).is_dir()
    if is_service:
        _check_service(build_ctx)
    directory = "." if is_service else build_ctx
    return project_reach.confined(
        [directory, *filter(None, [bentofile])],
        from_directory.build_bentofile,
        bentofile,
        service=build_ctx if is_service else None,
        name=options.get("name"),
        version=version,
        labels=options.get("label", {}),
        build_ctx=directory,
        args=_arguments(options["arg_file"]) | options["arg"],
        description=options.get("description"),
        envs=_envs(options.get("env", ())),
        models=options["model"] or None,
        extra=extra,
    )


def _arguments(file: str | None) -> dict[str, Any]:
    from rules_bento.bentos.build_options.bentofile import read_arguments

    return read_arguments("/dev/stdin" if file == "-" else file, file) if file else {}


def _check_import(is_imported: bool, is_static: bool, is_unprotected: bool) -> None:
    if is_imported and is_static:
        problem = f"--import and {shared_options.origin('is_static')} contradict"
        raise BentoError(problem, remedy="Remove one of the options, or unset the variable.")
    if is_unprotected and not is_imported:
        raise BentoError(f"{_UNPROTECTED} requires --import. Add --import, or remove {_UNPROTECTED}.")


def _request_commit(model_id: str, revision: str, endpoint: str) -> str:
    from bento_cli.sharing.huggingface import pin

    return pin(model_id, revision, endpoint=endpoint, has_files=False).revision


def _named_python(python: str | None) -> Path | None:
    named = python or os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX")
    return (Path(named, "bin", "python") if Path(named).is_dir() else Path(named)).absolute() if named else None


def _fallback(python: str | None) -> Fallback | None:
    """Return a function that selects the interpreter for an import after an error of the static analysis.

    Only the caller selects an environment, and only an isolated import runs.
    """
    origin = "--python" if python else next(filter(os.environ.get, ("VIRTUAL_ENV", "CONDA_PREFIX")), "")
    named = python or os.environ.get(origin)
    if not named:
        return None

    def choose(error: BentoError) -> Path | None:
        from rules_bento.bentos.service import import_twice

        try:
            if problem := import_twice.isolation_problem():
                raise BentoError(f"this system can't isolate the import ({problem})")
            return _interpreter(named)
        except BentoError as reason:
            field = "remedy" if error.remedy else "problem"
            text = f"The service wasn't imported automatically, because {reason.problem} ({origin})."
            setattr(error, field, f"{getattr(error, field)}\n  {text}")
        return None

    return choose


def _variables(texts: Sequence[str]) -> dict[str, str]:
    """Return the variables of `--import-env`. Raises BentoError for an invalid or unset variable."""
    from rules_bento.bentos.build_options.option_checks import parse_env

    variables = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals and name not in os.environ:
            raise BentoError(f"--import-env: {name} isn't set in this environment. Write NAME=VALUE.")
        variables[parse_env(name, "--import-env").name] = value if equals else os.environ[name]
    return variables


def _interpreter(requested: str | None) -> Path:
    """Return the interpreter for an import. Raises BentoError if it doesn't exist, or if it lacks BentoML."""
    from rules_bento.bentos.packages.interpreter_files import named_environment

    from bento_cli.sharing.serving import interpreter

    exit_on_signals()
    packages = "BentoML and the packages that importing the service requires"
    return interpreter(requested or "", packages, lambda python: named_environment(python).has_module("bentoml"))


def _check_service(text: str) -> None:
    """Raise BentoError if `text` has no colon and doesn't name an existing module or file."""
    module = text.replace(".", "/")
    places = [text, *(f"{root}{module}{end}" for root in ("", "src/") for end in (".py", "/__init__.py"))]
    if ":" not in text and not any(Path(place).is_file() for place in places):
        raise BentoError(f"{text}: no such directory or module. Specify a project directory or MODULE:SERVICE.")


def _creation_time(text: str | None) -> str:
    """Return the time in `text` or SOURCE_DATE_EPOCH, or the current time. Raises BentoError for an invalid time."""
    if text is not None:
        try:
            return normalize_time(text)
        except ValueError:  # in a store with other Bentos, a time without a zone breaks `bentoml list`
            raise BentoError(
                f"--creation-time: expected a time with a time zone, such as 2026-03-01T12:00:00+00:00, got {text!r}."
            ) from None
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return dt.datetime.now(dt.timezone.utc).isoformat() if epoch is None else time_of_epoch(epoch)


def _envs(texts: Sequence[str]) -> list[dict[str, Any]] | None:
    """Return the environment variables that `--env` sets, sorted. Raises BentoError for a duplicate name."""
    from rules_bento.bentos.build_options.option_checks import parse_env

    envs: dict[tuple[str, str], dict[str, Any]] = {}
    for env in (parse_env(text, "--env") for text in texts):
        if (env.name, env.stage) in envs:
            raise BentoError(f"--env: {env.name} is set twice for the stage {env.stage!r}. Remove one of the values.")
        envs[env.name, env.stage] = vars(env)
    return [envs[key] for key in sorted(envs)] or None


def _add_to_store(result: BuildResult, version: str, store: Store) -> tuple[Path, bool]:
    """Add a Bento to the store. Returns the path of the Bento, and whether the Bento already existed.

    Raises BentoError if the Bento existed and `version` is set.
    """
    if version and store.bentos.entry_store.has(result.tag):
        raise BentoError(f"{result.tag} is already in the store. Delete the Bento first, or change --version.")
    total = result.size if sys.stderr.isatty() else 0

    def kept() -> str:
        is_built = store.bentos.entry_store.has(result.tag)
        return f"{result.tag} is in the store." if is_built else f"{_NOTHING} To remove partial data, run `bento gc`."

    with show.progress(f"Building {result.tag}", total) as progress, show.on_interrupt(kept):
        added = result.add(store.home, progress)
    return added.entry.path, not added.new
