"""Declares the actions that describe a Bento or an image: summaries, reports, SBOMs, and build definitions.

Images don't depend on these actions.
"""

load(":attributes.bzl", "creation_time", "wheel_flags")
load(":helper.bzl", "run_leaf")
load(":layers.bzl", "BENTO")
load(":target.bzl", "platform_name")

def write_summary(ctx, *, tag, digest, files, models = []):
    """Declares the summary, JSON: tag, digest, and the sizes of models and of `files`, a dict of flag to File.

    Returns a list of its File.
    """
    return run_leaf(
        ctx,
        "summary",
        {"--tag": tag, "--digest": digest, "--model": [model.description for model in models]} | files,
        mnemonic = "BentoSummary",
        outputs = {"--output": ".summary.json"},
        progress_message = "Writing summary of %{label}",
    )

_REPORT = {"--output": ".report.json", "--page": ".report.html"}

def write_bento_report(ctx, bento, *, archive, metadata, models, snapshot):
    """Declares the report of a Bento (BentoInfo).

    `metadata` is the archive part with bento.yaml. Returns two Files: JSON and HTML.
    """
    return run_leaf(
        ctx,
        "report",
        {
            "--archive": archive,
            "--date": creation_time(ctx),
            "--digest": bento.digest,
            "--manifest": bento.manifest,
            "--model": [(model.description, model.manifest) for model in models],
            "--part": metadata,
            "--python-version": bento.python_version,
            "--service-info": snapshot.service,
            "--tag": bento.tag,
        },
        mnemonic = "BentoReport",
        outputs = _REPORT,
        packages = ["jinja2", "packaging"],
        progress_message = "Writing report of %{label}",
    )

def _excluded(parts):
    """Returns the flags for files that are excluded from wheels, and for wheels whose RECORD can differ."""
    return {
        "--allow-record-mismatch": [part.wheel.distribution for part in parts if part.wheel.allow_record_mismatch],
        "--excluded": [part.excluded for part in parts if part.excluded],
    }

def write_layer_report(ctx, layers, parts):
    """Declares the report of an image with `layers` and wheels (BentoWheelPartInfo).

    Returns two Files: JSON and HTML.
    """
    return run_leaf(
        ctx,
        "layer_report",
        {
            "--bento": BENTO,
            "--date": creation_time(ctx),
            "--elsewhere": [layer.description for layer in layers if not layer.blob],
            "--layer": [(layer.description, layer.blob) for layer in layers if layer.blob],
        } | _excluded(parts),
        mnemonic = "BentoLayerReport",
        outputs = _REPORT,
        packages = ["jinja2", "packaging", "pyyaml", "zstandard"],
        progress_message = "Writing layer report of %{label}",
    )

# SBOM format to the suffix of the file name and the media type.
SBOM_FORMATS = {"cyclonedx": ("cdx", "application/vnd.cyclonedx+json"), "spdx": ("spdx", "application/spdx+json")}

def write_sbom(ctx, base, subject, image, contents):
    """Declares the SBOM of an image of `subject`. Returns a struct of `file` and `media_type`.

    `contents` has lists: `models`, `parts`, and `libraries`, the Files that describe the wheels of the parts.
    """
    suffix, media_type = SBOM_FORMATS[ctx.attr.sbom_format]
    [file] = run_leaf(
        ctx,
        "sbom",
        {
            "--base-config": base.config,
            "--base-system": base.system,
            "--bento-digest": subject.digest,
            "--created": creation_time(ctx),
            "--digest": image.digest,
            "--format": ctx.attr.sbom_format,
            "--index": base.deb_index,
            "--libraries": contents.libraries,
            "--model": [model.description for model in contents.models],
            "--program": not subject.bento_yaml,
            "--tag": subject.tag,
        } | wheel_flags([part.wheel for part in contents.parts]) | _excluded(contents.parts),
        mnemonic = "BentoSbom",
        outputs = {"--output": ".{}.json".format(suffix)},
        packages = ["blake3", "packaging"],
        progress_message = "Writing SBOM of %{label}",
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
      image: struct of the inputs of an image except the Bento: `base` (File), and the lists `debs` and `layers` (Files)
        and `wheels` (BentoWheelInfo); None for the build definition of a Bento.

    Returns:
      The output File, JSON.
    """
    wheels = image.wheels if image else []
    [file] = run_leaf(
        ctx,
        "build_definition",
        {
            "--base-config": image.base if image else None,
            "--bento-digest": bento.digest,
            "--exclude": [
                (json.encode(wheel.distribution), json.encode(pattern))
                for wheel in wheels
                for pattern in wheel.exclude + wheel.exclude_preset
            ],
            "--index": image.debs if image else None,
            "--kind": "image" if image else "bento",
            "--layer": image.layers if image else None,
            "--locked": locked,
            "--model": [model.description for model in models],
            "--platform": platform_name(ctx),
            "--program": not bento.bento_yaml,
            "--python-version": python_version,
            "--tag": bento.tag,
        } | wheel_flags(wheels),
        mnemonic = "BentoBuildDefinition",
        outputs = {"--output": ".build_definition.json"},
        packages = ["blake3"],
        progress_message = "Writing build definition of %{label}",
    )
    return file
