"""Declares the outputs of models: description, manifest, archive part, and layers."""

load("//rules:providers.bzl", "BentoLayerInfo", "BentoModelInfo")
load(":attributes.bzl", "describe_source", "label_string")
load(":helper.bzl", "DEFLATE", "named_only", "read_files", "run_leaf", "subcommand")
load(":layers.bzl", "BENTO", "COMPRESSIONS", "USER", "WEIGHTS", "write_layer")

_PACKAGES = ["blake3", "pyyaml"]

# Suffixes of weights files, each in a separate layer.
_WEIGHTS = (".bin", ".ckpt", ".gguf", ".pt", ".pth", ".safetensors")

# Suffixes of files that refer to other files of the model. The readers of these files reject links, so the model is a
# single layer.
_NAMING = (".onnx",)

def _write(ctx, source, *, mnemonic, progress_message, name, outputs):
    """Declares an action that runs the subcommand `name` and reads the model.

    `outputs` maps flags to suffixes of outputs. Returns a list of Files.
    """
    return run_leaf(
        ctx,
        name,
        source.flags | {"--scratch": ctx.label.name.rpartition("/")[2] + outputs.values()[0] + ".files"},
        mnemonic = mnemonic,
        outputs = outputs,
        packages = _PACKAGES + DEFLATE + source.packages,
        progress_message = progress_message,
    )

def _layer(ctx, source, location, compression, name):
    """Declares a layer that contains the complete model at `location` (a dict of flags). Returns a BentoLayerInfo."""
    return write_layer(
        ctx,
        compression = compression,
        name = name,
        progress_message = "Writing layer of model %{label}",
        subcommand = subcommand(
            ctx,
            "model_layer",
            source.flags | location | {"--scratch": "{}.{}.files".format(name, compression), "--user": USER},
            packages = _PACKAGES + source.packages,
        ),
    )

def _groups(files, most):
    """Sorts files by path, and splits them into at most `most` groups of consecutive files. Returns a list of lists."""
    ordered = sorted(files, key = lambda file: file.short_path)
    count = min(most, len(files))
    groups = [[] for _ in range(count)]
    for at, file in enumerate(ordered):
        groups[at * count // len(ordered)].append(file)
    return groups

def _describe_weights(file):
    return ["--weights-file", "", file.short_path, label_string(file.owner)]

def _weights(model):
    """Returns the weight files, or an empty list if `image_layers` permits only one layer."""
    weights = [file for file in model.files if not file.is_directory and file.basename.endswith(_WEIGHTS)]
    return weights if model.image_layers > 1 else []

def _separate_layers(ctx, model, weights, location, compression, name):
    """Declares a layer for each group of weight files, and a layer of the other files.

    Returns a tuple of BentoLayerInfo.

    A changed file affects only the layer of its group. Unless `location` has `--root`, the layer of the other files
    links to the weights without reading them.
    """
    flags = model.place | location | {"--user": USER}
    layers = [
        write_layer(
            ctx,
            compression = compression,
            name = "{}.weights-{}".format(name, number),
            progress_message = "Writing weights layer of %{label}",
            subcommand = subcommand(
                ctx,
                "weights_layer",
                flags | {"--source": read_files(files, describe_source)},
                packages = ["blake3"],
            ),
        )
        for number, files in enumerate(_groups(weights, model.image_layers - 1))
    ]
    others = [file for file in model.files if file not in weights]
    return tuple(layers + [write_layer(
        ctx,
        compression = compression,
        name = name,
        progress_message = "Writing layer of model %{label} without weights",
        subcommand = subcommand(
            ctx,
            "model_layer",
            flags | {
                "--source": read_files(others, describe_source),
                "--weights-file": named_only(weights, _describe_weights),
                "--written-description": model.description,
                "--written-manifest": model.manifest,
                "--written-model-yaml": model.model_yaml,
            },
            packages = _PACKAGES,
        ),
    )])

def _layers(ctx, source, model, compression):
    weights = _weights(model)
    if not weights or [file for file in source.files if file.basename.endswith(_NAMING)]:
        return (_layer(ctx, source, {"--directory": BENTO}, compression, ctx.label.name),)
    directory = "{}/{}".format(WEIGHTS, model.name)
    return _separate_layers(
        ctx,
        model,
        weights,
        {"--directory": BENTO, "--weights": directory},
        compression,
        ctx.label.name,
    )

def unlinked_layers(ctx, model, root, compression, name):
    """Declares layers with a model's files below `root` in the image, without links.

    Returns a tuple of BentoLayerInfo.
    """
    if model.sources.files:
        return _separate_layers(ctx, model.sources, _weights(model.sources), {"--root": root}, compression, name)
    part = model.archive_part
    source = struct(flags = {"--archive": (part, part.basename)}, packages = [])
    return (_layer(ctx, source, {"--root": root}, compression, name),)

def file_layers(ctx, model, name):
    """Declares a layer for each file of a model. The layer is the file itself.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      model: value of the field `sources` of BentoModelInfo.
      name: prefix of the names of outputs.

    Returns:
      A tuple of BentoLayerInfo. Empty if the files aren't declared separately.
    """
    if [file for file in model.files if file.is_directory]:
        return ()
    layers = []
    for number, file in enumerate(sorted(model.files, key = lambda file: file.short_path)):
        output = "{}.{}.file".format(name, number)
        blob, description = run_leaf(
            ctx,
            "model_file_layer",
            model.place | {"--source": read_files([file], describe_source)},
            mnemonic = "BentoModelFile",
            outputs = {
                "--output": ctx.actions.declare_file(output),
                "--description": ctx.actions.declare_file(output + ".json"),
            },
            progress_message = "Writing layer of model %{label}",
        )
        layers.append(BentoLayerInfo(blob = blob, description = description))
    return tuple(layers)

def _described(ctx, source):
    """Declares the files that describe the model. Returns the value of the field `sources` of BentoModelInfo."""
    description, manifest, model_yaml = _write(
        ctx,
        source,
        mnemonic = "BentoModel",
        progress_message = "Describing model %{label}",
        name = "model",
        outputs = {"--description": ".model.json", "--manifest": ".manifest.json", "--model-yaml": ".model.yaml"},
    )
    return struct(
        description = description,
        files = tuple(source.files),
        image_layers = ctx.attr.image_layers,
        manifest = manifest,
        model_yaml = model_yaml,
        name = source.name or ctx.label.name,
        place = source.place,
    )

# Attributes for the use of a model in Bentos and images.
MODEL_ATTRIBUTES = {
    "alias": attr.string(doc = "Another name that `bentoml.models.get` accepts in Bentos with the model."),
    "image_layers": attr.int(
        default = 32,
        doc = ("Maximum number of image layers. Up to the maximum, each weights file ({}) is a layer in {}, to " +
               "which the model has symbolic links. With 1, and for a model with a {} file, the model is a single " +
               "layer without links.").format(", ".join(_WEIGHTS), WEIGHTS, ", ".join(_NAMING)),
    ),
}

def model_entry(ctx, source):
    """Declares the outputs of a model.

    Args:
      ctx: context of bento_model.
      source: struct of `flags` (for subcommands that read the model), `packages` (which these subcommands require),
        `files` (list of the Files in `srcs`), `place` (flags for their paths in the model), and `name` (or empty).

    Returns:
      A list of providers.
    """
    part = _write(
        ctx,
        source,
        mnemonic = "BentoModelPart",
        progress_message = "Packing model %{label}",
        name = "model",
        outputs = {"--part": ".model.part"},
    )
    model = _described(ctx, source)
    return [
        BentoModelInfo(
            alias = ctx.attr.alias,
            archive_part = part[0],
            description = model.description,
            layers = {compression: _layers(ctx, source, model, compression) for compression in COMPRESSIONS},
            manifest = model.manifest,
            sources = model,
        ),
        DefaultInfo(files = depset([model.description])),
        OutputGroupInfo(
            bentomodel = depset(
                _write(
                    ctx,
                    source,
                    mnemonic = "BentoExport",
                    progress_message = "Writing %{output}",
                    name = "export_model",
                    outputs = {"--output": ".bentomodel"},
                ),
            ),
            manifest = depset([model.manifest]),
            part = depset(part),
        ),
    ]
