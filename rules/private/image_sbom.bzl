"""The SBOM of an image."""

load("//rules:providers.bzl", "BentoDebLayerInfo")
load(":attributes.bzl", "add_wheels", "creation_time", "label_string")
load(":helper.bzl", "arguments", "run_helper", "verb")

# SBOM formats: suffix of the file name, and media type.
SBOM_FORMATS = {
    "cyclonedx": ("cdx", "application/vnd.cyclonedx+json"),
    "spdx": ("spdx", "application/spdx+json"),
}

def deb_indexes(ctx, base):
    """Returns the list of Files with the known Debian packages of the base and of layers, see BentoDebLayerInfo.index."""
    layers = [target[BentoDebLayerInfo].index for target in ctx.attr.layers if BentoDebLayerInfo in target]
    return [base.deb_index] + layers if base.deb_index else layers

def write_sbom(ctx, base, bento, image, contents):
    """Declares the SBOM of the image.

    Args:
      ctx: context of `bento_image`.
      base: its BentoBaseInfo.
      bento: its BentoInfo.
      image: struct of its digest, a File.
      contents: struct of `models`, list of BentoModelInfo, and `parts`, list of BentoWheelPartInfo.

    Returns:
      A struct of file and media_type.
    """
    suffix, media_type = SBOM_FORMATS[ctx.attr.sbom_format]
    output = ctx.actions.declare_file("{}.{}.json".format(ctx.label.name, suffix))
    models = [model.description for model in contents.models]
    debs = deb_indexes(ctx, base)
    wheels = [part.wheel for part in contents.parts]
    excluded = [part.excluded for part in contents.parts if part.excluded]
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(["--format", ctx.attr.sbom_format])
    args.add_all(["--created", creation_time(ctx)])
    args.add_all(["--base-config", base.config])
    args.add_all(["--bento-digest", bento.digest])
    args.add_all(["--digest", image.digest])
    args.add_all(["--tag", bento.tag])
    args.add_all(debs, before_each = "--index")
    args.add_all(models, before_each = "--model")
    built = add_wheels(args, wheels)
    args.add_all([wheel.distribution for wheel in wheels if wheel.allow_record_mismatch], before_each = "--allow-record-mismatch")
    args.add_all(excluded, before_each = "--excluded")
    args.add_all(["--output", output])
    run_helper(
        ctx,
        mnemonic = "BentoSbom",
        progress_message = "Writing SBOM of %{label}",
        verb = verb(
            "sbom",
            args,
            inputs = depset([base.config, bento.digest, bento.tag, image.digest] + debs + models + built + excluded),
            packages = ["blake3"],
        ),
        outputs = [output],
    )
    return struct(file = output, media_type = media_type)
