"""Defines bento_layout_base, which makes a base for images from an OCI layout that another rule makes."""

load("//rules:providers.bzl", "BentoBaseInfo", "BentoLayerInfo")
load("//rules/private:attributes.bzl", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper", "verb")
load("//rules/private:layer_contents.bzl", "scan_layers")
load("//rules/private:target.bzl", "PLATFORM", "image_cfg", "platform_name")

# Name of a platform in hubs to its name in OCI images.
_PLATFORMS = {"linux_aarch64": "linux/arm64", "linux_x86_64": "linux/amd64"}

# How many layers an image may have: py/rules_bento/images/oci_image.py refuses more.
_MOST_LAYERS = 127

# The output group in which rules for images (rules_img, bento_image and others) have their layout.
_GROUP = "oci_layout"

def _folder(ctx):
    """Returns the folder of the layout: the one output of the target, or of its output group. Fails for anything else."""
    outputs = ctx.files.layout
    groups = ctx.attr.layout[OutputGroupInfo] if OutputGroupInfo in ctx.attr.layout else None
    if not [file for file in outputs if file.is_directory] and hasattr(groups, _GROUP):
        outputs = getattr(groups, _GROUP).to_list()  # one folder, where it is what its name says
    if len(outputs) != 1:
        fail("{}: layout is {}, which has {} files and no output group {}, where one folder with an OCI layout belongs: name the target that makes it, or a filegroup of an output group".format(
            ctx.label,
            label_string(ctx.attr.layout.label),
            len(outputs),
            _GROUP,
        ))
    if outputs[0].is_source:
        fail("{}: layout is {}, a source, of which Bazel does not see every change: bento.base(layout = ...) in MODULE.bazel takes it".format(ctx.label, outputs[0].short_path))
    if not outputs[0].is_directory:
        fail("{}: layout is the file {}, where a folder with an OCI layout belongs: name the target or output group that makes one".format(ctx.label, outputs[0].short_path))
    return outputs[0]

def _layout(ctx):
    """Returns the layout as actions take it: its folder, and all files that links in it may lead to.

    In the folder of `oci_image`, layers are links to files elsewhere, which are runfiles of the target. Its own rules take them as
    inputs, so that whatever runs an action sees them.
    """
    if ctx.attr.layer_count < 1 or ctx.attr.layer_count > _MOST_LAYERS:
        fail("{}: layer_count is {}, but images have 1 to {} layers".format(ctx.label, ctx.attr.layer_count, _MOST_LAYERS))
    folder = _folder(ctx)
    return struct(folder = folder, inputs = depset([folder], transitive = [ctx.attr.layout[DefaultInfo].default_runfiles.files]))

def _platform(ctx):
    name = platform_name(ctx)
    if name not in _PLATFORMS:
        fail("{}: is for {}, but bases are for {}: set platform of the image".format(ctx.label, name or "a platform that no hub knows", " and ".join(sorted(_PLATFORMS))))
    return _PLATFORMS[name]

def _describe(ctx, layout):
    """Declares the action that verifies the layout's digests and describes the image. Returns config and descriptions, Files."""
    config = ctx.actions.declare_file(ctx.label.name + ".base.json")
    descriptions = [
        ctx.actions.declare_file("{}.{}.layer.json".format(ctx.label.name, number))
        for number in range(ctx.attr.layer_count)
    ]
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(["--layout", layout.folder], expand_directories = False)
    args.add_all(["--platform", _platform(ctx)])
    args.add_all(["--config", config])
    args.add_all(descriptions, before_each = "--description")
    run_helper(
        ctx,
        mnemonic = "BentoBaseLayout",
        progress_message = "Reading the OCI layout of %{label}",
        verb = verb("base_layout", args, inputs = layout.inputs),
        outputs = [config] + descriptions,
    )
    return config, descriptions

def _layer(ctx, layout, number, description):
    """Declares a layer as a file of its own, for whatever asks for its bytes, which an image does not."""
    blob = ctx.actions.declare_file("{}.{}.layer".format(ctx.label.name, number))
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(["--layout", layout.folder], expand_directories = False)
    args.add_all(["--description", description])
    args.add_all(["--output", blob])
    run_helper(
        ctx,
        mnemonic = "BentoBaseLayer",
        progress_message = "Taking layer {} of %{{label}} out of its OCI layout".format(number),
        verb = verb("base_layer", args, inputs = depset([description], transitive = [layout.inputs])),
        outputs = [blob],
    )
    return BentoLayerInfo(blob = blob, description = description)

def _bento_layout_base_impl(ctx):
    layout = _layout(ctx)
    config, descriptions = _describe(ctx, layout)
    layers = [_layer(ctx, layout, number, description) for number, description in enumerate(descriptions)]
    contents = scan_layers(ctx, [(description, layout.folder) for description in descriptions], behind = layout.inputs)
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
    doc = """A base for images that another rule makes: a folder with an OCI layout, such as `oci_image` of rules_oci and `image_manifest` of rules_img
have.

```starlark
bento_layout_base(
    name = "python",
    layer_count = 4,
    layout = "//images:python",
    python = "/usr/local/bin/python3",
    python_version = "3.12",
)
```

Of an index, the image for the platform is taken. Every part is held to its digest, size and media type. The number of layers
has to be known before the layout is made; where it is another, the build says which. Layers are copied where something asks for
their bytes: a push, `oci_layout`, `docker_archive`, and the output group `layer` of this rule.""",
    attrs = {
        "glibc": attr.string(doc = "Version of its C library, `X.Y`. Default: not known, and wheels are held to `glibc` of their hub."),
        "layer_count": attr.int(doc = "How many layers the image has.", mandatory = True),
        "layout": attr.label(allow_files = True, doc = "What makes the folder with the OCI layout: its one output, or that of its output group `oci_layout`.", mandatory = True),
        "python": attr.string(doc = "Absolute path of the interpreter.", mandatory = True),
        "python_version": attr.string(doc = "Its version, `X.Y`.", mandatory = True),
    } | PLATFORM,
    cfg = image_cfg,
    provides = [BentoBaseInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
