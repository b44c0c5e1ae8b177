"""Defines bento_image, which builds an OCI image from a Bento, the Bento's packages, and an image base."""

load("//private:attributes.bzl", "label_string")
load("//private:helper.bzl", "TOOLCHAIN_TYPE", "subcommand")
load("//private:image.bzl", "IMAGE", "build_image", "image_packages")
load("//private:image_checks.bzl", "check_system")
load("//private:installed_wheel_aspect.bzl", "installed_wheel_aspect")
load("//private:layers.bzl", "BENTO", "HOME", "MOUNTED", "USER", "write_layer")
load("//private:target.bzl", "platform_name", "target_cfg")
load("//private:wheel_parts_aspect.bzl", "wheel_parts_aspect")
load("//private:wheels_flag.bzl", "bento_packages_cfg", "needs_packages")
load("//rules:providers.bzl", "BentoBaseInfo", "BentoImageInfo", "BentoInfo")

def _check_target(ctx, base, bento):
    """Fails if the Bento's Python version differs from the base's, or its platform from the image's.

    Packages would fail at run time.
    """
    if bento.python_version != base.python_version:
        fail(("{}: base {} has Python {}, but the Bento is for Python {}. Set python_version = \"{}\" on the " +
              "bento_package, and add the version to more_python_versions in bento.pypi. For packages of pip.parse, " +
              "add pip.parse(python_version = \"{}\").").format(
            label_string(ctx.label),
            base.name,
            base.python_version,
            bento.python_version,
            base.python_version,
            base.python_version,
        ))
    own = ctx.attr.platform or platform_name(ctx)
    if bento.platform != own or ctx.attr.platform not in ("", bento.requested_platform):
        # The transition would build another Bento for the image than the one that is exported and tested.
        fail(("{}: the image is for {}, but the Bento is for {}. Set the same platform on both targets, or remove " +
              "platform from both targets.").format(
            label_string(ctx.label),
            own or "an unknown platform",
            bento.requested_platform or "the platform of the build",
        ))

def _check_packages(ctx, parts):
    """Fails if the Bento's packages don't include bentoml, unless `entrypoint` is set."""
    if ctx.attr.entrypoint or "bentoml" in [part.wheel.distribution for part in parts]:
        return
    fail(
        ("{}: the requirements of {} don't include bentoml from a package hub. Add bento.pypi(name = " +
         "\"bento_pypi\", lock = ...) to MODULE.bazel, and \"@bento_pypi//bentoml\" to requirements. Alternatively, " +
         "if a layer of the image provides bentoml, set entrypoint to the command that serves the Bento.").format(
            label_string(ctx.label),
            label_string(ctx.split_attr.bento["metadata"].label),
        ),
    )

def _bento_layer(ctx, bento):
    """Declares the layer with bento.yaml, `env/`, and sources, the only layer that contains sources.

    Returns a BentoLayerInfo.
    """

    # The list is short: entries in the attributes of the target.
    models = bento.models.to_list() if ctx.attr.models != "none" else []
    return write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = ctx.label.name + ".bento",
        progress_message = "Writing Bento layer of %{label}",
        subcommand = subcommand(
            ctx,
            "bento_layer",
            {
                "--directory": BENTO,
                "--model": [model.description for model in models],
                "--mounted": MOUNTED if ctx.attr.models == "image" else None,
                "--part": list(bento.parts[:2]),  # the data is in a separate layer
                "--user": USER,
            },
        ),
    )

def _bento_image_impl(ctx):
    bento = ctx.split_attr.bento["metadata"][BentoInfo]
    base = ctx.attr.base[BentoBaseInfo]
    requirements = ctx.split_attr.bento["packages"][BentoInfo].requirements.to_list()  # only the target's own
    packages = image_packages(ctx.split_attr.bento, requirements)
    _check_target(ctx, base, bento)
    _check_packages(ctx, packages.parts)
    own_models = bento.models.to_list()  # only the target's own

    # Containers get models without layers from a mounted image or a model store.
    models = own_models if ctx.attr.models == "layers" else []
    data_layers = [bento.data_layers[ctx.attr.compression]] if bento.data_layers else []
    return build_image(
        ctx,
        contents = struct(
            models = models,
            mounted = tuple([model.description for model in own_models]) if ctx.attr.models == "image" else (),
            upper = data_layers + [_bento_layer(ctx, bento)],
        ),
        packages = packages,
        process = struct(
            entrypoint = ctx.attr.entrypoint,
            env = ctx.attr.env,
            files = None,
            imports = bento.imports,
            ignore_system_requirements = ctx.attr.ignore_system_requirements,
            working_dir = ctx.attr.working_dir,
        ),
        subject = bento,
        system_checks = check_system(ctx, base, bento, packages.parts),
    )

bento_image = rule(
    implementation = _bento_image_impl,
    doc = """Builds an OCI image that serves a Bento, without a container engine.

```starlark
bento_image(
    name = "iris_image",
    base = "//examples/base:python",
    bento = ":iris_bento",
)
```

Each large wheel and each model is a layer that images share.

| output group | content |
|---|---|
| (default) | config, manifest, and digest |
| `oci_layout` | directory with an OCI layout |
| `docker_archive` | tar archive for `docker load` |
| `report` | sizes of layers and packages, and checks, in JSON and HTML |
| `sbom` | SBOM, which `bento_push` attaches to the image |
| `build_definition` | inputs of the image, for SLSA provenance |
| `checked` | results of the checks, without building the layers |
| `summary` | sizes of the image, for dashboards |

Unless you pass `--norun_validations`, the build fails for wheels that are incompatible with the base (CPU, glibc),
missing shared libraries, duplicate CUDA libraries, missing system packages, and layers above `size_limit`. Without
Bazel, use `bento containerize --backend native`.""",
    attrs = {
        "bento": attr.label(
            aspects = [installed_wheel_aspect, wheel_parts_aspect],
            cfg = bento_packages_cfg,
            doc = "The Bento that the image serves.",
            mandatory = True,
            providers = [BentoInfo],
        ),
        "entrypoint": attr.string_list(doc = "Command of a container. Default: the command that serves the Bento."),
        "env": attr.string_dict(doc = "Environment variables, in addition to variables of the base and the Bento."),
        "labels": attr.string_dict(doc = "Labels of the config, in addition to the Bento's labels."),
        "models": attr.string(
            default = "layers",
            doc = ("Source of the models: `layers` of the image, an `image` (`bento_model_image`) for each model, " +
                   "mounted at {}/<name>, or `none` (a model store, mounted at {}/models).").format(MOUNTED, HOME),
            values = ["layers", "image", "none"],
        ),
        "ports": attr.string_list(default = ["3000/tcp"], doc = "Exposed ports (`PORT/PROTOCOL`)."),
        "ignore_system_requirements": attr.string_list(
            doc = "System requirements of the Bento that the checks ignore, by the name in the error message: " +
                  "`distro`, `cuda`, or a package or command.",
        ),
        "working_dir": attr.string(doc = "Working directory. Default: the Bento's directory in the image."),
    } | IMAGE | needs_packages("files"),
    cfg = target_cfg,
    provides = [BentoImageInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
