"""Defines bento_image, which makes an OCI image of a Bento, its packages and a base."""

load("//rules:providers.bzl", "BentoBaseInfo", "BentoImageInfo", "BentoInfo", "BentoLayerInfo")
load("//rules/private:attributes.bzl", "CREATION_TIME", "add_pairs", "add_strings", "creation_time", "label_string")
load("//rules/private:build_definition.bzl", "image_inputs", "bento_inputs", "write_build_definition")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper", "verb")
load("//rules/private:image_checks.bzl", "check_libraries", "check_size", "check_system", "scan_added_layers")
load("//rules/private:image_form.bzl", "write_form")
load("//rules/private:image_sbom.bzl", "SBOM_FORMATS", "deb_indexes", "write_sbom")
load("//rules/private:layers.bzl", "BENTO", "BYTECODES", "COMPRESSIONS", "HOME", "MOUNTED", "USER", "write_joined_layer", "write_layer", "write_prefetch_layer")
load("//rules/private:providers.bzl", "BentoImagePackagesInfo", "BentoWheelPartsInfo")
load("//rules/private:reports.bzl", "write_layer_report", "write_summary")
load("//rules/private:stamping.bzl", "STAMP", "is_stamped", "status_files")
load("//rules/private:target.bzl", "IMAGE_PLATFORM", "image_cfg", "platform_name")
load("//rules/private:transitions.bzl", "ENVIRONMENT", "metadata_plus_files_cfg")
load("//rules/private:wheel_groups.bzl", "group_wheels")
load("//rules/private:wheel_parts_aspect.bzl", "wheel_parts_aspect")

# How many layers wheels may take. The rest of the 127 that an image may have is for base, models, sources and images on top.
_WHEEL_LAYERS = 40

def _environment_layer(ctx, base):
    """Declares a layer of the virtual environment without its packages, and of the user's home."""
    args = arguments(ctx)
    args.add_all(["--prefix", ctx.attr.prefix])
    args.add_all(["--python", base.python])
    args.add_all(["--python-version", base.python_version])
    args.add_all(["--home", HOME, "--user", USER])
    return write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = ctx.label.name + ".environment",
        progress_message = "Making the environment of %{label}",
        verb = verb("environment_layer", args, inputs = depset()),
    )

def _check_target(ctx, base, bento):
    """Refuses packages for another Python than the base has, or for another platform: they would fail in production."""
    if bento.python_version != base.python_version:
        fail("{}: base {} has Python {}, but the Bento is for Python {}: set python_version = \"{}\" of the bento_package, and more_python_versions of its hub".format(
            ctx.label,
            base.name,
            base.python_version,
            bento.python_version,
            base.python_version,
        ))
    own = ctx.attr.platform or platform_name(ctx)
    if bento.platform != own or ctx.attr.platform not in ("", bento.requested_platform):
        # The transition would build another Bento for the image than the one that is exported and tested.
        fail("{}: is for {}, but its Bento for {}: set the same platform of both, or of neither".format(
            ctx.label,
            own or "a platform that no hub knows",
            bento.requested_platform or "whatever the build is for",
        ))

def _check_bytecode(ctx, base, parts):
    for part in parts:
        if not part.part:
            fail(("{target}: bytecode = \"{bytecode}\" needs a Python {version} that runs here, and the actions' is {own}: " +
                  "name one in MODULE.bazel, bento_tools.compiler(version = \"{version}\"), or leave bytecode out").format(
                bytecode = ctx.attr.bytecode,
                own = ctx.toolchains[TOOLCHAIN_TYPE].python.version,
                target = ctx.label,
                version = base.python_version,
            ))

def _check_packages(ctx, parts):
    """Refuses a Bento that only names its packages, in files or as versions: its image would have none, and not start."""
    if ctx.attr.entrypoint or "bentoml" in [part.wheel.distribution for part in parts]:
        return
    fail(("{}: {} has no bentoml among the packages of a hub, so the image could not serve it: images have the wheels of a lock, and of no " +
          "requirements file or hub of rules_python. Name a lock in MODULE.bazel, bento.pypi(name = \"bento_pypi\", lock = ...), and packages of it in the Bento's requirements, \"@bento_pypi//bentoml\" " +
          "among them; or set entrypoint to what starts it, if layers bring bentoml").format(ctx.label, ctx.split_attr.bento["metadata"].label))

def _settings(ctx):
    return struct(compression = ctx.attr.compression, prefix = ctx.attr.prefix)

def _by_name(parts):
    return {part.wheel.distribution: part for part in parts}

def _bytecode_layers(ctx, parts, groups):
    """Declares layers of the wheels' byte code, in the same groups."""
    by_name = _by_name(parts)
    return [
        write_joined_layer(
            ctx,
            name = "{}.bytecode-{}".format(ctx.label.name, names[0]),
            parts = [by_name[name] for name in names],
            settings = _settings(ctx),
            what = "byte code of ",
        )
        for names in groups
    ] if parts else []

def _wheel_layers(ctx, parts, groups):
    """Declares layers of wheels: large ones alone, the others in groups."""
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
    """Returns what checks have to know of the wheels, as it is written with what `_wheel_layers` takes of each."""
    alone = {names[0]: None for names in groups if len(names) == 1}
    return [part.layer_libraries if part.layer and part.wheel.distribution in alone else part.part_libraries for part in parts]

def _bento_layer(ctx, bento):
    """Declares the layer of bento.yaml, environment and sources, the only one that a changed source line rebuilds."""
    models = bento.models.to_list() if ctx.attr.models != "none" else []  # those that its target names
    parts = bento.parts[:2]  # data have a layer of their own
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(["--folder", BENTO, "--user", USER])
    if ctx.attr.models == "image":
        args.add_all(["--mounted", MOUNTED])
    args.add_all(parts, before_each = "--part")
    args.add_all([model.description for model in models], before_each = "--model")
    return write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = ctx.label.name + ".bento",
        progress_message = "Packing sources of %{label} into a layer",
        verb = verb("bento_layer", args, inputs = depset(list(parts) + [model.description for model in models])),
    )

def _data_layers(bento, compression):
    return [bento.data_layers[compression]] if bento.data_layers else []

def _prefetch_layers(ctx, layers):
    """Returns the layers; those of this build have the files that a start reads at their beginning."""
    if not ctx.file.startup_trace:
        return layers
    if ctx.attr.compression != "estargz":
        fail("{}: startup_trace is for layers of which files are fetched as they are read, but these are of {}: set compression = \"estargz\", or leave startup_trace out".format(ctx.label, ctx.attr.compression))
    return [
        write_prefetch_layer(
            ctx,
            layer = layer,
            name = "{}.prefetch-{}".format(ctx.label.name, number),
            trace = ctx.file.startup_trace,
        ) if layer.blob and not layer.origin and not layer.blob.is_source else layer
        for number, layer in enumerate(layers)
    ]

def _held_models(ctx, bento):
    """Returns the models that are in the image itself; those of a mounted image or a store are chosen when a container starts."""
    return bento.models.to_list() if ctx.attr.models == "layers" else []  # those that its target names

def _assemble(ctx, base, bento, layers):
    """Writes config and manifest from what is known of the layers."""
    outputs = struct(
        config = ctx.actions.declare_file(ctx.label.name + ".config.json"),
        digest = ctx.actions.declare_file(ctx.label.name + ".digest"),
        manifest = ctx.actions.declare_file(ctx.label.name + ".manifest.json"),
    )
    descriptions = [layer.description for layer in layers]
    status = status_files(ctx, ctx.attr.stamped_annotations.values() + ctx.attr.stamped_labels.values())
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(["--bento-yaml", bento.bento_yaml])
    args.add_all(["--base-config", base.config])
    args.add_all(["--bento", BENTO, "--environment", ctx.attr.prefix, "--home", HOME])
    args.add_all(["--compression", ctx.attr.compression])
    args.add_all(["--created", creation_time(ctx)])
    args.add_all(["--user", ctx.attr.user])
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
    args.add_all(["--config", outputs.config])
    args.add_all(["--manifest", outputs.manifest])
    args.add_all(["--digest", outputs.digest])
    run_helper(
        ctx,
        mnemonic = "BentoImage",
        progress_message = "Assembling image %{label}",
        verb = verb(
            "image",
            args,
            inputs = depset([bento.bento_yaml, base.config] + descriptions + status),
            packages = ["pyyaml"],
        ),
        outputs = [outputs.config, outputs.digest, outputs.manifest],
    )
    return outputs

def _build_definition(ctx, base, bento, models, wheels):
    """Describes what the image is made of. Layers of a base image are named by its digest, those of Debian packages one by one."""
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

def _installed(requirements, wheels):
    """Returns the packages that policies are checked against."""
    return BentoImagePackagesInfo(
        packages = depset(transitive = [requirement.packages for requirement in requirements]),
        wheels = depset(wheels),
    )

def _bento_image_impl(ctx):
    bento = ctx.split_attr.bento["metadata"][BentoInfo]
    base = ctx.attr.base[BentoBaseInfo]

    # The closure of a service is some dozens of wheels, which become layers by their sizes.
    parts = ctx.split_attr.bento["packages"][BentoWheelPartsInfo].parts.to_list()
    _check_target(ctx, base, bento)
    bytecode = ctx.split_attr.bento["bytecode"][BentoWheelPartsInfo].parts.to_list() if ctx.attr.bytecode != "none" else []
    _check_bytecode(ctx, base, bytecode)
    _check_packages(ctx, parts)
    models = _held_models(ctx, bento)
    groups = group_wheels({part.wheel.distribution: part.wheel.size for part in parts}, ctx.attr.max_wheel_layers)
    own_base = list(base.layers) if base.deb_index else []  # those of an existing image are not rewritten
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
    requirements = ctx.split_attr.bento["packages"][BentoInfo].requirements.to_list()  # those that its target names
    further = scan_added_layers(ctx)
    libraries_checked, libraries_checked_early = [
        check_libraries(ctx, base, struct(libraries = libraries, parts = parts, requirements = requirements), further, early = early)
        for libraries, early in ((_libraries(parts, groups), False), ([part.libraries for part in parts], True))
    ]
    system_checked = check_system(ctx, base, bento, parts)
    wheels = [part.wheel for part in parts]
    sbom = write_sbom(ctx, base, bento, image, struct(models = models, parts = parts))
    build_definition = _build_definition(ctx, base, bento, models, wheels)
    return [
        BentoImageInfo(
            bento_yaml = bento.bento_yaml if ctx.attr.models == "layers" else None,
            build_definition = build_definition,
            config = image.config,
            digest = image.digest,
            layers = tuple(layers),
            manifest = image.manifest,
            referrers = (sbom,),
        ),
        _installed(requirements, wheels),
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
    doc = """An OCI image that serves a Bento, assembled without a daemon.

```starlark
bento_image(
    name = "iris_image",
    base = "//examples/base:python",
    bento = ":iris_bento",
)
```

Each large wheel and each model is a layer that all images share through the cache; a changed source line rebuilds the
last layer and two small documents. The default outputs are small: config, manifest, digest. Output groups
`oci_layout` (a folder) and `docker_archive` (a tar for `docker load`) are the big forms; `sbom` is a bill of
materials, which a `bento_push` attaches to the image; `layer_report` says what is in it, in JSON and as a page to look at;
`build_definition` says of what it was made, as SLSA's provenance has it; `checked` runs the checks alone, before layers are made; `summary` has the sizes for dashboards.

What would go wrong only in production fails the build (unless `--norun_validations`): wheels for another machine or a newer
glibc than the base has, shared libraries that nothing brings, CUDA libraries that are there twice, system packages that the
Bento asks for and that neither base nor layers have, more than `size_limit`.""",
    attrs = {
        "annotations": attr.string_dict(doc = "Annotations of the manifest, beside the standard ones that are filled in: title, version, created, and of the base its name and digest. Those that OCI defines (`org.opencontainers.image.…`) are labels as well, and labels of these names annotations."),
        "base": attr.label(doc = "What the image is built on: Python and the libraries of the system.", mandatory = True, providers = [BentoBaseInfo]),
        "bento": attr.label(aspects = [wheel_parts_aspect], cfg = metadata_plus_files_cfg, doc = "The Bento.", mandatory = True, providers = [BentoInfo]),
        "bytecode": attr.string(default = "none", doc = "Whether the packages have their byte code, in layers of its own: `checked-hash`, which Python holds against the source, or `unchecked-hash`, which it takes as it is (PEP 552).", values = BYTECODES),
        "cmd": attr.string_list(doc = "Arguments behind the entry point, which the caller of a container may replace."),
        "compression": attr.string(default = "zstd", doc = "Of the layers: `zstd`; `gzip` for runtimes of old, which has to be the compression of base and `layers`, too; `estargz`, likewise of all, gzip of which containerd's stargz-snapshotter reads files before the rest is there; or `zstd:chunked`, zstd of which podman pulls the files that it does not have yet.", values = COMPRESSIONS),
        "entrypoint": attr.string_list(doc = "What a container runs. Default: the environment's Python serves the Bento."),
        "env": attr.string_dict(doc = "Variables of the environment, beside those of base and Bento."),
        "healthcheck": attr.string_list(doc = "A command that says whether a container is well, run without a shell. It is docker's own field: docker reads it of an image that it loads or pulls; podman, containerd and Kubernetes leave it out of OCI images, so give it to those when they start a container. Default: none."),
        "labels": attr.string_dict(doc = "Labels of the config, beside those of the Bento."),
        "layers": attr.label_list(doc = "Further layers, below that of the Bento.", providers = [BentoLayerInfo]),
        "models": attr.string(
            default = "layers",
            doc = "Where a container has the Bento's models from: `layers` of the image; an `image` of each model (`bento_model_image`), mounted at {}/<name>; or `none`, from a store that is mounted at {}/models.".format(MOUNTED, HOME),
            values = ["layers", "image", "none"],
        ),
        "ports": attr.string_list(default = ["3000/tcp"], doc = "Ports that the image exposes."),
        "prefix": attr.string(default = ENVIRONMENT, doc = "Where the environment with the packages lies. Images with the same one share layers."),
        "ignore_system_requirements": attr.string_list(doc = "What the Bento asks of its image and the base has in another way, or the service does without, as messages of the checks name it: system packages, `distro`, `cuda`, commands."),
        "reference": attr.string(doc = "Name and tag in the big forms. Default: the target's name."),
        "report_against": attr.label(allow_single_file = [".json"], doc = "The report of another image, from its output group `layer_report`, to show what differs."),
        "sbom_format": attr.string(default = "cyclonedx", doc = "Of the bill of materials: CycloneDX 1.6 or SPDX 2.3, as JSON.", values = sorted(SBOM_FORMATS)),
        "size_limit": attr.int(doc = "How many megabytes the layers may have in a registry. Default: no limit."),
        "stamped_annotations": attr.string_dict(doc = "Further annotations, in which `{KEY}` is a value of the workspace status, such as `{\"org.opencontainers.image.revision\": \"{STABLE_GIT_COMMIT}\"}`: of a stamped build. Layers stay what they are."),
        "stamped_labels": attr.string_dict(doc = "Labels in the same way."),
        "startup_trace": attr.label(
            allow_single_file = [".json"],
            doc = "What a start reads, which `bento_startup_trace` records: these files come first in layers of eStargz, and are fetched before a container starts. Such layers are the image's own, shared with images of the same trace.",
        ),
        "stop_signal": attr.string(default = "SIGTERM", doc = "What ends a container."),
        "ignore_libraries": attr.string_list(doc = "File names of shared libraries, and of programs for other machines, that checks let be: of parts that the service does not load, or there twice on purpose."),
        "user": attr.string(default = "1034:1034", doc = "Who runs it, `uid:gid`."),
        "max_wheel_layers": attr.int(default = _WHEEL_LAYERS, doc = "How many layers the packages may take. With many large ones, the smaller of them share layers."),
        "working_dir": attr.string(doc = "Where a container starts. Default: the Bento's folder."),
    } | CREATION_TIME | IMAGE_PLATFORM | STAMP,
    cfg = image_cfg,
    provides = [BentoImageInfo, BentoImagePackagesInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
