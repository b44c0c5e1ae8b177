"""What is in the layers of an image."""

load(":attributes.bzl", "label_text")
load(":helper.bzl", "arguments", "run_helper", "verb")
load(":layers.bzl", "BENTO")

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
    args.add_all(["--target", label_text(ctx.label)])
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
