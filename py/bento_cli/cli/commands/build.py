"""Implements `bento build`, which builds a Bento from a project."""

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

# The top-level keys of a service's configuration in BentoML.
_CONFIG = frozenset(
    (
        *("backlog", "endpoints", "extra_ports", "grpc", "http", "logging", "max_runner_connections", "metrics"),
        *("monitoring", "replicate_process", "resources", "runner_connection", "runner_probe", "ssl", "threads"),
        *("tracing", "traffic", "workers"),
    )
)


def add_build_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "build_ctx",
        metavar="PATH",
        nargs="?",
        default=".",
        help="Build this project directory or this service (MODULE:SERVICE; default: the current directory)",
    )
    arguments.add_bentofile(parser)
    parser.add_argument("--name", help="Set the Bento's name (default: the service's name)")
    parser.add_argument("--version", default="", help="Set the Bento's version (default: a digest of the contents)")
    parser.add_argument(
        "--description", metavar="TEXT", help="Set the Bento's description, or read it from a file (file:PATH)"
    )
    arguments.add_repeatable(parser, "--label", metavar="KEY=VALUE", help="Add a label to the Bento")
    arguments.add_repeatable(
        parser,
        "--env",
        metavar="NAME=VALUE[;stage=STAGE]",
        help="Set an environment variable; STAGE is build, runtime, or all (default: all)",
    )
    arguments.add_repeatable(
        parser,
        "--model",
        metavar="TAG",
        help="Include this model from the store (NAME:VERSION, or NAME for the latest version)",
    )
    arguments.add_repeatable(parser, "--arg", metavar="KEY=VALUE", help="Set a build argument (overrides --arg-file)")
    parser.add_argument(
        "--arg-file", metavar="FILE", help="Read build arguments from this YAML file (- for standard input)"
    )
    parser.add_argument(
        "--enable-features", metavar="LIST", default="", help="Require these bentoml extras, such as grpc,tracing"
    )
    parser.add_argument(
        "--spec",
        type=int,
        choices=(1, 2),
        help="Write bento.yaml in format 1 or 2 (default: 2 if the options allow it)",
    )
    parser.add_argument(
        "--bentoml-version", metavar="VERSION", help="Use this BentoML version if the requirements don't set a version"
    )
    parser.add_argument(
        "--python-version", metavar="VERSION", help="Use this Python version if the project doesn't set a version"
    )
    parser.add_argument(
        "--creation-time",
        metavar="TIME",
        help="Set the creation time (ISO 8601 with a time zone; default: SOURCE_DATE_EPOCH if set, "
        "otherwise the current time)",
    )
    arguments.add_flag(
        parser,
        "--import",
        dest="imported",
        help="Import the service with BentoML instead of analyzing its source; replace missing packages with stand-ins",
    )
    parser.add_argument(
        "--python",
        metavar="PATH",
        help="Import the service with this Python environment or interpreter; requires --import",
    )
    _add_metadata_options(parser)
    arguments.add_repeatable(
        parser, "--allow-secret", metavar="FILE", help="Ignore suspected secrets in this file (example: src/test.pem)"
    )
    arguments.add_flag(parser, "--no-secrets-check", help="Don't scan the Bento for secrets")
    parser.add_argument(
        "--archive",
        metavar="FILE",
        help="Write this .bento archive (- for standard output) instead of adding the Bento to the store",
    )
    arguments.add_no_sync(parser)
    show.add_output(parser, "text", "json", "yaml", "ref", "tag", "path")
    parser.epilog = (
        "Without --import, the command doesn't execute your code. The command never resolves or downloads packages. "
        "The version and the digest depend only on the project, not on the creation time. The bento_package rule "
        "produces the same version and digest, unless a package hub locks the packages."
    )


def _add_metadata_options(parser: ArgumentParser) -> None:
    """Add options to declare service metadata that isn't known before run time."""
    group = parser.add_argument_group("Service metadata that the source determines at run time")
    arguments.add_repeatable(
        group,
        "--service-model",
        metavar="SERVICE.ATTRIBUTE=TAG",
        help="Declare the model that a service attribute contains, such as MyService.model=iris:v1",
    )
    arguments.add_repeatable(
        group,
        "--config",
        metavar="SERVICE.KEY=VALUE",
        help="Declare the value of a service setting, such as MyService.traffic.timeout=60",
    )
    group.add_argument(
        "--image",
        metavar="FILE",
        help="Read the image definition from this JSON file (- for standard input); docs/cli.md describes the format",
    )
    arguments.add_repeatable(
        group,
        "--complete",
        metavar="KIND",
        help="Assume that the options declare all values of this kind (labels, envs, image, or description), even if "
        "the source determines values at run time",
    )


def run_build(options: Namespace, store: Store, kind: Kind) -> int:
    if options.archive and options.archive != "-":
        options.archive = _archive_path(options.archive, kind)
    result = _build(options, store)
    for text in result.notes:
        show.note(text)
    if options.archive:
        with arguments.output_path(options.archive, options) as out:
            path, is_known = result.archive(out), False
        if options.archive == "-":
            return status.OK
    else:
        path, is_known = _add_to_store(result, options.version, store)
    if options.output == "ref":
        show.out(str(result.tag))
    elif options.output == "tag":
        show.out(f"__tag__:{result.tag}")  # as BentoML does
    elif options.output == "path":
        show.out(str(path))
    elif not show.data({"tag": str(result.tag), "digest": result.digest, "path": str(path)}, options.output):
        where = f" at {show.plain(str(path))}" if options.archive else " (already in the store)" if is_known else ""
        show.out(f"Built {result.tag}{where}.")
        if options.archive:
            show.next_steps(f"import {path}")
        else:
            show.next_steps(f"serve {result.tag}", f"containerize {result.tag}", f"push {result.tag}")
    return status.OK


def _archive_path(text: str, kind: Kind) -> str:
    """Return the path for `--archive`. Adds a missing suffix. Raises BentoError for a directory or a wrong suffix."""
    from pathlib import Path

    from rules_bento.tag import Tag

    from bento_cli.store.export import file_name

    directory, slash, name = text.rpartition("/")
    written, form = file_name(kind, Tag("", ""), name, None)
    if not name or Path(text).is_dir() or Path(directory + slash + written).is_dir():
        raise BentoError(f"--archive: {text} is a directory. Add a file name, such as svc.bento.")
    if form != "xz":
        raise BentoError(f"--archive: expected the suffix .bento, got {text}. For other formats, run `bento export`.")
    return directory + slash + written


def _build(options: Namespace, store: Store) -> BuildResult:
    from pathlib import Path

    from rules_bento.bento.kinds import MODEL
    from rules_bento.programs import which

    from bento_cli.projects import from_directory

    versions = {"bentoml_version": options.bentoml_version, "python_version": options.python_version}
    extra = from_directory.ExtraOptions(
        creation_time=_creation_time(options.creation_time),
        image=_image(options.image),
        overrides=_declared(options),
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
    if options.archive not in (None, "-") and not (parent := Path(options.archive).parent).is_dir():
        raise BentoError(f"--archive: the directory {parent} doesn't exist. Create the directory first.")
    return from_directory.build_bentofile(
        options.bentofile,
        service=options.build_ctx if is_service else None,
        name=options.name,
        version=options.version,
        labels=arguments.pairs(options.label, "--label"),
        build_ctx="." if is_service else options.build_ctx,
        args=_args(options),
        more=_attributes(options),
        extra=extra,
    )


def _python(options: Namespace) -> Path | None:
    """Return the interpreter for `--import`, or None without `--import`. Raises BentoError for conflicting options."""
    from rules_bento.exit_handling import exit_on_signals

    from bento_cli.sharing.serving import interpreter

    if not options.imported:
        if options.python:
            raise BentoError("--python requires --import. Add --import, or remove --python.")
        return None
    if options.service_model or options.config or options.complete:
        raise BentoError(
            "--import can't be combined with --service-model, --config, or --complete. Remove these options: the "
            "import provides all service metadata."
        )
    exit_on_signals()
    return interpreter(options.python or "", packages="BentoML and the packages that importing the service requires")


def _check_service(text: str) -> None:
    """Raise BentoError if `text` has no colon and doesn't name an existing module or file."""
    from pathlib import Path

    module = text.replace(".", "/")
    places = [text, *(f"{root}{module}{end}" for root in ("", "src/") for end in (".py", "/__init__.py"))]
    if ":" not in text and not any(Path(place).is_file() for place in places):
        raise BentoError(f"{text}: no such directory or module. Specify a project directory or MODULE:SERVICE.")


def _creation_time(text: str | None) -> str:
    """Return the time in `text` or SOURCE_DATE_EPOCH, or the current time. Raises BentoError for an invalid time."""
    import datetime as dt
    import os

    from rules_bento.formats.times import parse_time

    if text is not None:
        try:
            zone = parse_time(text).tzinfo
        except ValueError:
            zone = None
        if zone is None:  # in a store with other Bentos, a time without a zone breaks `bentoml list`
            raise BentoError(
                f"--creation-time: expected a time with a time zone, such as 2026-03-01T12:00:00+00:00, got {text!r}."
            )
        return text
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return dt.datetime.now(dt.timezone.utc).isoformat()
    try:
        if not (epoch.isascii() and epoch.isdecimal()):
            raise ValueError
        return dt.datetime.fromtimestamp(int(epoch), dt.timezone.utc).isoformat()
    except (ValueError, OverflowError, OSError):
        raise BentoError(
            f"SOURCE_DATE_EPOCH: expected seconds since 1970, got {epoch!r}. Unset or correct the variable."
        ) from None


def _attributes(options: Namespace) -> dict[str, Any]:
    """Return the build options that `bentoml build` lacks, by name. Raises BentoError for a duplicate `--env`."""
    from rules_bento.build_options.option_checks import parse_env

    envs: dict[tuple[str, str], dict[str, Any]] = {}
    for env in (parse_env(text, "--env") for text in options.env):
        if (env.name, env.stage) in envs:
            raise BentoError(f"--env: {env.name} is set twice for the stage {env.stage!r}. Remove one of the values.")
        envs[env.name, env.stage] = vars(env)
    ordered = [envs[key] for key in sorted(envs)]
    attributes = {"description": options.description, "envs": ordered or None, "models": options.model or None}
    return {key: value for key, value in attributes.items() if value is not None}


def _declared(options: Namespace) -> Declared:
    from rules_bento.service import Declared

    return Declared(
        service_models=arguments.pairs(options.service_model, "--service-model", "SERVICE.ATTRIBUTE=TAG"),
        config=_config(options.config),
        in_full=options.complete,
        words="flags",
    )


def _config(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Merge the values of `--config` into one configuration per service. Raises BentoError for conflicting values."""
    import json

    from rules_bento.formats.json import read_object

    services: dict[str, dict[str, Any]] = {}
    values = arguments.pairs(texts, "--config", "SERVICE.KEY=VALUE, such as Hello.workers=4")
    for path, (service, keys) in sorted((path, _service_and_keys(path, text)) for path, text in values.items()):
        at = services.setdefault(service, {})
        for key in keys[:-1]:
            at = at.setdefault(key, {})
            if not isinstance(at, dict):
                raise BentoError(f"--config: {path} conflicts with the value of {key}. Remove one of the options.")
        if keys and keys[-1] in at:
            raise BentoError(f"--config: {path} is set twice. Remove one of the values.")
        if keys:
            at[keys[-1]] = _json_or_text(values[path])
    # Sorted keys, as in the attribute of the rule.
    return read_object(json.dumps(services, sort_keys=True), "--config")


def _service_and_keys(path: str, text: str) -> tuple[str, list[str]]:
    """Split a dotted `--config` path into the name of a service and a list of keys. The name can contain dots.

    For `llama3.1-8b.traffic.timeout`, the name is `llama3.1-8b`.
    """
    words = path.split(".")
    first = 1 if text else len(words)  # without a value, the path is a service without configuration
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
    from rules_bento.bento import image_steps
    from rules_bento.formats import read_file

    try:
        data = read_file(arguments.input_path(path))
    except OSError as error:
        raise BentoError(f"--image: cannot read {path}: {error.strerror}. Specify a readable JSON file.") from None
    return image_steps.read(data, f"--image: {path}")


def _args(options: Namespace) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if options.arg_file:
        from rules_bento.build_options.bentofile import read_arguments

        values = read_arguments(arguments.input_path(options.arg_file), options.arg_file)
    return values | arguments.pairs(options.arg, "--arg")


def _add_to_store(result: BuildResult, version: str, store: Store) -> tuple[Path, bool]:
    """Add a Bento to the store. Returns the path of the Bento, and whether the Bento already existed.

    Raises BentoError if the Bento existed and `version` is set.
    """
    import tempfile
    from pathlib import Path

    if store.bentos.entry_store.has(result.tag):
        if version:
            raise BentoError(f"{result.tag} is already in the store. Delete the Bento first, or change --version.")
        return store.bentos.entry_store.path(result.tag), True
    with tempfile.TemporaryDirectory() as scratch:
        archive = result.archive(Path(scratch, "built.bento"))
        return store.bentos.import_archive(archive).entry.path, False
