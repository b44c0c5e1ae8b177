"""Defines bento_model_import, which takes an entry of BentoML's model store as it is."""

load("//rules:providers.bzl", "BentoModelInfo")
load("//rules/private:attributes.bzl", "directory_path")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE")
load("//rules/private:model_entry.bzl", "MODEL_ATTRIBUTES", "model_entry", "model_source")

def _bento_model_import_impl(ctx):
    if bool(ctx.files.srcs) == bool(ctx.file.archive):
        fail("{}: set archive, or srcs: the entry is the one or the others".format(ctx.label))

    def place(args):
        args.add_all(["--package", directory_path(ctx.label, ctx.label.package)])
        args.add_all(["--strip-prefix", ctx.attr.strip_prefix])

    def describe(args):
        if ctx.file.archive:
            args.add_all(["--archive", ctx.file.archive, ctx.file.archive.basename])

    return model_entry(ctx, model_source(
        describe = describe,
        files = ctx.files.srcs,
        further = ctx.files.archive,
        packages = ["zstandard"] if ctx.file.archive else [],
        place = place,
    ))

bento_model_import = rule(
    implementation = _bento_model_import_impl,
    doc = """A model as somebody's model store has it, with its tag, labels and time of creation.

```starlark
bento_model_import(
    name = "iris_clf",
    archive = "iris_clf-v1.bentomodel",  # bentoml models export iris_clf:v1
)
```

Or the files of the entry itself: `srcs = glob(["iris_clf/v1/**"])`, `strip_prefix = "iris_clf/v1"`. Output groups are those of
`bento_model`.""",
    attrs = {
        "archive": attr.label(
            allow_single_file = [".bentomodel", ".part", ".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".zip"],
            doc = "The entry, as `bentoml models export` writes it, or as a registry has it (`.part`).",
        ),
        "srcs": attr.label_list(allow_files = True, doc = "The files of the entry, `model.yaml` among them."),
        "strip_prefix": attr.string(doc = "The folder of the entry, below the package."),
    } | MODEL_ATTRIBUTES,
    provides = [BentoModelInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
