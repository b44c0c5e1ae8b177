"""The action that sums a Bento or an image up; it runs if its output group is asked for."""

load(":attributes.bzl", "label_text")
load(":helper.bzl", "arguments", "run_helper", "verb")

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
    args.add("--target", label_text(ctx.label))
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
