"""Defines bento_layout_base, which builds an image base from an OCI layout that another rule writes."""

load("//private:attributes.bzl", "label_string")
load("//private:helper.bzl", "TOOLCHAIN_TYPE", "run_leaf", "with_inputs")
load("//private:image_base.bzl", "scan_layers")
load("//private:target.bzl", "PLATFORM", "platform_name")
load("//rules:providers.bzl", "BentoBaseInfo", "BentoLayerInfo")

_PLATFORMS = ["linux_amd64", "linux_arm64"]

# Maximum number of layers in an image. py/rules_bento/images/oci_image.py has the same limit.
_MAX_LAYERS = 127

# Output group that contains the layout in image rules, such as the rules of rules_img and bento_image.
_GROUP = "oci_layout"

def _layout_directory(ctx):
    """Returns the layout's directory.

    It is the only default output or, if no output is a directory, the only File of the output group `oci_layout`.
    """
    outputs = ctx.files.layout
    groups = ctx.attr.layout[OutputGroupInfo] if OutputGroupInfo in ctx.attr.layout else None
    if not [file for file in outputs if file.is_directory] and hasattr(groups, _GROUP):
        outputs = getattr(groups, _GROUP).to_list()  # the list is short: one directory
    if len(outputs) != 1:
        fail(("{}: layout requires exactly one directory, but {} provides {} files. Set layout to a target whose " +
              "default output, or output group {}, is a single directory.").format(
            label_string(ctx.label),
            label_string(ctx.attr.layout.label),
            len(outputs),
            _GROUP,
        ))
    if outputs[0].is_source:
        fail(
            ("{}: the layout attribute refers to {} in the source tree, but Bazel doesn't detect all changes in " +
             "source directories. Use bento_files.base(layout = ...) in MODULE.bazel.").format(
                label_string(ctx.label),
                outputs[0].short_path,
            ),
        )
    if not outputs[0].is_directory:
        fail(
            ("{}: layout must be a directory, but {} is a file. Set layout to the target or output group that " +
             "writes the directory.").format(label_string(ctx.label), outputs[0].short_path),
        )
    return outputs[0]

def _layout(ctx):
    """Returns a struct of `directory` (File of the layout) and `inputs`.

    `inputs` is a depset of `directory`, and of Files to which its links can refer.

    In a directory of `oci_image`, layers are links to other runfiles of the target. Actions need these runfiles as
    inputs.
    """
    if ctx.attr.layer_count < 1 or ctx.attr.layer_count > _MAX_LAYERS:
        fail(
            "{}: invalid layer_count {}. Expected a number from 1 to {}.".format(
                label_string(ctx.label),
                ctx.attr.layer_count,
                _MAX_LAYERS,
            ),
        )
    directory = _layout_directory(ctx)
    return struct(
        directory = directory,
        inputs = depset([directory], transitive = [ctx.attr.layout[DefaultInfo].default_runfiles.files]),
    )

def _platform(ctx):
    name = platform_name(ctx)
    if name not in _PLATFORMS:
        fail(
            ("{}: the target platform is {}, but image bases support only {}. Set the platform attribute of the " +
             "image to one of these platforms.").format(
                label_string(ctx.label),
                name or "unknown",
                " and ".join(_PLATFORMS),
            ),
        )
    return name.replace("_", "/")

def _describe(ctx, layout):
    """Declares the action that verifies the layout, and writes the config and the layer descriptions.

    Returns a File and a list of Files.
    """
    files = run_leaf(
        ctx,
        "base_layout",
        {"--layout": with_inputs(layout.directory, layout.inputs), "--platform": _platform(ctx)},
        mnemonic = "BentoBaseLayout",
        outputs = {
            "--config": ".base.json",
            "--description": [
                ctx.actions.declare_file("{}.{}.layer.json".format(ctx.label.name, number))
                for number in range(ctx.attr.layer_count)
            ],
        },
        progress_message = "Reading OCI layout of %{label}",
    )
    return files[0], files[1:]

def _layer(ctx, layout, number, description):
    """Declares a copy of a layer for targets that read its contents; an image reads only `description`.

    Returns a BentoLayerInfo.
    """
    [blob] = run_leaf(
        ctx,
        "base_layer",
        {"--description": description, "--layout": with_inputs(layout.directory, layout.inputs)},
        mnemonic = "BentoBaseLayer",
        outputs = {"--output": ".{}.layer".format(number)},
        progress_message = "Extracting layer {} of %{{label}}".format(number),
    )
    return BentoLayerInfo(blob = blob, description = description)

def _bento_layout_base_impl(ctx):
    layout = _layout(ctx)
    config, descriptions = _describe(ctx, layout)
    layers = [_layer(ctx, layout, number, description) for number, description in enumerate(descriptions)]
    contents = scan_layers(
        ctx,
        [(description, layout.directory) for description in descriptions],
        linked = layout.inputs,
    )
    return [
        BentoBaseInfo(
            config = config,
            deb_index = None,
            glibc = ctx.attr.glibc,
            layers = tuple(layers),
            libraries = contents.libraries,
            name = label_string(ctx.label),
            python = ctx.attr.python,
            python_version = ctx.attr.python_version,
            system = contents.system,
        ),
        DefaultInfo(files = depset([config] + descriptions)),
        OutputGroupInfo(layer = depset([layer.blob for layer in layers])),
    ]

bento_layout_base = rule(
    implementation = _bento_layout_base_impl,
    doc = """Builds an image base from a directory with an OCI layout, such as the output of `oci_image` of rules_oci or
`image_manifest` of rules_img.

```starlark
bento_layout_base(
    name = "python",
    layer_count = 4,
    layout = "//images:python",
    python = "/usr/local/bin/python3",
    python_version = "3.12",
)
```

If the layout contains an index, the rule uses the image for the target platform. If `layer_count` is wrong, the error
reports the correct number.""",
    attrs = {
        "glibc": attr.string(
            doc = "Version of glibc (`X.Y`). Default: wheels are checked against the `glibc` of the package hub.",
        ),
        "layer_count": attr.int(
            doc = "Number of layers, which Bazel requires before it builds the layout.",
            mandatory = True,
        ),
        "layout": attr.label(
            allow_files = True,
            doc = "Target whose only default output, or only file in the output group `oci_layout`, is the layout.",
            mandatory = True,
        ),
        "python": attr.string(doc = "Absolute path to the Python interpreter in the image.", mandatory = True),
        "python_version": attr.string(doc = "Version of the Python interpreter (`X.Y`).", mandatory = True),
        "_platform": PLATFORM["_platform"],
    },
    provides = [BentoBaseInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
