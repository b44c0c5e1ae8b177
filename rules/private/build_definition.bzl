"""Describes the inputs of an image or a Bento: the part of SLSA's provenance that is independent of the builder."""

load(":attributes.bzl", "add_wheels", "json_string", "label_string")
load(":helper.bzl", "arguments", "run_helper", "verb")

def bento_inputs(bento, *, models, platform = "", python_version = ""):
    """Describes the inputs of a Bento, a struct with the Files `tag` and `digest`, for `write_build_definition`."""
    return struct(
        digest = bento.digest,
        models = [model.description for model in models],
        platform = platform,
        python_version = python_version,
        tag = bento.tag,
    )

def image_inputs(*, base, debs, layers, wheels):
    """Describes the inputs of an image other than its Bento, for `write_build_definition`.

    Args:
      base: File, the config of its base.
      debs: list of Files with the Debian packages of the image.
      layers: list of Files, descriptions of unchanged layers.
      wheels: list of BentoWheelInfo.

    Returns:
      A struct.
    """
    return struct(base = base, debs = debs, layers = layers, wheels = wheels)

def write_build_definition(ctx, *, bento, locked = None, image = None):
    """Declares the action that writes the build definition. It runs only for a signed push.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      bento: result of `bento_inputs`.
      locked: File with the hashed requirements of a Bento, or None.
      image: result of `image_inputs`; None for a Bento.

    Returns:
      A File.
    """
    output = ctx.actions.declare_file("{}.build_definition.json".format(ctx.label.name))
    inputs = [bento.tag, bento.digest] + bento.models
    args = arguments(ctx)
    args.add("--target", label_string(ctx.label))
    args.add("--kind", "image" if image else "bento")
    args.add_all(["--platform", bento.platform, "--python-version", bento.python_version])
    args.add("--tag", bento.tag)
    args.add("--bento-digest", bento.digest)
    args.add_all(bento.models, before_each = "--model")
    if locked:
        args.add("--locked", locked)
        inputs.append(locked)
    if image:
        args.add("--base-config", image.base)
        args.add_all(image.debs, before_each = "--index")
        args.add_all(image.layers, before_each = "--layer")
        for wheel in image.wheels:
            for pattern in wheel.exclude + wheel.exclude_preset:
                args.add_all(["--exclude", json_string(wheel.distribution), json_string(pattern)])
        inputs += [image.base] + image.debs + image.layers + add_wheels(args, image.wheels)
    args.add("--output", output)
    run_helper(
        ctx,
        mnemonic = "BentoBuildDefinition",
        progress_message = "Writing build definition of %{label}",
        verb = verb("build_definition", args, inputs = depset(inputs), packages = ["blake3"]),
        outputs = [output],
    )
    return output
