"""Implements `bento push` and `bento pull`, which use registries, BentoCloud, and Yatai."""

from __future__ import annotations

from rules_bento.bento.kinds import BENTO, MODEL
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.cli import arguments, show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind
    from rules_bento.registry.push import PushResult

    from bento_cli.library import Store
    from bento_cli.sharing.cloud.pulling import CloudPulled
    from bento_cli.sharing.registry.pulling import Pulled
    from bento_cli.store.entry_store import Entry


def _add_context(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--context", metavar="NAME", help="Use this BentoCloud or Yatai context (default: the current context)"
    )


def add_push_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "tag", metavar="TAG", help=f"Push this {kind.noun} (NAME:VERSION, or NAME for the latest version)"
    )
    parser.add_argument(
        "targets",
        metavar="REFERENCE",
        nargs="*",
        help="Push to this registry reference (HOST/REPOSITORY[:TAG]) instead of BentoCloud or Yatai",
    )
    parser.add_argument(
        "-t",
        "--threads",
        type=arguments.positive,
        metavar="N",
        help="Run N transfers in parallel (default: 6, or 10 for BentoCloud and Yatai)",
    )
    arguments.add_flag(parser, "-f", "--force", help=f"Replace the {kind.noun} if BentoCloud or Yatai already has it")
    if kind is MODEL:
        parser.add_argument(
            "--format",
            choices=("artifact", "kserve"),
            default="artifact",
            help="Set the registry format: artifact for `bento models pull`, or kserve for an image that KServe "
            "and Kubernetes can mount (default: artifact)",
        )
    arguments.add_no_verify(parser)
    _add_context(parser)
    arguments.add_signing(parser, "sign-")
    arguments.add_insecure(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        f"If REFERENCE has no tag, the command uses the {kind.noun}'s version. The command uploads only missing data. "
        "Registry credentials come from docker's configuration and credential helpers. BentoCloud and Yatai "
        "credentials come from the context that `bento cloud login` saved."
    )


def run_push(options: Namespace, store: Store, kind: Kind) -> int:
    entry = store.section(kind).get(options.tag)
    if options.targets:
        _push(options, store, entry)
    elif getattr(options, "format", "") == "kserve":
        raise BentoError("--format kserve requires a registry target. Specify HOST/REPOSITORY[:TAG].")
    elif options.sign_key or options.keyless:
        raise BentoError("--sign-key and --sign-keyless require a registry target. Specify HOST/REPOSITORY[:TAG].")
    else:
        _push_to_cloud(options, store, entry)
    return status.OK


def _push(options: Namespace, store: Store, entry: Entry) -> None:
    results = store.section(entry.kind).push(
        str(entry.tag),
        *options.targets,
        insecure=options.insecure,
        out=show.progress_output(),
        check=not options.no_verify,
        jobs=options.threads or 0,
        signing=arguments.signing(options),
        for_kserve=getattr(options, "format", "") == "kserve",  # Bentos have no formats
    )
    fields = [
        {"tag": str(entry.tag), "reference": "", "tags": list(result.tags), **_push_data(result.pushed)}
        for result in results
    ]
    if show.data(fields, options.output):
        return
    for result in results:
        pushed = result.pushed
        present = pushed.blobs - pushed.sent - pushed.mounted
        show.out(
            f"Pushed {entry.kind.noun} {entry.tag} to {pushed.reference.name} as {', '.join(result.tags)}: "
            f"{pushed.sent} of {show.count(pushed.blobs, 'blob')} uploaded ({show.size(pushed.size)}), "
            f"{pushed.mounted} mounted, {present} already present."
        )


def _push_data(pushed: PushResult) -> dict[str, Any]:
    return pushed._asdict() | {"reference": f"oci://{pushed.reference}"}


def _push_to_cloud(options: Namespace, store: Store, entry: Entry) -> None:
    from bento_cli.sharing.cloud.pushing import JOBS, push

    jobs, check = options.threads or JOBS, not options.no_verify
    with arguments.cloud(options, store, f"Pushing {entry.tag} to") as (client, progress):
        result = push(store.home, entry, client, progress, force=options.force, check=check, jobs=jobs)
        endpoint = str(client)
    everything = [*result.models, result.main]
    for note in (note for each in everything for note in each.notes):
        show.note(note)
    size = sum(each.size for each in everything)
    fields = {
        "tag": str(entry.tag),
        "endpoint": endpoint,
        "sent": result.main.sent,
        "models": [{"tag": str(model.tag), "sent": model.sent} for model in result.models],
        "size": size,
    }
    if show.data(fields, options.output):
        return
    name = f"{entry.kind.noun} {entry.tag}"
    models = ", ".join(str(model.tag) for model in result.models if model.sent)
    present = show.already_present(model.tag for model in result.models if not model.sent)
    if result.main.sent:
        show.out(f"Pushed {name}{models and f' with {models}'}{present} to {endpoint}: {show.size(size)}.")
    else:
        show.out(f"{name} is already in {endpoint}{models and f'; pushed {models}'}{present}.")


def add_pull_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "source",
        metavar="REFERENCE",
        help="Pull this registry reference (HOST/REPOSITORY[:TAG]), or this tag from BentoCloud or Yatai",
    )
    _add_context(parser)
    arguments.add_flag(parser, "-f", "--force", help=arguments.force_help(kind))
    if kind is BENTO:
        arguments.add_no_models(parser)
        # An option of BentoML, which excludes models by default.
        arguments.add_flag(parser, "--with-models", help="Pull models that aren't in the store (default)")
    arguments.add_import_options(parser)
    arguments.add_insecure(parser)
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = (
        "The command downloads only missing data, and resumes an interrupted pull. It verifies all digests before it "
        f"adds the {kind.noun} to the store."
    )


def run_pull(options: Namespace, store: Store, kind: Kind) -> int:
    importing = arguments.import_options(options)
    pulled: CloudPulled | Pulled
    if "/" in options.source:
        pulled = store.section(kind).pull(
            options.source,
            force=options.force,
            options=importing,
            insecure=options.insecure,
            out=show.progress_output(),
        )
        origin = f"oci://{pulled.reference}"
    else:
        from bento_cli.sharing.cloud.pulling import pull as pull_from_cloud

        with arguments.cloud(options, store, f"Pulling {options.source} from") as (client, progress):
            pulled = pull_from_cloud(store.home, kind, options.source, client, progress, importing, force=options.force)
            origin = str(client)
    entry, models = pulled.entry, ", ".join(str(model.tag) for model in pulled.models)
    for note in pulled.notes:
        show.note(note)
    if options.output == "path":
        show.out(str(entry.path))
    elif options.output == "text":
        name = f"{entry.kind.noun} {entry.tag}"
        if pulled.new:
            show.out(f"Pulled {name}{models and f' with {models}'}{show.already_present(pulled.known)}.")
            if entry.kind is BENTO:
                show.next_steps(f"serve {entry.tag}")
        else:
            show.out(f"{name} is already in the store{models and f'; pulled {models}'}.")
    fields = {
        "tag": str(entry.tag),
        "path": str(entry.path),
        "origin": origin,
        "new": pulled.new,
        "models": [str(model.tag) for model in pulled.models],
        "known_models": [str(tag) for tag in pulled.known],
    }
    show.data(fields, options.output)
    return status.OK
