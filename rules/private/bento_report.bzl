"""Reports for people what is in a Bento."""

load(":attributes.bzl", "label_text")
load(":helper.bzl", "arguments", "run_helper", "verb")

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
    args.add("--target", label_text(ctx.label))
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
