"""Defines bento_image, which builds an OCI image from a Bento, the Bento's packages, and an image base."""

load("//rules:providers.bzl", "BentoBaseInfo", "BentoImageInfo", "BentoInfo", "BentoLayerInfo")
load("//rules/private:attributes.bzl", "CREATION_TIME", "STAMP", "add_pairs", "add_strings", "creation_time", "is_stamped", "label_string", "status_files")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper", "subcommand", "target_arguments")
load("//rules/private:image_checks.bzl", "check_libraries", "check_size", "check_system", "scan_added_layers")
load("//rules/private:image_form.bzl", "write_form")
load("//rules/private:layers.bzl", "BENTO", "BYTECODES", "COMPRESSIONS", "HOME", "MOUNTED", "USER", "write_joined_layer", "write_layer", "write_prefetch_layer")
load("//rules/private:providers.bzl", "BentoImagePackagesInfo", "BentoWheelPartsInfo")
load("//rules/private:reports.bzl", "SBOM_FORMATS", "bento_inputs", "deb_indexes", "image_inputs", "write_build_definition", "write_layer_report", "write_sbom", "write_summary")
load("//rules/private:target.bzl", "IMAGE_PLATFORM", "image_cfg", "platform_name")
load("//rules/private:transitions.bzl", "ENVIRONMENT", "metadata_plus_files_cfg")
load("//rules/private:wheel_groups.bzl", "group_wheels")
load("//rules/private:wheel_parts_aspect.bzl", "wheel_parts_aspect")

# Default maximum number of wheel layers. An image can have 127 layers. The other layers are for base, models, sources, and derived images.
_MAX_WHEEL_LAYERS = 40

def _environment_layer(ctx, base):
    """Declares a layer with the virtual environment, without packages, and with the user's home directory."""
    args = arguments(ctx)
    args.add_all(["--prefix", ctx.attr.prefix, "--python", base.python, "--python-version", base.python_version])
    args.add_all(["--home", HOME, "--user", USER])
    return write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = ctx.label.name + ".environment",
        progress_message = "Writing environment layer of %{label}",
        subcommand = subcommand("environment_layer", args, inputs = depset()),
    )

def _check_target(ctx, base, bento):
    """Rejects a Bento whose Python version or platform isn't the base's. Its packages would fail in production."""
    if bento.python_version != base.python_version:
        fail("{}: base {} has Python {}, but the Bento is for Python {}. Set python_version = \"{}\" on the bento_package, and add the version to more_python_versions in bento.pypi.".format(
            ctx.label,
            base.name,
            base.python_version,
            bento.python_version,
            base.python_version,
        ))
    own = ctx.attr.platform or platform_name(ctx)
    if bento.platform != own or ctx.attr.platform not in ("", bento.requested_platform):
        # The transition would build another Bento for the image than the one that is exported and tested.
        fail("{}: the image is for {}, but the Bento is for {}. Set the same platform on both targets, or remove platform from both targets.".format(
            ctx.label,
            own or "an unknown platform",
            bento.requested_platform or "the platform of the build",
        ))

def _check_bytecode(ctx, base, parts):
    for part in parts:
        if not part.part:
            fail(("{target}: bytecode = \"{bytecode}\" requires Python {version}, but actions use Python {own}. " +
                  "Add bento_tools.compiler(version = \"{version}\") to MODULE.bazel, or remove bytecode.").format(
                bytecode = ctx.attr.bytecode,
                own = ctx.toolchains[TOOLCHAIN_TYPE].python.version,
                target = ctx.label,
                version = base.python_version,
            ))

def _check_packages(ctx, parts):
    """Rejects a Bento without a locked bentoml package, because the image couldn't start."""
    if ctx.attr.entrypoint or "bentoml" in [part.wheel.distribution for part in parts]:
        return
    fail(("{}: the requirements of {} don't include bentoml from a package hub, which the image requires. " +
          "Add bento.pypi(name = \"bento_pypi\", lock = ...) to MODULE.bazel, and add the packages of the Bento, including \"@bento_pypi//bentoml\", to requirements. " +
          "If layers provide bentoml, set entrypoint.").format(ctx.label, ctx.split_attr.bento["metadata"].label))

def _settings(ctx):
    return struct(compression = ctx.attr.compression, prefix = ctx.attr.prefix)

def _by_name(parts):
    return {part.wheel.distribution: part for part in parts}

def _bytecode_layers(ctx, parts, groups):
    """Declares a layer of bytecode for each group of wheels."""
    by_name = _by_name(parts)
    return [
        write_joined_layer(
            ctx,
            name = "{}.bytecode-{}".format(ctx.label.name, names[0]),
            parts = [by_name[name] for name in names],
            settings = _settings(ctx),
            what = "bytecode of ",
        )
        for names in groups
    ] if parts else []

def _wheel_layers(ctx, parts, groups):
    """Declares the layers of wheels: a separate layer for each large wheel, and a layer for each group of other wheels."""
    by_name = _by_name(parts)
    alone = [by_name[names[0]].layer for names in groups if len(names) == 1 and by_name[names[0]].layer]
    return alone + [
        write_joined_layer(
            ctx,
            name = "{}.wheels-{}".format(ctx.label.name, names[0]),
            parts = [by_name[name] for name in names],
            settings = _settings(ctx),
        )
        for names in groups
        if len(names) > 1 or not by_name[names[0]].layer
    ]

def _libraries(parts, groups):
    """Returns the Files that list the shared libraries of wheels, written by the actions that also write layers or parts."""
    alone = {names[0]: None for names in groups if len(names) == 1}
    return [part.layer_libraries if part.layer and part.wheel.distribution in alone else part.part_libraries for part in parts]

def _bento_layer(ctx, bento):
    """Declares the layer with bento.yaml, environment, and sources. A change of the sources rebuilds only this layer."""
    models = bento.models.to_list() if ctx.attr.models != "none" else []  # the list is short: entries in the attributes of the target
    parts = bento.parts[:2]  # the data is in a separate layer
    args = target_arguments(ctx)
    args.add_all(["--directory", BENTO, "--user", USER])
    if ctx.attr.models == "image":
        args.add_all(["--mounted", MOUNTED])
    args.add_all(parts, before_each = "--part")
    args.add_all([model.description for model in models], before_each = "--model")
    return write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = ctx.label.name + ".bento",
        progress_message = "Writing Bento layer of %{label}",
        subcommand = subcommand("bento_layer", args, inputs = depset(list(parts) + [model.description for model in models])),
    )

def _data_layers(bento, compression):
    return [bento.data_layers[compression]] if bento.data_layers else []

def _prefetch_layers(ctx, layers):
    """Returns the layers. Replaces each layer of this build with a copy that begins with the files of the startup trace."""
    if not ctx.file.startup_trace:
        return layers
    if ctx.attr.compression != "estargz":
        fail("{}: startup_trace requires lazily pulled layers, but compression is \"{}\". Set compression = \"estargz\", or remove startup_trace.".format(ctx.label, ctx.attr.compression))
    return [
        write_prefetch_layer(
            ctx,
            layer = layer,
            name = "{}.prefetch-{}".format(ctx.label.name, number),
            trace = ctx.file.startup_trace,
        ) if layer.blob and not layer.origin and not layer.blob.is_source else layer
        for number, layer in enumerate(layers)
    ]

def _included_models(ctx, bento):
    """Returns the models that the image includes. Containers get other models from a mounted image or store."""
    return bento.models.to_list() if ctx.attr.models == "layers" else []  # the list is short: entries in the attributes of the target

def _assemble(ctx, base, bento, layers):
    """Declares the action that writes config and manifest from the descriptions of the layers."""
    outputs = struct(
        config = ctx.actions.declare_file(ctx.label.name + ".config.json"),
        digest = ctx.actions.declare_file(ctx.label.name + ".digest"),
        manifest = ctx.actions.declare_file(ctx.label.name + ".manifest.json"),
    )
    descriptions = [layer.description for layer in layers]
    status = status_files(ctx, ctx.attr.stamped_annotations.values() + ctx.attr.stamped_labels.values())
    args = target_arguments(ctx)
    args.add_all(["--bento-yaml", bento.bento_yaml, "--base-config", base.config])
    args.add_all(["--bento", BENTO, "--environment", ctx.attr.prefix, "--home", HOME, "--compression", ctx.attr.compression])
    args.add_all(["--created", creation_time(ctx), "--user", ctx.attr.user])
    add_pairs(args, "--env", ctx.attr.env)
    add_pairs(args, "--label", ctx.attr.labels)
    add_pairs(args, "--annotation", ctx.attr.annotations)
    if is_stamped(ctx):
        add_pairs(args, "--stamped-label", ctx.attr.stamped_labels)
        add_pairs(args, "--stamped-annotation", ctx.attr.stamped_annotations)
    args.add_all(ctx.attr.entrypoint, before_each = "--entrypoint")
    args.add_all(ctx.attr.cmd, before_each = "--cmd")
    args.add_all(ctx.attr.ports, before_each = "--port")
    add_strings(args, "--provided", ctx.attr.ignore_system_requirements)
    args.add_all(ctx.attr.healthcheck, before_each = "--healthcheck")
    args.add_all(["--stop-signal", ctx.attr.stop_signal])
    if ctx.attr.working_dir:
        args.add_all(["--working-dir", ctx.attr.working_dir])
    args.add_all(descriptions, before_each = "--layer")
    if ctx.file.startup_trace:
        args.add_all(["--startup-trace", label_string(ctx.attr.startup_trace.label)])
    args.add_all(status, before_each = "--status")
    args.add_all(["--config", outputs.config, "--manifest", outputs.manifest, "--digest", outputs.digest])
    run_helper(
        ctx,
        mnemonic = "BentoImage",
        progress_message = "Writing image %{label}",
        subcommand = subcommand("image", args, inputs = depset([bento.bento_yaml, base.config] + descriptions + status), packages = ["pyyaml"]),
        outputs = [outputs.config, outputs.digest, outputs.manifest],
    )
    return outputs

def _build_definition(ctx, base, bento, models, wheels):
    """Declares the build definition of the image. It lists a base image by digest, and each layer of Debian packages separately."""
    own = [target[BentoLayerInfo] for target in ctx.attr.layers]
    return write_build_definition(
        ctx,
        bento = bento_inputs(bento, models = models, platform = bento.platform, python_version = bento.python_version),
        image = image_inputs(
            base = base.config,
            debs = deb_indexes(ctx, base),
            layers = [layer.description for layer in (list(base.layers) if base.deb_index else []) + own],
            wheels = wheels,
        ),
    )

def _installed(ctx, base, requirements, wheels):
    """Returns the BentoImagePackagesInfo of the image, which policy tests read."""
    return BentoImagePackagesInfo(
        debs = deb_indexes(ctx, base) if base.deb_index or base.system else [],
        packages = depset(transitive = [requirement.packages for requirement in requirements]),
        system = base.system,
        wheels = depset(wheels),
    )

def _bento_image_impl(ctx):
    bento = ctx.split_attr.bento["metadata"][BentoInfo]
    base = ctx.attr.base[BentoBaseInfo]

    # Only a few dozen wheels, so the list is short. The sizes determine the layers.
    parts = ctx.split_attr.bento["packages"][BentoWheelPartsInfo].parts.to_list()
    _check_target(ctx, base, bento)
    bytecode = ctx.split_attr.bento["bytecode"][BentoWheelPartsInfo].parts.to_list() if ctx.attr.bytecode != "none" else []
    _check_bytecode(ctx, base, bytecode)
    _check_packages(ctx, parts)
    models = _included_models(ctx, bento)
    groups = group_wheels({part.wheel.distribution: part.wheel.size for part in parts}, ctx.attr.max_wheel_layers)
    own_base = list(base.layers) if base.deb_index else []  # the build doesn't rewrite layers of an existing image
    layers = ([] if base.deb_index else list(base.layers)) + _prefetch_layers(
        ctx,
        own_base +
        [_environment_layer(ctx, base)] +
        _wheel_layers(ctx, parts, groups) +
        _bytecode_layers(ctx, bytecode, groups) +
        [layer for model in models for layer in model.layers[ctx.attr.compression]] +
        [layer[BentoLayerInfo] for layer in ctx.attr.layers] +
        _data_layers(bento, ctx.attr.compression) +
        [_bento_layer(ctx, bento)],
    )
    image = _assemble(ctx, base, bento, layers)
    requirements = ctx.split_attr.bento["packages"][BentoInfo].requirements.to_list()  # the list is short: entries in the attributes of the target
    added = scan_added_layers(ctx)
    libraries_checked, libraries_checked_early = [
        check_libraries(ctx, base, struct(libraries = libraries, parts = parts, requirements = requirements), added, early = early)
        for libraries, early in ((_libraries(parts, groups), False), ([part.libraries for part in parts], True))
    ]
    system_checked = check_system(ctx, base, bento, parts)
    wheels = [part.wheel for part in parts]
    sbom = write_sbom(ctx, base, bento, image, struct(models = models, parts = parts))
    build_definition = _build_definition(ctx, base, bento, models, wheels)
    return [
        BentoImageInfo(
            bento_yaml = bento.bento_yaml,
            build_definition = build_definition,
            config = image.config,
            digest = image.digest,
            layers = tuple(layers),
            manifest = image.manifest,
            model_descriptions = tuple([model.description for model in bento.models.to_list()]) if ctx.attr.models == "image" else (),  # only the target's own
            models = ctx.attr.models,
            referrers = (sbom,),
        ),
        _installed(ctx, base, requirements, wheels),
        DefaultInfo(files = depset([image.config, image.digest, image.manifest])),
        OutputGroupInfo(
            _validation = depset([libraries_checked, system_checked] + check_size(ctx, layers)),
            build_definition = depset([build_definition]),
            checked = depset([libraries_checked_early, system_checked]),
            docker_archive = depset([write_form(ctx, image, layers, "docker_archive")]),
            layer_report = depset(write_layer_report(ctx, layers, parts)),
            oci_layout = depset([write_form(ctx, image, layers, "oci_layout")]),
            sbom = depset([sbom.file]),
            summary = depset([write_summary(ctx, tag = bento.tag, digest = image.digest, files = {"--image-manifest": image.manifest})]),
        ),
    ]

bento_image = rule(
    implementation = _bento_image_impl,
    doc = """Builds an OCI image that serves a Bento, without a daemon.

```starlark
bento_image(
    name = "iris_image",
    base = "//examples/base:python",
    bento = ":iris_bento",
)
```

Each large wheel and each model is a separate layer, which all images share through Bazel's cache. After a change of the source, only the
last layer, the config, and the manifest are built again. The default outputs are the config, the manifest, and the digest.

| output group | content |
|---|---|
| `oci_layout` | directory with an OCI layout |
| `docker_archive` | tar archive for `docker load` |
| `sbom` | SBOM, which `bento_push` attaches to the image |
| `layer_report` | reports of the contents of the layers, in JSON and HTML |
| `build_definition` | inputs of the image, which `bento_push` includes in SLSA provenance |
| `checked` | results of the checks, without building the layers |
| `summary` | sizes of the image, for dashboards |

The build runs checks, which fail for these problems (disable the checks with `--norun_validations`):

- wheels that are incompatible with the CPU architecture or the glibc version of the base
- missing shared libraries, and duplicate CUDA libraries
- system packages that the Bento requires but the image doesn't include
- layers with a total size above `size_limit`""",
    attrs = {
        "annotations": attr.string_dict(doc = "Additional annotations of the manifest. Default annotations: title, version, creation time, and name and digest of the base. Annotations and labels with the prefix `org.opencontainers.image.` are set as both annotations and labels."),
        "base": attr.label(doc = "Image base, which provides Python and the system libraries.", mandatory = True, providers = [BentoBaseInfo]),
        "bento": attr.label(aspects = [wheel_parts_aspect], cfg = metadata_plus_files_cfg, doc = "The Bento that the image serves.", mandatory = True, providers = [BentoInfo]),
        "bytecode": attr.string(default = "none", doc = "Bytecode of the Python packages, in separate layers: `none` (default, no bytecode), `checked-hash` (Python compares a hash of the source), or `unchecked-hash` (Python doesn't read the source). See PEP 552.", values = BYTECODES),
        "cmd": attr.string_list(doc = "Arguments that follow `entrypoint`. Users can replace these arguments when they start a container."),
        "compression": attr.string(default = "zstd", doc = "Compression of the layers: `zstd` (default), `gzip` for older runtimes, `estargz` for lazy pulling with containerd's stargz-snapshotter, or `zstd:chunked` for partial pulling with podman. With `gzip` or `estargz`, the base and `layers` must use the same compression.", values = COMPRESSIONS),
        "entrypoint": attr.string_list(doc = "Command that a container runs. Default: the command that serves the Bento with the Python environment of the image."),
        "env": attr.string_dict(doc = "Environment variables of containers, name to value, in addition to the variables of the base and the Bento."),
        "healthcheck": attr.string_list(doc = "Command that checks the health of a container. Runs without a shell. Default: no command. Only docker reads the command from the image; for podman, containerd, and Kubernetes, configure health checks when you start the container."),
        "labels": attr.string_dict(doc = "Labels of the image config, key to value, in addition to the labels of the Bento."),
        "layers": attr.label_list(doc = "Additional layers from the lowest up. The layer of the Bento is above these layers.", providers = [BentoLayerInfo]),
        "models": attr.string(
            default = "layers",
            doc = "Source of the Bento's models in containers: `layers` (default; layers of the image), `image` (a `bento_model_image` of each model, mounted at {}/<name>), or `none` (a model store, mounted at {}/models).".format(MOUNTED, HOME),
            values = ["layers", "image", "none"],
        ),
        "ports": attr.string_list(default = ["3000/tcp"], doc = "Ports that the image exposes, each `PORT/PROTOCOL`."),
        "prefix": attr.string(default = ENVIRONMENT, doc = "Path of the Python environment in the image. Images with the same environment path share layers."),
        "ignore_system_requirements": attr.string_list(doc = "System requirements of the Bento that the checks ignore: names of system packages, `distro`, `cuda`, or commands, as shown in error messages. Use the attribute if the checks don't detect a requirement in the base, or if the service doesn't need the requirement."),
        "reference": attr.string(doc = "Name and tag of the image in `oci_layout` and `docker_archive`. Default: the name of the target."),
        "report_against": attr.label(allow_single_file = [".json"], doc = "JSON report to compare the image with: a file from the output group `layer_report` of another image."),
        "sbom_format": attr.string(default = "cyclonedx", doc = "Format of the SBOM: `cyclonedx` (CycloneDX 1.6, default) or `spdx` (SPDX 2.3). The SBOM is a JSON file.", values = sorted(SBOM_FORMATS)),
        "size_limit": attr.int(doc = "Maximum total size of the compressed layers, in megabytes. Default: no limit."),
        "stamped_annotations": attr.string_dict(doc = "Annotations that only stamped builds set. `{KEY}` is replaced by a value of the workspace status: `{\"org.opencontainers.image.revision\": \"{STABLE_GIT_COMMIT}\"}`. Stamping doesn't change the layers."),
        "stamped_labels": attr.string_dict(doc = "Labels that only stamped builds set. Same format as `stamped_annotations`."),
        "startup_trace": attr.label(
            allow_single_file = [".json"],
            doc = "Startup trace that `bento_startup_trace` recorded. The eStargz layers begin with the files in the trace, which are then fetched before a container starts. Only images with the same trace share these layers.",
        ),
        "stop_signal": attr.string(default = "SIGTERM", doc = "Signal that container engines send to stop a container."),
        "ignore_libraries": attr.string_list(doc = "File names of shared libraries and programs that the checks ignore, because the service doesn't use the files, or because duplicates are intended."),
        "user": attr.string(default = "1034:1034", doc = "User and group of the container process, `uid:gid`."),
        "max_wheel_layers": attr.int(default = _MAX_WHEEL_LAYERS, doc = "Maximum number of layers for Python packages. If more packages are large, some large packages share layers."),
        "working_dir": attr.string(doc = "Working directory of a container. Default: the directory of the Bento in the image."),
    } | CREATION_TIME | IMAGE_PLATFORM | STAMP,
    cfg = image_cfg,
    provides = [BentoImageInfo, BentoImagePackagesInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
