"""Describes what an image or a Bento is made of: the half of SLSA's provenance that is the same wherever it is built."""

load(":attributes.bzl", "add_wheels", "label_string", "json_string")
load(":helper.bzl", "arguments", "run_helper", "verb")

def bento_inputs(bento, *, models, platform = "", python_version = ""):
    """Describes what a Bento, or an image of it, is made of.

    Args:
      bento: a struct with the Files `tag` and `digest` of the Bento.
      models: list of BentoModelInfo, those that it needs.
      platform: what it is for, `<os>_<machine>`; may be empty.
      python_version: the Python that it is for.

    Returns:
      A struct for `write_build_definition`.
    """
    return struct(
        digest = bento.digest,
        models = [model.description for model in models],
        platform = platform,
        python_version = python_version,
        tag = bento.tag,
    )

def image_inputs(*, base, debs, layers, wheels):
    """Describes what an image has beyond its Bento.

    Args:
      base: File, the config of its base.
      debs: list of Files that say which Debian packages it has.
      layers: list of Files, descriptions of layers that it takes as they are.
      wheels: list of the BentoWheelInfo that it has.

    Returns:
      A struct for `write_build_definition`.
    """
    return struct(base = base, debs = debs, layers = layers, wheels = wheels)

def write_build_definition(ctx, *, bento, locked = None, image = None):
    """Declares the action that writes it. It runs where something signed is pushed, and nowhere else.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      bento: what `bento_inputs` returned.
      locked: File, the requirements of a Bento, which have their hashes, or None.
      image: what `image_inputs` returned; None for a Bento.

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
        progress_message = "Writing of what %{label} is made",
        verb = verb("build_definition", args, inputs = depset(inputs), packages = ["blake3"]),
        outputs = [output],
    )
    return output
