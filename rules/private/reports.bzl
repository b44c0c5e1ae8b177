"""The action that sums a Bento or an image up; it runs if its output group is asked for."""

load(":attributes.bzl", "label_string")
load(":helper.bzl", "arguments", "run_helper", "verb")
load(":layers.bzl", "BENTO")

def write_summary(ctx, *, tag, digest, files, models = []):
    """Declares the summary of a target.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      tag: file with the Bento's tag.
      digest: file with the digest of what the target makes.
      files: flag to file, what the figures are taken from: `--archive` and `--manifest`, or `--image-manifest`.
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
        progress_message = "Summing %{label} up",
        verb = verb(
            "summary",
            args,
            inputs = depset([tag, digest] + files.values() + [model.description for model in models]),
        ),
        outputs = [output],
    )
    return output

def write_bento_report(ctx, *, archive, described, metadata, models, snapshot):
    """Declares the report of a Bento; made only if its output group is asked for.

    Args:
      ctx: context of bento_package.
      archive: File, the target's `.bento`.
      described: what `describe_metadata` returned.
      metadata: File, the part with the environment.
      models: list of BentoModelInfo.
      snapshot: what `read_sources` returned.

    Returns:
      A list of two Files: JSON, and a page.
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
        progress_message = "Reporting what is in %{label}",
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
    """Declares a report for people on what is in the layers; made only if its output group is asked for.

    Args:
      ctx: context of `bento_image`.
      layers: list of BentoLayerInfo.
      parts: list of the BentoWheelPartInfo of the wheels that are in it.

    Returns:
      A list of two Files: JSON, and a page.
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
        progress_message = "Looking into the layers of %{label}",
        verb = verb(
            "layer_report",
            args,
            inputs = depset(ctx.files.report_against + excluded + [file for layer in layers for file in (layer.description, layer.blob) if file]),
            packages = ["zstandard"],
        ),
        outputs = [report, page],
    )
    return [report, page]
