"""`bento build`: builds a Bento from a project."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.cli import arguments, show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from rules_bento.bento.image_steps import ImageDefinition
    from rules_bento.bento.kinds import Kind
    from rules_bento.service import Declared

    from bento_cli.library import Store
    from bento_cli.projects.from_directory import BuildResult


# What BentoML has at the top of a service's configuration.
_CONFIG = frozenset(
    {
        "backlog",
        "endpoints",
        "extra_ports",
        "grpc",
        "http",
        "logging",
        "max_runner_connections",
        "metrics",
        "monitoring",
        "replicate_process",
        "resources",
        "runner_connection",
        "runner_probe",
        "ssl",
        "threads",
        "tracing",
        "traffic",
        "workers",
    }
)


def add_build_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "build_ctx",
        metavar="PATH",
        nargs="?",
        default=".",
        help="build the project in this directory (default: the current directory), or a service",
    )
    parser.add_argument(
        "-f", "--bentofile", metavar="FILE", help="read this file (default: bentofile.yaml, or else pyproject.toml)"
    )
    parser.add_argument("--name", help="name of the Bento")
    parser.add_argument("--version", default="", help="version of the Bento (default: the digest of its content)")
    parser.add_argument("--description", metavar="TEXT", help="description: the content, or file:PATH")
    parser.add_argument("--label", metavar="KEY=VALUE", action="append", default=[], help="add a label (repeatable)")
    parser.add_argument(
        "--env",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="set a variable, optionally with ;stage=STAGE (repeatable)",
    )
    parser.add_argument(
        "--model", metavar="TAG", action="append", default=[], help="include this model from the store (repeatable)"
    )
    parser.add_argument("--arg", metavar="KEY=VALUE", action="append", default=[], help="set an argument (repeatable)")
    parser.add_argument("--arg-file", metavar="FILE", help="read arguments from this YAML file")
    parser.add_argument(
        "--enable-features", metavar="LIST", default="", help="require these extras of bentoml, separated by commas"
    )
    parser.add_argument(
        "--spec", type=int, choices=(1, 2), help="format of bento.yaml (default: 2 if the options allow it)"
    )
    parser.add_argument(
        "--bentoml-version", metavar="VERSION", help="version of BentoML if the requirements don't specify it"
    )
    parser.add_argument("--python-version", metavar="VERSION", help="version of Python if no option specifies it")
    parser.add_argument(
        "--creation-time", metavar="TIME", help="creation time in ISO 8601 (default: SOURCE_DATE_EPOCH, or else now)"
    )
    parser.add_argument(
        "--import",
        dest="imported",
        action="store_true",
        help="import the service with BentoML to get its metadata; stand-ins replace missing packages",
    )
    parser.add_argument(
        "--python", metavar="ENV", help="use BentoML of this environment or interpreter; requires --import"
    )
    _add_facts(parser)
    parser.add_argument(
        "--allow-secret",
        metavar="FILE",
        action="append",
        default=[],
        help="allow this file (src/...) to contain a suspected secret (repeatable)",
    )
    parser.add_argument("--no-secrets-check", action="store_true", help="don't search for secrets")
    parser.add_argument(
        "--archive", metavar="FILE", help="write a .bento file instead of adding the Bento to the store"
    )
    parser.add_argument(
        "--no-sync", action="store_true", help="don't wait for the disk; a power failure might lose the result"
    )
    show.add_output(parser, "text", "json", "yaml", "tag", "path")
    parser.epilog = (
        "Without --import, the service is never imported. Nothing is resolved or downloaded. The same\n"
        "project gives the same version and digest everywhere, and also with the rule bento_package if no\n"
        "package hub locks the packages. The creation time doesn't change them."
    )


def _add_facts(parser: ArgumentParser) -> None:
    """Add the options that state a fact of the service that its source computes; messages name these."""
    group = parser.add_argument_group("service metadata that the source determines at run time")
    group.add_argument(
        "--service-model",
        metavar="SERVICE.ATTRIBUTE=TAG",
        action="append",
        default=[],
        help="declare the model of an attribute (repeatable)",
    )
    group.add_argument(
        "--config",
        metavar="SERVICE.KEY=VALUE",
        action="append",
        default=[],
        help="declare a value of a service's configuration, such as Svc.traffic.timeout=60; JSON or text (repeatable)",
    )
    group.add_argument(
        "--image", metavar="FILE", help="declare the image in this JSON file; docs/cli.md describes the format"
    )
    group.add_argument(
        "--complete",
        metavar="KIND",
        action="append",
        default=[],
        help="declare that the labels, envs, image, or description given here are complete (repeatable)",
    )


def run_build(options: Namespace, store: Store, kind: Kind) -> int:
    from pathlib import Path

    made = _build(options, store)
    for text in made.notes:
        show.note(text)
    if options.archive:
        path, known = made.archive(Path(options.archive)), False
    else:
        path, known = _keep(made, options.version, store)
    if options.output == "tag":
        show.out(f"__tag__:{made.tag}")  # as BentoML's
    elif options.output == "path":
        show.out(str(path))
    elif not show.data({"tag": str(made.tag), "digest": made.digest, "path": str(path)}, options.output):
        where = f" at {show.plain(str(path))}" if options.archive else " (in the store already)" if known else ""
        show.out(f"Built {made.tag}{where}.")
    return status.OK


def _build(options: Namespace, store: Store) -> BuildResult:
    from pathlib import Path

    from rules_bento.bento.kinds import MODEL
    from rules_bento.programs import which

    from bento_cli.projects import from_directory

    versions = {"bentoml_version": options.bentoml_version, "python_version": options.python_version}
    beside = from_directory.ExtraOptions(
        creation_time=_creation_time(options.creation_time),
        image=_image(options.image),
        overrides=_stated(options),
        features=tuple(feature for feature in options.enable_features.split(",") if feature),
        spec=options.spec,
        store=store.home.entries_dir(MODEL),
        python=_python(options),
        uv=which("uv"),
        secrets=None if options.no_secrets_check else tuple(options.allow_secret),
        **{key: value for key, value in versions.items() if value},
    )
    is_service = ":" in options.build_ctx or not Path(options.build_ctx).is_dir()
    if is_service:
        _check_service(options.build_ctx)
    if options.archive and (Path(options.archive).is_dir() or not Path(options.archive).parent.is_dir()):
        problem = "is a directory" if Path(options.archive).is_dir() else "is in a directory that does not exist"
        raise BentoError(f"--archive: {options.archive} {problem}. Name a file in an existing directory.")
    return from_directory.build_bentofile(
        options.bentofile,
        service=options.build_ctx if is_service else None,
        name=options.name,
        version=options.version,
        labels=arguments.pairs(options.label, "--label"),
        build_ctx="." if is_service else options.build_ctx,
        args=_args(options),
        more=_more(options),
        extra=beside,
    )


def _python(options: Namespace) -> Path | None:
    """Return the interpreter that imports the service, if one is to. Raises BentoError for contradicting options."""
    from bento_cli.sharing.serving import interpreter

    if not options.imported:
        if options.python:
            raise BentoError("--python: only --import uses it. Add --import, or remove --python.")
        return None
    if options.service_model or options.config or options.complete:
        raise BentoError(
            "--import: finds the service metadata on its own. Remove the options that declare a part of it."
        )
    return interpreter(options.python or "")


def _check_service(text: str) -> None:
    """Raise BentoError for what is neither a directory nor, for all that is known here, a service."""
    from pathlib import Path

    module = text.replace(".", "/")
    places = [text, *(f"{root}{module}{end}" for root in ("", "src/") for end in (".py", "/__init__.py"))]
    if ":" not in text and not any(Path(place).is_file() for place in places):
        raise BentoError(f"{text}: no such directory. Name a project's directory, or a service as module:Service.")


def _creation_time(stated: str | None) -> str:
    """Return what is given, else what SOURCE_DATE_EPOCH says, else now. Raises BentoError for what is no time."""
    import datetime as dt
    import os

    from rules_bento.formats.times import parse_time

    if stated is not None:
        try:
            zone = parse_time(stated).tzinfo
        except ValueError:
            zone = None
        if zone is None:  # beside Bentos that have one, BentoML's list fails for the store
            raise BentoError(
                f"--creation-time: {stated!r} isn't a time with a zone. Write it as 2026-03-01T12:00:00+00:00."
            )
        return stated
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return dt.datetime.now(dt.timezone.utc).isoformat()
    try:
        if not (epoch.isascii() and epoch.isdecimal()):
            raise ValueError
        return dt.datetime.fromtimestamp(int(epoch), dt.timezone.utc).isoformat()
    except (ValueError, OverflowError, OSError):
        raise BentoError(
            f"SOURCE_DATE_EPOCH: {epoch!r} isn't a number of seconds since 1970. Set it to one, or unset it."
        ) from None


def _more(options: Namespace) -> dict[str, Any]:
    """Return the options that only `bento build` sets from flags: description, envs and models."""
    from rules_bento.build_options.option_checks import parse_env

    envs = {(env.name, env.stage): vars(env) for env in (parse_env(text, "--env") for text in options.env)}
    if len(envs) < len(options.env):
        raise BentoError("--env: a variable is given twice for one stage. Keep one of each.")
    ordered = [envs[key] for key in sorted(envs)]
    attributes = {"description": options.description, "envs": ordered or None, "models": options.model or None}
    return {key: value for key, value in attributes.items() if value is not None}


def _stated(options: Namespace) -> Declared:
    from rules_bento.service import Declared

    return Declared(
        service_models=arguments.pairs(options.service_model, "--service-model", "SERVICE.ATTRIBUTE=TAG"),
        config=_config(options.config),
        in_full=options.complete,
        words="flags",
    )


def _config(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Return the configuration of each service, whatever the order of the flags. Raises BentoError for a wrong one."""
    services: dict[str, dict[str, Any]] = {}
    given = arguments.pairs(texts, "--config", "SERVICE.KEY=VALUE, such as Hello.workers=4")
    for path, (service, keys) in sorted((path, _service_and_keys(path, text)) for path, text in given.items()):
        at = services.setdefault(service, {})
        for key in keys[:-1]:
            at = at.setdefault(key, {})
            if not isinstance(at, dict):
                raise BentoError(f"--config: {path} is below {key}, which has a value of its own. Keep one of the two.")
        if keys and keys[-1] in at:
            raise BentoError(f"--config: {path} is given twice. Keep one.")
        if keys:
            at[keys[-1]] = _json_or_text(given[path])
    ordered: dict[str, dict[str, Any]] = _sorted(services)
    return ordered


def _sorted(value: Any) -> Any:
    """Return a value with its keys in order, as the rule's attribute has them."""
    if isinstance(value, dict):
        return {key: _sorted(inner) for key, inner in sorted(value.items())}
    return [_sorted(inner) for inner in value] if isinstance(value, list) else value


def _service_and_keys(path: str, text: str) -> tuple[str, list[str]]:
    """Split a path behind the name of the service, in which there may be dots, as in `llama3.1-8b.traffic.timeout`."""
    words = path.split(".")
    first = 1 if text else len(words)  # without a value, a service alone, which has no configuration
    at = next((place for place, word in enumerate(words) if place and word in _CONFIG), first)
    return ".".join(words[:at]), words[at:]


def _json_or_text(text: str) -> Any:
    from rules_bento.formats import FormatError
    from rules_bento.formats.json import read_json

    try:
        return read_json(text, "--config")
    except FormatError:
        return text


def _image(path: str | None) -> ImageDefinition | None:
    if path is None:
        return None
    from pathlib import Path

    from rules_bento.bento import image_steps
    from rules_bento.formats import MAX_BYTES

    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BentoError(f"--image: {path} cannot be read: {error.strerror}. Name the JSON file of an image.") from None
    return image_steps.read(text, f"--image: {path}")


def _args(options: Namespace) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if options.arg_file:
        from rules_bento.build_options.bentofile import read_arguments

        values = read_arguments(options.arg_file, options.arg_file)
    return values | arguments.pairs(options.arg, "--arg")


def _keep(made: BuildResult, version: str, store: Store) -> tuple[Path, bool]:
    """Take the Bento into the store; returns its folder, and whether it was there: a digest means the same Bento."""
    import tempfile
    from pathlib import Path

    if store.bentos.entry_store.has(made.tag):
        if version:
            raise BentoError(f"{made.tag} exists in the store. Delete it first, or build another version.")
        return store.bentos.entry_store.path(made.tag), True
    with tempfile.TemporaryDirectory() as scratch:
        archive = made.archive(Path(scratch, "built.bento"))
        return store.bentos.import_archive(archive).entry.path, False
