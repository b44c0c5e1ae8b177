"""Defines bento_model, which builds a model in the format of BentoML's model store."""

load("//rules:providers.bzl", "BentoModelInfo")
load("//rules/private:attributes.bzl", "CREATION_TIME", "add_pairs", "creation_time", "directory_path")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE")
load("//rules/private:model_entry.bzl", "MODEL_ATTRIBUTES", "model_entry", "model_source")

def _bento_model_impl(ctx):
    def describe(args):
        args.add_all(["--tag", ctx.attr.tag, "--module", ctx.attr.module, "--api-version", ctx.attr.api_version])
        args.add_all(["--creation-time", creation_time(ctx)])
        for file in ctx.files.fields_file:
            args.add_all(["--fields", file, file.short_path])
        add_pairs(args, "--label", ctx.attr.labels)
        add_pairs(args, "--metadata", ctx.attr.metadata)
        add_pairs(args, "--option", ctx.attr.options)
        add_pairs(args, "--signature", {method: json.encode(words) for method, words in ctx.attr.signatures.items()})
        add_pairs(args, "--context", ctx.attr.context)
        add_pairs(args, "--framework-version", ctx.attr.framework_versions)

    return model_entry(ctx, model_source(
        describe = describe,
        files = ctx.files.srcs,
        more_inputs = ctx.files.fields_file,
        name = ctx.attr.tag.partition(":")[0],
        place = ["--package", directory_path(ctx.label, ctx.label.package), "--strip-prefix", ctx.attr.strip_prefix],
    ))

bento_model = rule(
    implementation = _bento_model_impl,
    doc = """Builds a model in the format of BentoML's model store: `model.yaml` and the model's files.

```starlark
bento_model(
    name = "iris_clf",
    srcs = [":train"],            # writes saved_model.pkl
    module = "bentoml.sklearn",
    tag = "iris_clf",             # the version is the digest of the content
)
```

The model is built only once for all Bentos that include it. A service loads the model with `bentoml.models.BentoModel("iris_clf:latest")`, or with
the framework module, such as `bentoml.sklearn.load_model("iris_clf:latest")`.

| output group | content |
|---|---|
| `bentomodel` | archive for `bentoml models import` |
| `manifest` | list of the model's files |
| `part` | the model's files, compressed for archives of Bentos |""",
    attrs = {
        "api_version": attr.string(default = "v1", doc = "Version of the framework module's model format. The module's loader must support the version."),
        "context": attr.string_dict(doc = "Entries of `context` in model.yaml: `framework_name` (default: the last part of `module`), `python_version`, and `bentoml_version`."),
        "fields_file": attr.label(
            allow_single_file = [".json"],
            doc = "JSON file with an object whose keys are `metadata`, `options`, or `signatures`: `{\"metadata\": {\"accuracy\": 0.97}}`. Use the file for values that aren't strings, or that are determined during training.",
        ),
        "framework_versions": attr.string_dict(doc = "Versions of framework packages, stored in `context.framework_versions`. Keys are package names."),
        "labels": attr.string_dict(doc = "Labels of the model."),
        "metadata": attr.string_dict(doc = "Metadata of the model. Values are strings; for other types, use `fields_file`."),
        "module": attr.string(doc = "Framework module of BentoML that loads the model, such as `bentoml.sklearn`. Default: no module, as for a model that `bentoml.models.create` creates."),
        "options": attr.string_dict(doc = "Options of the framework module. Values are strings; for other types, use `fields_file`."),
        "signatures": attr.string_list_dict(doc = "Signatures of the model. Keys are method names; values are properties: `{\"predict\": [\"batchable\", \"batch_dim=0,0\"]}`."),
        "srcs": attr.label_list(allow_files = True, doc = "Files of the model. Each file keeps its path relative to the package.", mandatory = True),
        "strip_prefix": attr.string(doc = "Path prefix to remove from the paths of the files: a directory, relative to the package."),
        "tag": attr.string(doc = "Tag of the model: `name` or `name:version`. Default version: the digest of the content.", mandatory = True),
    } | CREATION_TIME | MODEL_ATTRIBUTES,
    provides = [BentoModelInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
