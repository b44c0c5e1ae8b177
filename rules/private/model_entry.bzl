"""What all rules for models make: description, manifest, part of an archive, layers."""

load("//rules/providers:model.bzl", "BentoModelInfo")
load(":attributes.bzl", "label_text")
load(":helper.bzl", "arguments", "run_helper", "verb")
load(":layers.bzl", "BENTO", "COMPRESSIONS", "USER", "write_layer")

_PACKAGES = ["blake3", "pyyaml"]

def _arguments(ctx, describe):
    args = arguments(ctx)
    args.add_all(["--target", label_text(ctx.label)])
    describe(args)
    return args

def _archive(ctx, describe, inputs, packages):
    """The model as `bentoml models import` takes it; written only if its output group is asked for."""
    output = ctx.actions.declare_file(ctx.label.name + ".bentomodel")
    args = _arguments(ctx, describe)
    args.add_all(["--output", output])
    args.add_all(["--scratch", ctx.label.name + ".bentomodel.files"])
    run_helper(
        ctx,
        mnemonic = "BentoExport",
        progress_message = "Writing %{output}",
        verb = verb("export_model", args, inputs = inputs, packages = _PACKAGES + packages),
        outputs = [output],
    )
    return output

def _layer(ctx, describe, inputs, packages, compression):
    """The model as a layer; written only if an image asks for it."""
    args = _arguments(ctx, describe)
    args.add_all(["--folder", BENTO, "--user", USER])
    args.add_all(["--scratch", "{}.{}.files".format(ctx.label.name, compression)])
    return write_layer(
        ctx,
        compression = compression,
        name = ctx.label.name,
        progress_message = "Packing model %{label} into a layer",
        verb = verb("model_layer", args, inputs = inputs, packages = _PACKAGES + packages),
    )

def model_entry(ctx, describe, inputs, alias, packages = []):
    """Declares the files of an entry of the model store.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      describe: a function that adds to an Args what the entry is made from, as the verb `model` reads it.
      inputs: depset of Files that the Args name.
      alias: another name of the model; empty for none.
      packages: further packages that the verbs import.

    Returns:
      A list of providers, BentoModelInfo among them.
    """
    part = ctx.actions.declare_file(ctx.label.name + ".model.part")
    description = ctx.actions.declare_file(ctx.label.name + ".model.json")
    manifest = ctx.actions.declare_file(ctx.label.name + ".manifest.json")
    args = _arguments(ctx, describe)
    args.add_all(["--part", part])
    args.add_all(["--description", description])
    args.add_all(["--manifest", manifest])
    args.add_all(["--scratch", ctx.label.name + ".files"])
    run_helper(
        ctx,
        mnemonic = "BentoModel",
        progress_message = "Packing model %{label}",
        verb = verb("model", args, inputs = inputs, packages = _PACKAGES + packages),
        outputs = [part, description, manifest],
    )
    return [
        BentoModelInfo(
            alias = alias,
            archive_part = part,
            description = description,
            layers = {compression: _layer(ctx, describe, inputs, packages, compression) for compression in COMPRESSIONS},
            manifest = manifest,
        ),
        DefaultInfo(files = depset([description])),
        OutputGroupInfo(
            bentomodel = depset([_archive(ctx, describe, inputs, packages)]),
            manifest = depset([manifest]),
            part = depset([part]),
        ),
    ]
