"""Defines bento_model, which makes an entry of BentoML's model store from files."""

load("//rules:providers.bzl", "BentoModelInfo")
load("//rules/private:attributes.bzl", "CREATION_TIME", "add_pairs", "creation_time", "directory_path")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE")
load("//rules/private:model_entry.bzl", "MODEL_ATTRIBUTES", "model_entry", "model_source")

def _bento_model_impl(ctx):
    def place(args):
        args.add_all(["--package", directory_path(ctx.label, ctx.label.package)])
        args.add_all(["--strip-prefix", ctx.attr.strip_prefix])

    def describe(args):
        args.add_all(["--tag", ctx.attr.tag])
        args.add_all(["--module", ctx.attr.module])
        args.add_all(["--api-version", ctx.attr.api_version])
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
        further = ctx.files.fields_file,
        name = ctx.attr.tag.partition(":")[0],
        place = place,
    ))

bento_model = rule(
    implementation = _bento_model_impl,
    doc = """A model as BentoML's model store holds it: `model.yaml` and the model's files.

```starlark
bento_model(
    name = "iris_clf",
    srcs = [":train"],            # writes saved_model.pkl
    module = "bentoml.sklearn",
    tag = "iris_clf",             # the version is the content's digest
)
```

The action runs once for all Bentos that name the model. The service finds it by
`bentoml.models.BentoModel("iris_clf:latest")` and the loaders of BentoML's framework modules. Output groups: `bentomodel`,
which `bentoml models import` takes, for Bentos that do not bundle it; `manifest`; `part`, what archives are joined from.""",
    attrs = {
        "api_version": attr.string(default = "v1", doc = "Version of the framework module's format, as its loader expects it."),
        "context": attr.string_dict(doc = "Entries of `context`: `framework_name` (default: the last word of `module`), `python_version`, `bentoml_version`."),
        "fields_file": attr.label(
            allow_single_file = [".json"],
            doc = "A JSON object with `metadata`, `options` or `signatures`, for values that are no texts, or that training finds out: `{\"metadata\": {\"accuracy\": 0.97}}`.",
        ),
        "framework_versions": attr.string_dict(doc = "`context.framework_versions`: package to version."),
        "labels": attr.string_dict(doc = "Labels of the model."),
        "metadata": attr.string_dict(doc = "Metadata of the model, texts; other values are in `fields_file`."),
        "module": attr.string(doc = "BentoML's framework module, for example `bentoml.sklearn`; empty for a generic model, as `bentoml.models.create` makes."),
        "options": attr.string_dict(doc = "Options of the framework module, texts; other values are in `fields_file`."),
        "signatures": attr.string_list_dict(doc = "Method name to what is said of it: `{\"predict\": [\"batchable\", \"batch_dim=0,0\"]}`."),
        "srcs": attr.label_list(allow_files = True, doc = "The model's files; they lie in the model as they do in the package.", mandatory = True),
        "strip_prefix": attr.string(doc = "Folder below the package that is left out of the files' paths."),
        "tag": attr.string(doc = "`name` or `name:version`, as BentoML writes tags. Without a version the digest of the content is the version.", mandatory = True),
    } | CREATION_TIME | MODEL_ATTRIBUTES,
    provides = [BentoModelInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
