"""Implements `bento push` and `bento pull`, which use registries, OCI layouts, and for clouds BentoML."""

from __future__ import annotations

import click
from rules_bento.base.errors import BentoError
from rules_bento.base.tag import check_word
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.assembly.kinds import BENTO, MODEL
from rules_bento.images.registry.reference import has_registry

from bento_cli.cli import shared_options, show, status
from bento_cli.cli.command import Command, File, Tag, command
from bento_cli.cli.commands.archives import IMPORTED, show_imported
from bento_cli.cli.commands.cloud import run_bentoml

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.kinds import Kind
    from rules_bento.images.registry.push_to_registry import PushResult

    from bento_cli.library import Store
    from bento_cli.store.entry_store import Entry

_PUSH = """Push a {0} to a registry, an OCI layout, BentoCloud, or Yatai.

If REFERENCE has no tag, the command uses the {1}'s version. The command uploads only missing data. Registry credentials
come from docker's configuration and credential helpers.

Without REFERENCE, the command runs `bentoml {2}push` of the environment in VIRTUAL_ENV, of `bentoml` on PATH, or of
`bento`. Credentials for BentoCloud and Yatai come from `bento cloud login`.

To write several {1}s to one OCI layout, specify their tags, and oci:DIR, oci-archive:FILE, or - for an archive on
standard output. The layout contains each file of several {1}s once."""
_PULL = """Pull a {0} from a registry, an OCI layout, BentoCloud, or Yatai.

The command downloads only missing data, and resumes an interrupted pull, except for files of 64 MiB or more: a large
model is written once, while it is downloaded. It verifies all digests before it adds the {1} to the store.

For a tag, the command runs `bentoml {2}pull` of the environment in VIRTUAL_ENV, of `bentoml` on PATH, or of `bento`.

oci:DIR, oci-archive:FILE, and - (an archive on standard input) pull all {1}s of the OCI layout."""


_context = shared_options.option("--context NAME", "Use this BentoCloud or Yatai context instead of the current")
_form = shared_options.option(
    "--format",
    "Set the registry format: artifact for `bento models pull`, kserve for an image that KServe and Kubernetes "
    "can mount, or modelpack for CNCF ModelPack tools (default: artifact)",
    name="form",
    type=click.Choice(("artifact", "kserve", "modelpack")),
    default="artifact",
)


def push_command(kind: Kind) -> Command:
    repository = f"oci://registry.example/{kind.directory}/iris"
    mounted = (f"llm:latest {repository} --format kserve",) if kind is MODEL else ("iris:v1 fraud:v2 oci:DIR",)

    @command(
        f"iris:latest {repository}",
        *mounted,
        kept="Finished uploads remain, and the next push sends only the rest.",
        help=_PUSH.format(_with_models(kind), kind.noun, _group(kind)),
    )
    @click.argument("tag", type=Tag(kind), help=f"Push this {kind.noun} ({shared_options.TAG})")
    @click.argument(
        "targets",
        metavar="[REFERENCE...]",
        nargs=-1,
        help="Push to this registry reference (HOST/REPOSITORY[:TAG]) or OCI layout instead of BentoCloud or Yatai",
    )
    @shared_options.option(
        "-t, --threads N",
        "Run N transfers in parallel (default: 6, or 10 for BentoCloud and Yatai)",
        type=shared_options.positive,
    )
    @shared_options.option("-f, --force", f"Replace the {kind.noun} if BentoCloud or Yatai already has it")
    @(_form if kind is MODEL else shared_options.combine())
    @shared_options.no_verify
    @_context
    @shared_options.signing_options("sign-")
    @shared_options.insecure
    @shared_options.output("text", "json", "yaml")
    def run(store: Store, tag: str, targets: Sequence[str], **options: Any) -> int:
        from bento_cli.sharing.registry import is_layout

        if not targets:
            return _push_with_bentoml(store, kind, tag, **options)
        if is_layout(targets[-1]):
            _push_to_layout(store, kind, [tag, *targets[:-1]], targets[-1], **options)
        else:
            _push_to_registries(store, kind, tag, targets, **options)
        return status.OK

    return run


def _push_with_bentoml(store: Store, kind: Kind, tag: str, *, no_verify: bool, **options: Any) -> int:
    from bento_cli.store.entry_store import models_of
    from bento_cli.store.verification import require_intact

    if has_registry(tag):
        example = f"`bento {_group(kind)}push {kind.noun.upper()} {tag}`"
        raise BentoError("the tag before the registry reference is missing", place=tag, remedy=f"Use {example}.")
    entry = store.section(kind).get(tag)
    if not no_verify:
        models = models_of(store.home, entry) if kind is BENTO else []
        require_intact(store.home, [entry, *models])
    return run_bentoml(
        store,
        [*_group(kind).split(), "push", str(entry.tag)],
        {name: options[name] for name in ("threads", "force", "context")},
        ("tag", "no_verify"),
        registry=f"bento {_group(kind)}push {tag} registry.example.com/{entry.tag.name}",
    )


def _push_to_registries(
    store: Store, kind: Kind, tag: str, targets: Sequence[str], *, no_verify: bool, output: str, **options: Any
) -> None:
    section = store.section(kind)
    entry = section.get(tag)
    results = section.push(
        str(entry.tag),
        *targets,
        insecure=options["insecure"],
        out=show.progress_output(),
        check=not no_verify,
        jobs=options["threads"] or 0,
        signing=shared_options.signing("sign-", **{name: options[name] for name in shared_options.SIGNING}),
        form=options.get("form", "artifact"),
    )
    _show_pushed(entry, results, output)


def _push_to_layout(
    store: Store, kind: Kind, tags: Sequence[str], layout: str, *, no_verify: bool, output: str, **options: Any
) -> None:
    from bento_cli.sharing.registry import OCI_ARCHIVE
    from bento_cli.sharing.registry.layouts import push

    if options.get("form", "artifact") != "artifact" or options["sign_key"] or options["keyless"]:
        raise BentoError("--format, --sign-key, and --sign-keyless require a registry. Remove these options.")
    entries, check = [store.section(kind).get(tag) for tag in tags], not no_verify
    if layout == "-":
        kept = "The archive is incomplete."
        with (
            show.on_interrupt(kept),
            shared_options.output_path("-", output) as path,
            show.progress("Pushing") as progress,
        ):
            push(store.home, entries, f"{OCI_ARCHIVE}{path}", progress, check=check)
        return
    with show.progress("Pushing") as progress:
        manifests = push(store.home, entries, layout, progress, check=check)
    fields = [
        {"tag": str(entry.tag), "layout": layout, "digest": manifest.descriptor.digest}
        for entry, manifest in zip(entries, manifests, strict=True)
    ]
    if not show.data(fields, output):
        for entry in entries:
            show.done(f"Pushed {entry.kind.noun} {entry.tag} to {show.plain(layout)}.")
        show.next_steps(f"pull {layout}")


def _group(kind: Kind) -> str:
    return "models " if kind is MODEL else ""


def _with_models(kind: Kind) -> str:
    return "Bento and its models" if kind is BENTO else "model"


def _show_pushed(entry: Entry, results: Sequence[PushResult], output: str) -> None:
    fields = [
        {"tag": str(entry.tag), **result._asdict(), "reference": f"oci://{result.reference}", "tags": list(result.tags)}
        for result in results
    ]
    if show.data(fields, output):
        return
    for pushed in results:
        present = pushed.blobs - pushed.sent - pushed.mounted
        show.done(
            f"Pushed {entry.kind.noun} {entry.tag} to {pushed.reference.name} as {', '.join(pushed.tags)}: "
            f"{pushed.sent} of {show.count(pushed.blobs, 'blob')} uploaded ({show.size(pushed.size)}), "
            f"{pushed.mounted} mounted, {present} already present."
        )
        show.out(f"Digest: {pushed.reference.digest}")


def pull_command(kind: Kind) -> Command:
    # An option of BentoML, which excludes models by default.
    with_models = shared_options.option("--with-models", "Pull models that aren't in the store (default)")
    from_bentofile = shared_options.option(
        "-F, --bentofile", "Pull the models of this bentofile.yaml or pyproject.toml", type=File()
    )

    @command(
        f"oci://registry.example/{kind.directory}/iris:v1",
        "iris:v1",
        kept="Downloads remain, and the next pull resumes.",
        help=_PULL.format(_with_models(kind), kind.noun, _group(kind)),
    )
    @click.argument(
        "source",
        metavar="REFERENCE",
        required=kind is BENTO,
        default="",
        help="Pull this registry reference (HOST/REPOSITORY[:TAG]), all of an OCI layout, or this tag from BentoCloud "
        "or Yatai",
    )
    @_context
    @shared_options.force(kind, "-f")
    @shared_options.no_models(kind)
    @(with_models if kind is BENTO else from_bentofile)
    @shared_options.import_options
    @shared_options.insecure
    @shared_options.output("text", "json", "yaml", "path")
    def run(store: Store, source: str, force: bool, output: str, bentofile: str | None = None, **options: Any) -> int:
        from bento_cli.sharing.registry import is_layout

        if kind is MODEL and bool(source) == bool(bentofile):
            raise click.UsageError("Specify either REFERENCE or --bentofile.")
        insecure, context = (options.pop(name) for name in ("insecure", "context"))
        options.pop("with_models", None)  # which is the default
        importing = shared_options.imports(act="pull", force=force, **options)
        if is_layout(source):
            from bento_cli.sharing.registry import layouts

            with show.progress("Pulling") as progress, show.on_interrupt(IMPORTED.format(kind.noun)):
                several = layouts.pull(store.home, kind, source, importing, progress)
            fields = [show_imported("Pulled", each, output) | {"origin": source} for each in several]
            show.data(fields, output)
            return status.OK
        if "/" in source:
            pulled = store.section(kind).pull(
                source, force=force, options=importing, insecure=insecure, out=show.progress_output()
            )
            show.data(show_imported("Pulled", pulled, output) | {"origin": f"oci://{pulled.reference}"}, output)
            return status.OK
        settings = {"force": force, "context": context, "bentofile": bentofile}
        settings["with_models"] = options.get("no_models") is False
        return _pull_with_bentoml(store, kind, source, settings)

    return run


def _pull_with_bentoml(store: Store, kind: Kind, source: str, settings: dict[str, Any]) -> int:
    for word in source.split(":", 1) if source else ():
        check_word(word, f"{source!r}: the name or version")
    return run_bentoml(
        store,
        [*_group(kind).split(), "pull", *filter(None, [source])],
        settings,
        ("source", "no_models", "with_models"),
        registry=f"bento {_group(kind)}pull registry.example.com/{source or 'NAME:TAG'}",
    )
