"""Defines bento_model_image, which builds an image or an OCI artifact that contains only a model."""

load("//rules:providers.bzl", "BentoImageInfo", "BentoModelInfo")
load("//rules/private:attributes.bzl", "CREATION_TIME", "add_pairs", "creation_time", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "run_helper", "subcommand", "target_arguments")
load("//rules/private:image_form.bzl", "write_form")
load("//rules/private:layers.bzl", "BENTO", "COMPRESSIONS")

def _assemble(ctx, model, layers):
    outputs = struct(
        config = ctx.actions.declare_file(ctx.label.name + ".config.json"),
        digest = ctx.actions.declare_file(ctx.label.name + ".digest"),
        manifest = ctx.actions.declare_file(ctx.label.name + ".manifest.json"),
    )
    descriptions = [layer.description for layer in layers]
    args = target_arguments(ctx)
    args.add_all(["--format", ctx.attr.format, "--directory", BENTO, "--created", creation_time(ctx), "--model", model.description])
    add_pairs(args, "--annotation", ctx.attr.annotations)
    args.add_all(descriptions, before_each = "--layer")
    args.add_all(["--config", outputs.config, "--manifest", outputs.manifest, "--digest", outputs.digest])
    run_helper(
        ctx,
        mnemonic = "BentoModelImage",
        progress_message = "Assembling model image %{label}",
        subcommand = subcommand("model_image", args, inputs = depset([model.description] + descriptions)),
        outputs = [outputs.config, outputs.digest, outputs.manifest],
    )
    return outputs

def _bento_model_image_impl(ctx):
    model = ctx.attr.model[BentoModelInfo]
    layers = model.layers[ctx.attr.compression]
    if ctx.attr.format == "modelpack" and len(layers) > 1:
        fail(("{}: {} contains links to weights in separate layers, which ModelPack tools can't unpack. " +
              "Set image_layers = 1 on the model, or format = \"image\".").format(
            label_string(ctx.label),
            label_string(ctx.attr.model.label),
        ))
    image = _assemble(ctx, model, layers)
    groups = ["oci_layout"] + (["docker_archive"] if ctx.attr.format == "image" else [])
    return [
        BentoImageInfo(
            bento_yaml = None,
            build_definition = None,
            config = image.config,
            digest = image.digest,
            layers = layers,
            manifest = image.manifest,
            referrers = (),
        ),
        DefaultInfo(files = depset([image.config, image.digest, image.manifest])),
        OutputGroupInfo(**{group: depset([write_form(ctx, image, layers, group)]) for group in groups}),
    ]

bento_model_image = rule(
    implementation = _bento_model_image_impl,
    doc = """Builds an image that contains only a model. The image shares the layers with the images of Bentos that include the model.

```starlark
bento_model_image(name = "llm_image", model = ":llm")

bento_push(name = "push_llm", src = ":llm_image", repositories = ["registry.example.com/llm-weights"])
```

Use the image with a `bento_image` that sets `models = "image"`. In the containers, mount the model image at /mnt/models/<name of the model>. The
default outputs are the config, the manifest, and the digest. Output groups: `oci_layout` and `docker_archive`, as in `bento_image`.""",
    attrs = {
        "annotations": attr.string_dict(doc = "Additional annotations of the manifest. Default annotations: title, version, and creation time. An image also has the annotations that OCI defines as labels. A ModelPack artifact has these annotations in the config."),
        "compression": attr.string(default = "zstd", doc = "Compression of the layers, as in `bento_image`. Data that compression doesn't reduce is stored uncompressed.", values = COMPRESSIONS),
        "format": attr.string(default = "image", doc = "Format of the output: `image` (default), which container engines can mount, or `modelpack`, an artifact in CNCF's ModelPack format with the same layer. `modelpack` requires a model with `image_layers = 1`, because ModelPack tools don't unpack links.", values = ["image", "modelpack"]),
        "model": attr.label(doc = "The model that the image contains.", mandatory = True, providers = [BentoModelInfo]),
        "reference": attr.string(doc = "Name and tag of the image in `oci_layout` and `docker_archive`. Default: the name of the target."),
    } | CREATION_TIME,
    provides = [BentoImageInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
