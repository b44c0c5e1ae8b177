"""Declares the actions that describe a Bento or an image: summaries, reports, SBOMs, and build definitions.

Images don't depend on these actions.
"""

load(":attributes.bzl", "add_wheels", "creation_time", "json_string")
load(":helper.bzl", "run_helper", "subcommand", "target_arguments", "write_output")
load(":layers.bzl", "BENTO")
load(":target.bzl", "platform_name")

def write_summary(ctx, *, tag, digest, files, models = []):
    """Declares the summary, JSON: tag, digest, and the sizes of models and of `files`, a dict of flag to File.

    Returns the File.
    """
    args = target_arguments(ctx)
    args.add_all(["--tag", tag, "--digest", digest])
    for flag, file in files.items():
        args.add_all([flag, file])
    args.add_all([model.description for model in models], before_each = "--model")
    return write_output(
        ctx,
        ctx.actions.declare_file(ctx.label.name + ".summary.json"),
        mnemonic = "BentoSummary",
        progress_message = "Writing summary of %{label}",
        subcommand = subcommand(
            "summary",
            args,
            inputs = depset([tag, digest] + files.values() + [model.description for model in models]),
        ),
    )

def write_bento_report(ctx, bento, *, archive, metadata, models, snapshot):
    """Declares the report of a Bento (BentoInfo).

    `metadata` is the archive part with bento.yaml. Returns two Files: JSON and HTML.
    """
    report = ctx.actions.declare_file(ctx.label.name + ".report.json")
    page = ctx.actions.declare_file(ctx.label.name + ".report.html")
    args = target_arguments(ctx)
    args.add_all(["--archive", archive, "--digest", bento.digest, "--manifest", bento.manifest, "--part", metadata])
    args.add("--python-version", bento.python_version)
    args.add_all(["--service-info", snapshot.service, "--tag", bento.tag])
    for model in models:
        args.add_all(["--model", model.description, model.manifest])
    args.add_all(["--date", creation_time(ctx), "--output", report, "--page", page])
    run_helper(
        ctx,
        mnemonic = "BentoReport",
        progress_message = "Writing report of %{label}",
        subcommand = subcommand(
            "report",
            args,
            inputs = depset(
                [archive, bento.digest, bento.manifest, bento.tag, metadata, snapshot.service] +
                [file for model in models for file in (model.description, model.manifest)],
            ),
            packages = ["jinja2", "packaging"],
        ),
        outputs = [report, page],
    )
    return [report, page]

def write_layer_report(ctx, layers, parts):
    """Declares the report of an image with `layers` and wheels (BentoWheelPartInfo).

    Returns two Files: JSON and HTML.
    """
    report = ctx.actions.declare_file(ctx.label.name + ".report.json")
    page = ctx.actions.declare_file(ctx.label.name + ".report.html")
    excluded = [part.excluded for part in parts if part.excluded]
    args = target_arguments(ctx)
    args.add_all(["--bento", BENTO])
    for layer in layers:
        if layer.blob:
            args.add_all(["--layer", layer.description, layer.blob])
        else:
            args.add_all(["--elsewhere", layer.description])
    args.add_all(
        [part.wheel.distribution for part in parts if part.wheel.allow_record_mismatch],
        before_each = "--allow-record-mismatch",
    )
    args.add_all(excluded, before_each = "--excluded")
    args.add_all(["--date", creation_time(ctx), "--output", report, "--page", page])
    run_helper(
        ctx,
        mnemonic = "BentoLayerReport",
        progress_message = "Writing layer report of %{label}",
        subcommand = subcommand(
            "layer_report",
            args,
            inputs = depset(excluded + [file for layer in layers for file in (layer.description, layer.blob) if file]),
            packages = ["jinja2", "packaging", "pyyaml", "zstandard"],
        ),
        outputs = [report, page],
    )
    return [report, page]

# SBOM format to the suffix of the file name and the media type.
SBOM_FORMATS = {"cyclonedx": ("cdx", "application/vnd.cyclonedx+json"), "spdx": ("spdx", "application/spdx+json")}

def write_sbom(ctx, base, subject, image, contents):
    """Declares the SBOM of an image of `subject`. Returns a struct of `file` and `media_type`.

    `contents` has lists: `models`, `parts`, and `libraries`, the Files that describe the wheels of the parts.
    """
    suffix, media_type = SBOM_FORMATS[ctx.attr.sbom_format]
    models = [model.description for model in contents.models]
    debs = [base.deb_index] if base.deb_index else []
    system = [base.system] if base.system else []
    wheels = [part.wheel for part in contents.parts]
    excluded = [part.excluded for part in contents.parts if part.excluded]
    args = target_arguments(ctx)
    args.add_all(["--format", ctx.attr.sbom_format, "--created", creation_time(ctx), "--base-config", base.config])
    args.add_all(["--bento-digest", subject.digest, "--digest", image.digest, "--tag", subject.tag])
    if not subject.bento_yaml:
        args.add("--program")
    args.add_all(debs, before_each = "--index")
    args.add_all(system, before_each = "--base-system")
    args.add_all(models, before_each = "--model")
    args.add_all(contents.libraries, before_each = "--libraries")
    built = add_wheels(args, wheels)
    args.add_all(
        [wheel.distribution for wheel in wheels if wheel.allow_record_mismatch],
        before_each = "--allow-record-mismatch",
    )
    args.add_all(excluded, before_each = "--excluded")
    file = write_output(
        ctx,
        ctx.actions.declare_file("{}.{}.json".format(ctx.label.name, suffix)),
        mnemonic = "BentoSbom",
        progress_message = "Writing SBOM of %{label}",
        subcommand = subcommand(
            "sbom",
            args,
            inputs = depset(
                [
                    base.config,
                    subject.digest,
                    subject.tag,
                    image.digest,
                ] + debs + system + models + built + excluded + contents.libraries,
            ),
            packages = ["blake3", "packaging"],
        ),
    )
    return struct(file = file, media_type = media_type)

def write_build_definition(ctx, *, bento, models, python_version, locked = None, image = None):
    """Declares the action that writes a build definition.

    It runs only for a signed push, or if the output group is requested.

    Args:
      ctx: context of a rule with the attributes of `PLATFORM` or `IMAGE_PLATFORM`, and `TOOLCHAIN_TYPE` among its
        toolchains.
      bento: struct of the Files `digest`, `tag`, and `bento_yaml` (None for a program).
      models: list of BentoModelInfo.
      python_version: Python version of the packages (`X.Y`).
      locked: File with the locked requirements of a Bento, including hashes; or None.
      image: struct of the inputs of an image except the Bento: `base` (File), and the lists `debs` and `layers`
        (Files) and `wheels`
        (BentoWheelInfo); None for the build definition of a Bento.

    Returns:
      The output File, JSON.
    """
    descriptions = [model.description for model in models]
    inputs = [bento.tag, bento.digest] + descriptions
    args = target_arguments(ctx)
    args.add_all([
        "--kind",
        "image" if image else "bento",
        "--platform",
        platform_name(ctx),
        "--python-version",
        python_version,
    ])
    args.add_all(["--tag", bento.tag, "--bento-digest", bento.digest])
    if not bento.bento_yaml:
        args.add("--program")
    args.add_all(descriptions, before_each = "--model")
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
    return write_output(
        ctx,
        ctx.actions.declare_file(ctx.label.name + ".build_definition.json"),
        mnemonic = "BentoBuildDefinition",
        progress_message = "Writing build definition of %{label}",
        subcommand = subcommand("build_definition", args, inputs = depset(inputs), packages = ["blake3"]),
    )
