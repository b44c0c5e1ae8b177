"""Checks of an image that run beside its build."""

load("//rules/providers:deb_layer.bzl", "BentoDebLayerInfo")
load(":attributes.bzl", "label_text")
load(":helper.bzl", "arguments", "run_helper")
load(":image_sbom.bzl", "known_debs")

def check_image(ctx, base, parts, layers):
    """What would go wrong only in production, as an action beside the build of the image.

    Args:
      ctx: context of `bento_image`.
      base: its BentoBaseInfo.
      parts: list of BentoWheelPartInfo.
      layers: list of BentoLayerInfo.

    Returns:
      A File, empty if all is well.
    """
    output = ctx.actions.declare_file(ctx.label.name + ".checked")
    libraries = [part.libraries for part in parts if part.libraries]
    descriptions = [layer.description for layer in layers]
    known = (base.debs or base.libraries) and not [target for target in ctx.attr.layers if BentoDebLayerInfo not in target]
    debs = known_debs(ctx, base) if known else []
    below = [base.libraries] if known and base.libraries else []
    args = arguments(ctx)
    args.add_all(["--target", label_text(ctx.label)])
    args.add_all(["--base", base.name])
    args.add_all(["--base-config", base.config])
    if base.glibc:
        args.add_all(["--glibc", base.glibc])
    args.add_all(below, before_each = "--base-libraries")
    args.add_all(debs, before_each = "--index")
    args.add_all(libraries, before_each = "--libraries")
    args.add_all([part.wheel.file.basename for part in parts], before_each = "--wheel")
    args.add_all(ctx.attr.unchecked_libraries, before_each = "--unchecked")
    args.add_all(["--size-limit", str(ctx.attr.size_limit * 1000000)])
    args.add_all(descriptions, before_each = "--layer")
    args.add_all(["--output", output])
    run_helper(
        ctx,
        mnemonic = "BentoImageCheck",
        progress_message = "Checking image %{label}",
        verb = "check_image",
        args = args,
        inputs = depset([base.config] + below + debs + libraries + descriptions),
        outputs = [output],
    )
    return output
