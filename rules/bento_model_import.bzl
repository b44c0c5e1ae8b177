"""Defines bento_model_import, which imports an entry of BentoML's model store without changes."""

load("//rules:providers.bzl", "BentoModelInfo")
load("//rules/private:attributes.bzl", "directory_path", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE")
load("//rules/private:model_entry.bzl", "MODEL_ATTRIBUTES", "model_entry", "model_source")

def _bento_model_import_impl(ctx):
    if bool(ctx.files.srcs) == bool(ctx.file.archive):
        fail("{}: expected either archive or srcs. Set exactly one of these attributes.".format(label_string(ctx.label)))

    def describe(args):
        if ctx.file.archive:
            args.add_all(["--archive", ctx.file.archive, ctx.file.archive.basename])

    return model_entry(ctx, model_source(
        describe = describe,
        files = ctx.files.srcs,
        more_inputs = ctx.files.archive,
        packages = ["zstandard"] if ctx.file.archive else [],
        place = ["--package", directory_path(ctx.label, ctx.label.package), "--strip-prefix", ctx.attr.strip_prefix],
    ))

bento_model_import = rule(
    implementation = _bento_model_import_impl,
    doc = """Imports a model from a model store, with its tag, labels, and creation time.

```starlark
bento_model_import(
    name = "iris_clf",
    archive = "iris_clf-v1.bentomodel",  # bentoml models export iris_clf:v1
)
```

Alternatively, set `srcs` to the files of the model's entry in the store: `srcs = glob(["iris_clf/v1/**"])`, `strip_prefix = "iris_clf/v1"`. The output
groups are the same as in `bento_model`.""",
    attrs = {
        "archive": attr.label(
            allow_single_file = [".bentomodel", ".part", ".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".zip"],
            doc = "Archive of the model: the output of `bentoml models export`, or a `.part` file, such as the layer of a model artifact in a registry.",
        ),
        "srcs": attr.label_list(allow_files = True, doc = "Files of the model in the store, including `model.yaml`."),
        "strip_prefix": attr.string(doc = "Directory of the model in the store, relative to the package."),
    } | MODEL_ATTRIBUTES,
    provides = [BentoModelInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
