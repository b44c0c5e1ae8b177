"""Defines build_image, which builds the image of a Bento or of a Python program from a base, packages, and other
layers."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("//rules:providers.bzl", "BentoBaseInfo", "BentoImageInfo", "BentoModelInfo")
load(
    ":attributes.bzl",
    "CREATION_TIME",
    "STAMP",
    "STAMPED_VALUES",
    "creation_time",
    "json_pairs",
    "json_strings",
    "label_string",
    "stamped_flags",
)
load(":helper.bzl", "TOOLCHAIN_TYPE", "run_leaf", "subcommand")
load(":image_checks.bzl", "check_libraries", "check_size", "scan_added_layers")
load(":image_form.bzl", "write_form")
load(
    ":layers.bzl",
    "BENTO",
    "BYTECODES",
    "COMPRESSIONS",
    "ENVIRONMENT",
    "HOME",
    "added_layers",
    "environment_flags",
    "write_joined_layer",
    "write_layer",
)
load(":providers.bzl", "BentoWheelPartsInfo")
load(":reports.bzl", "SBOM_FORMATS", "write_build_definition", "write_layer_report", "write_sbom", "write_summary")
load(":target.bzl", "IMAGE_PLATFORM")
load(":wheel_groups.bzl", "group_wheels")

# Maximum of wheel layers, and of layers with their bytecode. The rest of the 127 layers of an image is for base,
# models, sources, and images on top.
_MAX_WHEEL_LAYERS = 30

# Attributes of rules that build an image. They also have `entrypoint`, `env`, `labels`, `ports`, and `working_dir`.
IMAGE = {
    "annotations": attr.string_dict(
        doc = "Annotations of the manifest, in addition to title, version, creation time, and base. Annotations " +
              "`org.opencontainers.image.*` are also labels. " + STAMPED_VALUES,
    ),
    "base": attr.label(
        doc = "Image base with Python and the system libraries.",
        mandatory = True,
        providers = [BentoBaseInfo],
    ),
    "bytecode": attr.string(
        default = "unchecked-hash",
        doc = "Bytecode of the packages, in separate layers: `none`, `checked-hash` (compared with the source), or " +
              "`unchecked-hash` (PEP 552).",
        values = ["none"] + BYTECODES,
    ),
    "cmd": attr.string_list(
        doc = "Arguments after `entrypoint`, which users can replace, in a `python_image` together with `entrypoint`.",
    ),
    "compression": attr.string(
        default = "gzip",
        doc = "Compression of the layers. `gzip` also requires a base and `layers` with gzip. `zstd` layers are a " +
              "little smaller, but not all runtimes read them.",
        values = COMPRESSIONS,
    ),
    "layers": attr.label_list(
        allow_files = True,
        doc = "Additional layers, from bottom to top, below the last layer: tar files, such as outputs of " +
              "`pkg_tar`, or targets that provide BentoLayerInfo, or models.",
    ),
    "sbom_format": attr.string(
        default = "cyclonedx",
        doc = "Format of the SBOM: CycloneDX 1.6 or SPDX 2.3, in JSON.",
        values = sorted(SBOM_FORMATS),
    ),
    "size_limit": attr.int(doc = "Maximum total size of the compressed layers, in megabytes. Default: no limit."),
    "soci": attr.bool(doc = "Whether to add a SOCI index for lazy pulling. The image is then an OCI index."),
    "ignore_libraries": attr.string_list(
        doc = "File names of shared libraries and programs that the checks ignore: unused files, and intended " +
              "duplicates.",
    ),
    "user": attr.string(default = "1034:1034", doc = "User and group of the process (`uid:gid`)."),
    "_gpu": attr.label(default = "//rules:gpu", providers = [BuildSettingInfo]),
} | CREATION_TIME | IMAGE_PLATFORM | STAMP

def _environment_layer(ctx, base):
    """Declares the layer with an empty virtual environment and the user's home directory. Returns a BentoLayerInfo."""
    flags = environment_flags(base.python_version) | {"--home": HOME, "--python": base.python}
    return write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = ctx.label.name + ".environment",
        progress_message = "Writing environment layer of %{label}",
        subcommand = subcommand(ctx, "environment_layer", flags),
    )

def _bytecode(ctx, base, parts):
    """Returns the BentoWheelPartInfo of the bytecode of each wheel in `parts`.

    Fails without an interpreter of the base's version. Versions `X.Y.Z` are compared if they are known, because
    releases write other bytecode.
    """
    bytecode = []
    for part in parts if ctx.attr.bytecode != "none" else []:
        release = base.python_release or base.python_version
        own = part.compiler.version if part.compiler else ctx.toolchains[TOOLCHAIN_TYPE].python.version
        tag = "bento_tools.python(version = \"{}\")".format(base.python_version)
        if part.compiler:  # the version alone selects its release again
            tag = ("python.override(minor_mapping = {{\"{}\": \"{}\"}}) of rules_python, or with debian_lock or " +
                   "interpreter of bento_tools.python").format(base.python_version, release)
        if not part.compiler or (own.count(".") == release.count(".") and own != release):
            fail(("{target}: the base has Python {release}, but Python {own} would compile the bytecode. In " +
                  "MODULE.bazel, select an interpreter with {tag}. Or use a base with Python {own}, or " +
                  "declare the image with bytecode = \"none\".").format(
                own = own,
                release = release,
                tag = tag,
                target = label_string(ctx.label),
            ))
        bytecode.append(part.bytecode[BYTECODES.index(ctx.attr.bytecode)])
    return bytecode

def _package_layers(ctx, kind, parts, groups):
    """Declares a layer for each group of wheels (`kind`: `wheels`) or of their bytecode (`bytecode`).

    Returns a list of BentoLayerInfo. Without parts, the list is empty.
    """

    # A large wheel alone in its group has a layer that images share.
    by_name = {part.wheel.distribution: part for part in parts}
    members = [[by_name[name] for name in names] for names in groups] if parts else []
    alone = [group[0].layer for group in members if len(group) == 1 and group[0].layer]
    return alone + [
        write_joined_layer(
            ctx,
            name = "{}.{}-{}".format(ctx.label.name, kind, group[0].wheel.distribution),
            parts = group,
            compression = ctx.attr.compression,
            what = "bytecode of " if kind == "bytecode" else "",
        )
        for group in members
        if len(group) > 1 or not group[0].layer
    ]

def _libraries(parts, groups):
    """Returns the Files that list the shared libraries of wheels.

    Outputs of the actions that write the image's layers and layer parts.
    """
    alone = {names[0]: None for names in groups if len(names) == 1}
    return [
        part.layer_libraries if part.layer and part.wheel.distribution in alone else part.part_libraries
        for part in parts
    ]

def _soci(ctx, layers):
    """Returns the flags and outputs (flag to suffix) for the SOCI index. Both are empty without `soci`."""
    if not ctx.attr.soci:
        return {}, {}
    if ctx.attr.compression != "gzip":
        fail(
            ("{}: soci requires gzip layers, but compression is \"{}\". Set compression " +
             "= \"gzip\", or remove soci.").format(label_string(ctx.label), ctx.attr.compression),
        )
    return {
        "--ztoc": [layer.ztoc.description for layer in layers if layer.ztoc],
    }, {"--index": ".index.json", "--soci": ".soci.json"}

def _assemble(ctx, base, subject, process, layers, models):
    """Declares the action that writes the config and manifest from the descriptions of layers.

    Returns a struct of its output Files.
    """
    soci_flags, soci_outputs = _soci(ctx, layers)
    outputs = run_leaf(
        ctx,
        "image",
        {
            "--base-config": base.config,
            "--bento": BENTO if subject.bento_yaml else None,
            "--bento-yaml": subject.bento_yaml,
            "--cmd": ctx.attr.cmd,
            "--compression": ctx.attr.compression,
            "--created": creation_time(ctx),
            "--entrypoint": process.entrypoint,
            "--env": json_pairs(process.env),
            "--environment": ENVIRONMENT,
            "--home": HOME,
            "--layer": [layer.description for layer in layers],
            "--model": models,
            "--port": ctx.attr.ports,
            "--provided": json_strings(process.ignore_system_requirements),
            "--python-release": base.python_release or None,
            "--tag": None if subject.bento_yaml else subject.tag,
            "--user": ctx.attr.user,
            "--working-dir": process.working_dir or None,
        } | stamped_flags(ctx, {"--annotation": ctx.attr.annotations, "--label": ctx.attr.labels}) | soci_flags,
        mnemonic = "BentoImage",
        outputs = {"--config": ".config.json", "--digest": ".digest", "--manifest": ".manifest.json"} | soci_outputs,
        packages = ["pyyaml"] if subject.bento_yaml else [],
        progress_message = "Writing image %{label}",
    )
    config, digest, manifest = outputs[:3]
    index, soci = outputs[3:] or (None, None)
    return struct(config = config, digest = digest, index = index, manifest = manifest, soci = soci)

def image_packages(split, requirements):
    """Returns the argument `packages` of `build_image`.

    `split` is an attribute with a split transition to the files of packages.
    """

    # Only a few dozen wheels, so the lists are short. The sizes determine the layers. If the packages of a Bento are
    # from bento.pypi, the image excludes packages that its libraries have in package hubs of rules_python.
    wheels = {wheel.file.short_path: True for info in requirements for wheel in info.wheels.to_list()}
    parts = [
        part
        for part in split["packages"][BentoWheelPartsInfo].parts.to_list()
        if part.wheel.file.short_path in wheels
    ]
    return struct(parts = parts, requirements = requirements)

def build_image(ctx, *, subject, packages, contents, process, system_checks = []):
    """Declares an image that consists of a base, a virtual environment, packages, and layers on top of them.

    Args:
      ctx: context of a rule with the attributes of `IMAGE`, and `TOOLCHAIN_TYPE` among its toolchains.
      subject: BentoInfo, or a struct of its fields `digest` and `tag`, and of `bento_yaml = None`.
      packages: struct of lists: `parts` (BentoWheelPartInfo) and `requirements` (BentoRequirementInfo).
      contents: struct of `models` and `upper` (lists of BentoModelInfo and BentoLayerInfo below and above the
        attribute `layers`), and `mounted` (descriptions of models that containers mount).
      process: struct of `entrypoint`, `env`, `ignore_system_requirements`, and `working_dir`, with the types of the
        attributes of `bento_image`;
        of `files` (depset of Files in the image's `directory`, or None for unknown files); and of `imports` (File of
        `BentoInfo`, or None).
      system_checks: list of outputs of `check_system`.

    Returns:
      A list of the providers.
    """
    base = ctx.attr.base[BentoBaseInfo]
    parts = packages.parts
    groups = group_wheels({part.wheel.distribution: part.wheel.size for part in parts}, _MAX_WHEEL_LAYERS)
    own_base = list(base.layers) if base.deb_index else []  # layers of an existing image are not rewritten
    own_layers = added_layers(ctx)
    models = contents.models + [target[BentoModelInfo] for target in ctx.attr.layers if BentoModelInfo in target]
    stacked = (
        list(base.layers) +
        [_environment_layer(ctx, base)] +
        _package_layers(ctx, "wheels", parts, groups) +
        _package_layers(ctx, "bytecode", _bytecode(ctx, base, parts), groups) +
        [layer for model in models for layer in model.layers[ctx.attr.compression]] +
        own_layers +
        contents.upper
    )
    image = _assemble(
        ctx,
        base,
        subject,
        process,
        stacked,
        [model.description for model in models] + list(contents.mounted),
    )
    added = scan_added_layers(ctx, own_layers)
    libraries_checked, libraries_checked_early = [
        check_libraries(
            ctx,
            base,
            struct(gpus = system_checks, libraries = libraries, parts = parts, requirements = packages.requirements),
            added,
            process,
            early = early,
        )
        for libraries, early in ((_libraries(parts, groups), False), ([part.libraries for part in parts], True))
    ]
    wheels = [part.wheel for part in parts]
    sbom = write_sbom(
        ctx,
        base,
        subject,
        image,
        struct(libraries = _libraries(parts, groups), models = models, parts = parts),
    )
    debs = [base.deb_index] if base.deb_index else []
    build_definition = write_build_definition(
        ctx,
        bento = subject,
        # An existing base image is listed by digest, and Debian packages by layer.
        image = struct(
            base = base.config,
            debs = debs,
            layers = [layer.description for layer in own_base + own_layers],
            wheels = wheels,
        ),
        models = models,
        python_version = base.python_version,
    )
    return [
        BentoImageInfo(
            bento_yaml = subject.bento_yaml,
            build_definition = build_definition,
            config = image.config,
            digest = image.digest,
            index = image.index,
            layers = tuple(stacked),
            manifest = image.manifest,
            referrers = (sbom,),
            soci = image.soci,
        ),
        DefaultInfo(files = depset([image.config, image.digest, image.manifest])),
        OutputGroupInfo(
            _validation = depset([libraries_checked] + system_checks + check_size(ctx, stacked)),
            build_definition = depset([build_definition]),
            checked = depset([libraries_checked_early] + system_checks),
            docker_archive = depset([write_form(ctx, image, stacked, "docker_archive")]),
            oci_layout = depset([write_form(ctx, image, stacked, "oci_layout")]),
            report = depset(write_layer_report(ctx, stacked, parts)),
            sbom = depset([sbom.file]),
            summary = depset(write_summary(
                ctx,
                tag = subject.tag,
                digest = image.digest,
                files = {"--image-manifest": image.manifest},
            )),
        ),
    ]
