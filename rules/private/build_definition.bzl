"""Of what an image or a Bento is made: the half of SLSA's provenance that is the same wherever it is built."""

load(":attributes.bzl", "label_text")
load(":helper.bzl", "arguments", "run_helper")

def write_build_definition(
        ctx,
        *,
        kind,
        tag,
        digest,
        models,
        platform,
        python_version,
        base = None,
        debs = [],
        layers = [],
        locked = None,
        wheels = []):
    """Declares the action that writes it. It runs where something signed is pushed, and nowhere else.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      kind: `bento` or `image`.
      tag: File with the Bento's tag.
      digest: File with the Bento's digest.
      models: list of the Files that describe its models.
      platform: what it is for, `<os>_<machine>`; may be empty.
      python_version: the Python that it is for.
      base: File, the config of an image's base, or None.
      debs: list of Files that say which Debian packages an image has.
      layers: list of Files, descriptions of layers that an image takes as they are.
      locked: File, the requirements of a Bento with their hashes, or None.
      wheels: list of the BentoWheelInfo of an image.

    Returns:
      A File.
    """
    output = ctx.actions.declare_file("{}.build_definition.json".format(ctx.label.name))
    built = [wheel for wheel in wheels if not wheel.sha256]
    args = arguments(ctx)
    args.add_all(["--target", label_text(ctx.label)])
    args.add_all(["--kind", kind, "--platform", platform, "--python-version", python_version])
    args.add_all(["--tag", tag])
    args.add_all(["--bento-digest", digest])
    args.add_all([base] if base else [], before_each = "--base-config")
    args.add_all(debs, before_each = "--index")
    args.add_all(layers, before_each = "--layer")
    args.add_all([locked] if locked else [], before_each = "--locked")
    args.add_all(models, before_each = "--model")
    for wheel in wheels:
        name = [wheel.distribution, wheel.version]
        args.add_all(["--wheel"] + name + [wheel.sha256] if wheel.sha256 else ["--built-wheel"] + name + [wheel.file])
    args.add_all(["--output", output])
    known = [file for file in (base, locked) if file]
    run_helper(
        ctx,
        mnemonic = "BentoBuildDefinition",
        progress_message = "Writing of what %{label} is made",
        verb = "build_definition",
        args = args,
        inputs = depset([tag, digest] + known + debs + layers + models + [wheel.file for wheel in built]),
        outputs = [output],
        packages = ["blake3"],
    )
    return output
