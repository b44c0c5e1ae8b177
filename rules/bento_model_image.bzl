"""Defines bento_model_image, which makes an image or an artifact of a model alone."""

load("//rules:providers.bzl", "BentoImageInfo", "BentoModelInfo")
load("//rules/private:attributes.bzl", "CREATION_TIME", "add_pairs", "creation_time", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper", "verb")
load("//rules/private:image_form.bzl", "write_form")
load("//rules/private:layers.bzl", "BENTO", "COMPRESSIONS")

def _assemble(ctx, model, layers):
    outputs = struct(
        config = ctx.actions.declare_file(ctx.label.name + ".config.json"),
        digest = ctx.actions.declare_file(ctx.label.name + ".digest"),
        manifest = ctx.actions.declare_file(ctx.label.name + ".manifest.json"),
    )
    descriptions = [layer.description for layer in layers]
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(["--format", ctx.attr.format])
    args.add_all(["--folder", BENTO])
    args.add_all(["--created", creation_time(ctx)])
    args.add_all(["--model", model.description])
    add_pairs(args, "--annotation", ctx.attr.annotations)
    args.add_all(descriptions, before_each = "--layer")
    args.add_all(["--config", outputs.config])
    args.add_all(["--manifest", outputs.manifest])
    args.add_all(["--digest", outputs.digest])
    run_helper(
        ctx,
        mnemonic = "BentoModelImage",
        progress_message = "Assembling image %{label} of a model",
        verb = verb("model_image", args, inputs = depset([model.description] + descriptions)),
        outputs = [outputs.config, outputs.digest, outputs.manifest],
    )
    return outputs

def _bento_model_image_impl(ctx):
    model = ctx.attr.model[BentoModelInfo]
    layers = model.layers[ctx.attr.compression]
    if ctx.attr.format == "modelpack" and len(layers) > 1:
        fail(("{}: {} has layers of weights, and links to these, which tools for ModelPack refuse to unpack. " +
              "Set image_layers = 1 of the model, or format = \"image\"").format(
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
    doc = """A model alone, of the layers that images of its Bentos have.

```starlark
bento_model_image(name = "llm_image", model = ":llm")

bento_push(name = "push_llm", src = ":llm_image", repositories = ["registry.example.com/llm-weights"])
```

A container of a `bento_image` with `models = "image"` mounts it at /mnt/models/<name of the model>. Outputs and output groups are
those of `bento_image`, so far as a model has them.""",
    attrs = {
        "annotations": attr.string_dict(doc = "Annotations of the manifest, beside title, version and created. Those that OCI defines are labels of an image as well, and in the config of an artifact."),
        "compression": attr.string(default = "zstd", doc = "Of the layers, as `bento_image` has it. What does not compress is stored in each.", values = COMPRESSIONS),
        "format": attr.string(default = "image", doc = "`image`, which engines mount, or `modelpack`, an artifact of CNCF ModelPack, of the same layer: of a model with `image_layers = 1`, for its tools unpack no links.", values = ["image", "modelpack"]),
        "model": attr.label(doc = "The model.", mandatory = True, providers = [BentoModelInfo]),
        "reference": attr.string(doc = "Name and tag in the big forms. Default: the target's name."),
    } | CREATION_TIME,
    provides = [BentoImageInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
