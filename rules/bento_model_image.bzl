"""Defines bento_model_image, which builds an image or an OCI artifact of only models."""

load("//private:attributes.bzl", "CREATION_TIME", "creation_time", "json_pairs", "label_string")
load("//private:helper.bzl", "TOOLCHAIN_TYPE", "run_leaf")
load("//private:image_form.bzl", "write_form")
load("//private:layers.bzl", "COMPRESSIONS")
load("//private:model_entry.bzl", "file_layers", "unlinked_layers")
load("//private:target.bzl", "IMAGE_PLATFORM", "target_cfg")
load("//rules:providers.bzl", "BentoBaseInfo", "BentoImageInfo", "BentoModelInfo")

# KServe mounts the contents of this directory at /mnt/models.
_KSERVE = "models"

def _assemble(ctx, base, models, layers):
    config, digest, manifest = run_leaf(
        ctx,
        "model_image",
        {
            "--annotation": json_pairs(ctx.attr.annotations),
            "--base-config": base.config if base else None,
            "--created": creation_time(ctx),
            "--format": ctx.attr.format,
            "--layer": [layer.description for layer in layers],
            "--model": [model.description for model in models],
        },
        mnemonic = "BentoModelImage",
        outputs = {"--config": ".config.json", "--digest": ".digest", "--manifest": ".manifest.json"},
        progress_message = "Assembling model image %{label}",
    )
    return struct(config = config, digest = digest, manifest = manifest)

def _check(ctx, targets):
    """Fails if attributes can't be combined, or if two models have the same name."""
    where = label_string(ctx.label)
    if bool(ctx.attr.model) == bool(ctx.attr.models):
        fail("{}: expected either model or models. Set exactly one of these attributes.".format(where))
    if ctx.attr.base and ctx.attr.format != "kserve":
        fail(
            ("{}: base is supported only with format = \"kserve\". Set format = " +
             "\"kserve\", or remove base.").format(where),
        )
    labels = {}
    for target in targets:
        name, label = target[BentoModelInfo].sources.name, label_string(target.label)
        if name in labels:
            fail(
                "{}: models: {} and {} are both named {}. Remove or rename one of them.".format(
                    where,
                    labels[name],
                    label,
                    name,
                ),
            )
        labels[name] = label

def _layers(ctx, target, number):
    model = target[BentoModelInfo]
    if ctx.attr.format == "kserve":
        root = _KSERVE if ctx.attr.model else "{}/{}".format(_KSERVE, model.sources.name)
        return unlinked_layers(ctx, model, root, ctx.attr.compression, "{}.{}".format(ctx.label.name, number))
    if ctx.attr.format == "image":
        return model.layers[ctx.attr.compression]
    if ctx.attr.models:
        fail(
            ("{}: format = \"modelpack\" supports only one model. Set model instead of models, or set format = " +
             "\"image\".").format(label_string(ctx.label)),
        )
    layers = file_layers(ctx, model.sources, ctx.label.name)
    if not layers:
        fail(
            ("{}: format = \"modelpack\" requires a model of separate files, but {} is an archive or a directory. " +
             "Set srcs of the model to its files, or format = \"image\".").format(
                label_string(ctx.label),
                label_string(target.label),
            ),
        )
    return layers

def _bento_model_image_impl(ctx):
    targets = ctx.attr.models or [ctx.attr.model]
    _check(ctx, targets)
    base = ctx.attr.base[BentoBaseInfo] if ctx.attr.base else None
    models = [target[BentoModelInfo] for target in targets]
    layers = (base.layers if base else ()) + tuple([
        layer
        for number, target in enumerate(targets)
        for layer in _layers(ctx, target, number)
    ])
    image = _assemble(ctx, base, models, layers)
    groups = ["oci_layout"] + (["docker_archive"] if ctx.attr.format != "modelpack" else [])
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
    doc = """Builds an image of models, for mounting into containers.

```starlark
bento_model_image(name = "llm_image", model = ":llm")
```

| `format` | paths of the files | used by |
|---|---|---|
| `image` | as in a `bento_image` | a `bento_image` with `models = "image"`, below /mnt/models |
| `kserve` | /models, without symbolic links | [KServe](../docs/models.md#models-for-kserve), and image volumes |
| `modelpack` | paths in the model; each file is a layer | CNCF ModelPack tools. The model must have `srcs` |

Output groups: `oci_layout` and `docker_archive`, as in `bento_image`.""",
    attrs = {
        "annotations": attr.string_dict(
            doc = "Annotations of the manifest, in addition to title, version, and creation time.",
        ),
        "base": attr.label(
            doc = "Image base with `sh`, `ln`, `ls`, `mkdir`, and `sleep`, which KServe requires for `oci://`. " +
                  "Requires `format = \"kserve\"`.",
            providers = [BentoBaseInfo],
        ),
        "compression": attr.string(
            default = "gzip",
            doc = "Compression of the layers. KServe's `oci+fetch://` requires `gzip`.",
            values = COMPRESSIONS,
        ),
        "format": attr.string(
            default = "image",
            doc = "Format of the image (see above).",
            values = ["image", "kserve", "modelpack"],
        ),
        "model": attr.label(
            doc = "The model. With `format = \"kserve\"`, its files are in /models.",
            providers = [BentoModelInfo],
        ),
        "models": attr.label_list(
            doc = "Several models, instead of `model`. With `format = \"kserve\"`, the files are in " +
                  "/models/<name>: the name in `tag`, or the name of the target.",
            providers = [BentoModelInfo],
        ),
    } | CREATION_TIME | IMAGE_PLATFORM,
    cfg = target_cfg,
    provides = [BentoImageInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
