"""Actions for reports of a Bento or an image; they run only if their output group is requested."""

load(":attributes.bzl", "label_string")
load(":helper.bzl", "arguments", "run_helper", "verb")
load(":layers.bzl", "BENTO")

def write_summary(ctx, *, tag, digest, files, models = []):
    """Declares the summary of a target.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      tag: File with the Bento's tag.
      digest: File with the digest of the target's output.
      files: flag to File with sizes: `--archive` and `--manifest`, or `--image-manifest`.
      models: list of BentoModelInfo.

    Returns:
      A File, JSON.
    """
    output = ctx.actions.declare_file(ctx.label.name + ".summary.json")
    args = arguments(ctx)
    args.add("--target", label_string(ctx.label))
    args.add_all(["--tag", tag, "--digest", digest, "--output", output])
    for flag, file in files.items():
        args.add_all([flag, file])
    args.add_all([model.description for model in models], before_each = "--model")
    run_helper(
        ctx,
        mnemonic = "BentoSummary",
        progress_message = "Writing summary of %{label}",
        verb = verb(
            "summary",
            args,
            inputs = depset([tag, digest] + files.values() + [model.description for model in models]),
        ),
        outputs = [output],
    )
    return output

def write_bento_report(ctx, *, archive, described, metadata, models, snapshot):
    """Declares the report of a Bento.

    Args:
      ctx: context of bento_package.
      archive: File, the target's `.bento`.
      described: result of `describe_metadata`.
      metadata: File, the part with the environment.
      models: list of BentoModelInfo.
      snapshot: result of `read_sources`.

    Returns:
      A list of two Files: JSON and HTML.
    """
    report = ctx.actions.declare_file(ctx.label.name + ".report.json")
    page = ctx.actions.declare_file(ctx.label.name + ".report.html")
    args = arguments(ctx)
    args.add("--target", label_string(ctx.label))
    args.add("--archive", archive)
    args.add("--digest", described.digest)
    args.add("--manifest", described.manifest)
    args.add("--part", metadata)
    args.add("--service-info", snapshot.service)
    args.add("--tag", described.tag)
    for model in models:
        args.add_all(["--model", model.description, model.manifest])
    for file in ctx.files.report_against:
        args.add_all(["--against", file, file.short_path])
    args.add("--output", report)
    args.add("--page", page)
    run_helper(
        ctx,
        mnemonic = "BentoReport",
        progress_message = "Writing report of %{label}",
        verb = verb(
            "report",
            args,
            inputs = depset(
                [archive, described.digest, described.manifest, described.tag, metadata, snapshot.service] +
                [file for model in models for file in (model.description, model.manifest)] +
                ctx.files.report_against,
            ),
        ),
        outputs = [report, page],
    )
    return [report, page]

def write_layer_report(ctx, layers, parts):
    """Declares the report of an image's layers (BentoLayerInfo) and wheels (BentoWheelPartInfo); returns two Files: JSON and HTML.

    Args:
      ctx: context of a rule.
      layers: list of BentoLayerInfo.
      parts: list of BentoWheelPartInfo.

    Returns:
      Two Files: JSON and HTML.
    """
    report = ctx.actions.declare_file(ctx.label.name + ".layers.json")
    page = ctx.actions.declare_file(ctx.label.name + ".layers.html")
    excluded = [part.excluded for part in parts if part.excluded]
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(["--bento", BENTO])
    for layer in layers:
        if layer.blob:
            args.add_all(["--layer", layer.description, layer.blob])
        else:
            args.add_all(["--elsewhere", layer.description])
    args.add_all(ctx.files.report_against, before_each = "--against")
    args.add_all([part.wheel.distribution for part in parts if part.wheel.allow_record_mismatch], before_each = "--allow-record-mismatch")
    args.add_all(excluded, before_each = "--excluded")
    args.add_all(["--output", report])
    args.add_all(["--page", page])
    run_helper(
        ctx,
        mnemonic = "BentoLayerReport",
        progress_message = "Writing layer report of %{label}",
        verb = verb(
            "layer_report",
            args,
            inputs = depset(ctx.files.report_against + excluded + [file for layer in layers for file in (layer.description, layer.blob) if file]),
            packages = ["zstandard"],
        ),
        outputs = [report, page],
    )
    return [report, page]
