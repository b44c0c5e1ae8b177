"""Defines bento_model, which builds an entry of BentoML's model store from files."""

load("//rules:providers.bzl", "BentoModelInfo")
load("//rules/private:attributes.bzl", "CREATION_TIME", "add_pairs", "creation_time", "directory_path")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE")
load("//rules/private:model_entry.bzl", "MODEL_ATTRIBUTES", "model_entry", "model_source")

def _bento_model_impl(ctx):
    def place(args):
        args.add_all(["--package", directory_path(ctx.label, ctx.label.package), "--strip-prefix", ctx.attr.strip_prefix])

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
        place = place,
    ))

bento_model = rule(
    implementation = _bento_model_impl,
    doc = """Builds a model in the form of BentoML's model store: `model.yaml` and the model's files.

```starlark
bento_model(
    name = "iris_clf",
    srcs = [":train"],            # writes saved_model.pkl
    module = "bentoml.sklearn",
    tag = "iris_clf",             # the version is the content's digest
)
```

All Bentos with the model share its actions. A service loads the model with `bentoml.models.BentoModel("iris_clf:latest")` or with the loaders
of BentoML's framework modules. Output groups: `bentomodel` (for `bentoml models import`, if Bentos don't bundle the model), `manifest`, and
`part` (the model's part of archives).""",
    attrs = {
        "api_version": attr.string(default = "v1", doc = "Version of the framework module's format, as its loader requires it."),
        "context": attr.string_dict(doc = "Entries of `context`: `framework_name` (default: the last part of `module`), `python_version`, `bentoml_version`."),
        "fields_file": attr.label(
            allow_single_file = [".json"],
            doc = "JSON object with `metadata`, `options`, or `signatures`, for values that aren't strings, or that training determines: `{\"metadata\": {\"accuracy\": 0.97}}`.",
        ),
        "framework_versions": attr.string_dict(doc = "`context.framework_versions`: package to version."),
        "labels": attr.string_dict(doc = "Labels of the model."),
        "metadata": attr.string_dict(doc = "Metadata of the model, strings. Set other values in `fields_file`."),
        "module": attr.string(doc = "BentoML's framework module, such as `bentoml.sklearn`. Default: a generic model, as created by `bentoml.models.create`."),
        "options": attr.string_dict(doc = "Options of the framework module, strings. Set other values in `fields_file`."),
        "signatures": attr.string_list_dict(doc = "Method name to its properties: `{\"predict\": [\"batchable\", \"batch_dim=0,0\"]}`."),
        "srcs": attr.label_list(allow_files = True, doc = "The model's files. Paths in the model are relative to the package.", mandatory = True),
        "strip_prefix": attr.string(doc = "Directory below the package to remove from the paths of the files."),
        "tag": attr.string(doc = "`name` or `name:version`, in the form of BentoML's tags. Default version: the digest of the content.", mandatory = True),
    } | CREATION_TIME | MODEL_ATTRIBUTES,
    provides = [BentoModelInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
