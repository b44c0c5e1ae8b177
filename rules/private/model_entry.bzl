"""Declares the outputs of all model rules: description, manifest, archive part, and layers."""

load("//rules:providers.bzl", "BentoModelInfo")
load(":attributes.bzl", "describe_source", "label_string")
load(":helper.bzl", "run_helper", "subcommand", "target_arguments")
load(":layers.bzl", "BENTO", "COMPRESSIONS", "USER", "WEIGHTS", "extension", "write_layer")

_PACKAGES = ["blake3", "pyyaml"]

# Suffixes of weights files, each in a separate layer.
_WEIGHTS = [".bin", ".ckpt", ".gguf", ".pt", ".pth", ".safetensors"]

# Suffixes of files that refer to other files of the model. The readers of these files reject links, so the model is a single layer.
_NAMING = [".onnx"]

def _arguments(ctx, source):
    args = target_arguments(ctx)
    source.describe(args)
    return args

def _write(ctx, source, *, mnemonic, progress_message, name, outputs):
    """Declares an action that reads the model. `outputs` is a dict of flag to File. The first output determines the name of the temporary directory."""
    args = _arguments(ctx, source)
    for flag, output in outputs.items():
        args.add_all([flag, output])
    args.add_all(["--scratch", outputs.values()[0].basename + ".files"])
    run_helper(
        ctx,
        mnemonic = mnemonic,
        progress_message = progress_message,
        subcommand = subcommand(name, args, inputs = source.inputs, packages = _PACKAGES + source.packages),
        outputs = outputs.values(),
    )

def _archive(ctx, source):
    """Declares an archive of the model for `bentoml models import`."""
    output = ctx.actions.declare_file(ctx.label.name + ".bentomodel")
    _write(ctx, source, mnemonic = "BentoExport", progress_message = "Writing %{output}", name = "export_model", outputs = {"--output": output})
    return output

def _layer(ctx, source, compression):
    """Declares a single layer with the complete model."""
    args = _arguments(ctx, source)
    args.add_all(["--directory", BENTO, "--user", USER, "--scratch", "{}.{}.files".format(ctx.label.name, extension(compression))])
    return write_layer(
        ctx,
        compression = compression,
        name = ctx.label.name,
        progress_message = "Writing layer of model %{label}",
        subcommand = subcommand("model_layer", args, inputs = source.inputs, packages = _PACKAGES + source.packages),
    )

def _groups(files, most):
    """Splits files into at most `most` groups. Each group contains consecutive files in the order of names."""
    ordered = sorted(files, key = lambda file: file.short_path)
    count = min(most, len(files))
    groups = [[] for _ in range(count)]
    for at, file in enumerate(ordered):
        groups[at * count // len(ordered)].append(file)
    return groups

def _weights_layers(ctx, source, groups, directory, compression):
    """Declares a layer for each group of weights. The action of a layer reads only the files in the group, so other layers remain unchanged."""
    layers = []
    for number, files in enumerate(groups):
        args = target_arguments(ctx)
        source.place(args)
        args.add_all(files, map_each = describe_source)
        args.add_all(["--directory", BENTO, "--user", USER, "--weights", directory])
        layers.append(write_layer(
            ctx,
            compression = compression,
            name = "{}.weights-{}".format(ctx.label.name, number),
            progress_message = "Writing weights layer of %{label}",
            subcommand = subcommand("weights_layer", args, inputs = depset(files), packages = ["blake3"]),
        ))
    return layers

def _layer_of_the_rest(ctx, source, weights, directory, metadata, compression):
    """Declares the layer with the model's other files and with links to the weights. The action doesn't read the weights."""
    others = [file for file in source.files if file not in weights]
    args = target_arguments(ctx)
    source.place(args)
    args.add_all(others, map_each = describe_source)
    args.add_all(weights, map_each = _describe_weights)
    args.add_all(["--directory", BENTO, "--user", USER, "--weights", directory, "--written-description", metadata.description])
    args.add_all(["--written-manifest", metadata.manifest, "--written-model-yaml", metadata.model_yaml])
    return write_layer(
        ctx,
        compression = compression,
        name = ctx.label.name,
        progress_message = "Writing layer of model %{label} without weights",
        subcommand = subcommand("model_layer", args, inputs = depset(others + [metadata.description, metadata.manifest, metadata.model_yaml]), packages = _PACKAGES),
    )

def _describe_weights(file):
    return ["--weights-file", "", file.short_path, label_string(file.owner)]

def _layers(ctx, source, metadata, compression):
    weights = [file for file in source.files if not file.is_directory and _ends_with(file.basename, _WEIGHTS)]
    naming = [file for file in source.files if _ends_with(file.basename, _NAMING)]
    if not weights or naming or ctx.attr.image_layers < 2:
        return (_layer(ctx, source, compression),)
    directory = "{}/{}".format(WEIGHTS, source.name or ctx.label.name)
    groups = _groups(weights, ctx.attr.image_layers - 1)
    layers = _weights_layers(ctx, source, groups, directory, compression)
    return tuple(layers + [_layer_of_the_rest(ctx, source, weights, directory, metadata, compression)])

def _ends_with(name, suffixes):
    for suffix in suffixes:
        if name.endswith(suffix):
            return True
    return False

def _part(ctx, source):
    """Declares the archive part of the model."""
    part = ctx.actions.declare_file(ctx.label.name + ".model.part")
    _write(ctx, source, mnemonic = "BentoModelPart", progress_message = "Packing model %{label}", name = "model", outputs = {"--part": part})
    return part

def _described(ctx, source):
    """Declares the files that describe the model: description, manifest, and model.yaml."""
    metadata = struct(
        description = ctx.actions.declare_file(ctx.label.name + ".model.json"),
        manifest = ctx.actions.declare_file(ctx.label.name + ".manifest.json"),
        model_yaml = ctx.actions.declare_file(ctx.label.name + ".model.yaml"),
    )
    outputs = {"--description": metadata.description, "--manifest": metadata.manifest, "--model-yaml": metadata.model_yaml}
    _write(ctx, source, mnemonic = "BentoModel", progress_message = "Describing model %{label}", name = "model", outputs = outputs)
    return metadata

def model_source(*, place, describe, files = [], more_inputs = [], packages = [], name = ""):
    """Describes the inputs of a model.

    Args:
      place: function that adds arguments to an Args. The arguments specify the paths of the sources in the model.
      describe: function that adds the other arguments of the subcommand `model`, except sources, to an Args.
      files: list of the source Files.
      more_inputs: list of the Files in the arguments that `describe` adds.
      packages: names of the third-party packages that the helper needs to read the files.
      name: name of the model, or an empty string if unknown.

    Returns:
      A struct for `model_entry`.
    """

    def describe_all(args):
        place(args)
        describe(args)
        args.add_all(files, map_each = describe_source)

    return struct(describe = describe_all, files = files, inputs = depset(files + more_inputs), name = name, packages = packages, place = place)

# Attributes of all rules that declare models.
MODEL_ATTRIBUTES = {
    "alias": attr.string(doc = "Alternative name that `bentoml.models.get` accepts in Bentos that bundle the model."),
    "image_layers": attr.int(
        default = 32,
        doc = "Maximum number of image layers for the model. Each weights file ({}) is a separate layer, up to the maximum. If a shard changes, only the layer of the shard is built and pushed again. The weights are in {}, and the model contains symbolic links to the weights. If the maximum is 1, the model is a single layer without links. The same applies to a model with a {} file, because the readers of such files reject links.".format(", ".join(_WEIGHTS), WEIGHTS, ", ".join(_NAMING)),
    ),
}

def model_entry(ctx, source):
    """Declares the outputs of a model. Returns the list of providers, which includes BentoModelInfo."""
    part = _part(ctx, source)
    metadata = _described(ctx, source)
    return [
        BentoModelInfo(
            alias = ctx.attr.alias,
            archive_part = part,
            description = metadata.description,
            layers = {compression: _layers(ctx, source, metadata, compression) for compression in COMPRESSIONS},
            manifest = metadata.manifest,
        ),
        DefaultInfo(files = depset([metadata.description])),
        OutputGroupInfo(bentomodel = depset([_archive(ctx, source)]), manifest = depset([metadata.manifest]), part = depset([part])),
    ]
