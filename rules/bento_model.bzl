"""Defines bento_model, which builds a model in the format of BentoML's model store."""

load(
    "//private:attributes.bzl",
    "CREATION_TIME",
    "creation_time",
    "describe_source",
    "directory_path",
    "json_pairs",
    "label_string",
)
load("//private:helper.bzl", "TOOLCHAIN_TYPE", "read_files")
load("//private:model_entry.bzl", "MODEL_ATTRIBUTES", "model_entry")
load("//rules:providers.bzl", "BentoModelInfo")

# Attributes that only a new model has. An entry of a model store defines the values itself.
_NEW_MODEL = ["labels", "module"]

def _check(ctx):
    """Fails if attributes can't be combined."""
    where = label_string(ctx.label)
    if bool(ctx.files.srcs) == bool(ctx.file.archive):
        if ctx.file.archive:
            fail("{}: both archive and srcs are set. Remove one of these attributes.".format(where))
        fail(
            ("{}: srcs is empty, and archive isn't set. Set one of these attributes. If srcs is a glob, no file " +
             "matches: to copy a model of a store, run `bento models export`.").format(where),
        )
    if ctx.file.archive and ctx.attr.tag:
        fail("{}: the archive defines the tag. Remove tag.".format(where))
    for name in _NEW_MODEL:
        if getattr(ctx.attr, name) and not ctx.attr.tag:
            fail(
                ("{0}: {1} requires a new model, but without tag, the model is an entry of a model store. Set tag, " +
                 "or remove {1}.").format(where, name),
            )

def _bento_model_impl(ctx):
    _check(ctx)
    place = {"--package": directory_path(ctx.label, ctx.label.package), "--strip-prefix": ctx.attr.strip_prefix}
    archive = ctx.file.archive
    flags = place | {
        "--archive": (archive, archive.basename) if archive else None,
        "--fields": [(file, file.short_path) for file in ctx.files.fields_file],
        "--source": read_files(ctx.files.srcs, describe_source),
    }
    if ctx.attr.tag:
        flags |= {
            "--creation-time": creation_time(ctx),
            "--label": json_pairs(ctx.attr.labels),
            "--module": ctx.attr.module,
            "--tag": ctx.attr.tag,
        }
    return model_entry(ctx, struct(
        files = ctx.files.srcs,
        flags = flags,
        name = ctx.attr.tag.partition(":")[0],
        packages = ["zstandard"] if archive else [],
        place = place,
    ))

bento_model = rule(
    implementation = _bento_model_impl,
    doc = """Builds a model in the format of BentoML's model store, or imports a model from a store.

```starlark
bento_model(
    name = "iris_clf",
    srcs = [":train"],            # writes saved_model.pkl
    module = "bentoml.sklearn",
    tag = "iris_clf",             # the version is the digest of the content
)

bento_model(
    name = "exported_clf",
    archive = "iris_clf-v1.bentomodel",  # bentoml models export iris_clf:v1
)
```

A service loads the model with `bentoml.models.BentoModel("iris_clf:latest")`, or with
`bentoml.sklearn.load_model("iris_clf:latest")`.

Without `tag`, the model is an entry of a store, and keeps its tag, labels, and creation time. Set `archive`, or
`srcs = glob(["iris_clf/v1/**"])` and `strip_prefix = "iris_clf/v1"`. Output groups: `bentomodel` (archive for
`bentoml models import`), `manifest` (list of files), and `part` (files for archives of Bentos).""",
    attrs = {
        "archive": attr.label(
            allow_single_file = [".bentomodel", ".part", ".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".zip"],
            doc = "Output of `bentoml models export`, or a `.part` file, such as the layer of a model artifact in " +
                  "a registry.",
        ),
        "fields_file": attr.label(
            allow_single_file = [".json"],
            doc = "JSON file, possibly from the training, with further fields of model.yaml: `api_version`, " +
                  "`context`, `metadata`, `options`, or `signatures`. Example: `{\"metadata\": {\"accuracy\": " +
                  "0.97}}`. `origin`, a URL or `oci://REPOSITORY@DIGEST`, is for SBOMs, also without `tag`.",
        ),
        "labels": attr.string_dict(doc = "Labels of the model."),
        "module": attr.string(
            doc = "Module of BentoML that loads the model, such as `bentoml.sklearn`. Default: none.",
        ),
        "srcs": attr.label_list(
            allow_files = True,
            doc = "Files of the model, at their paths relative to the package. Without `tag`, they include " +
                  "`model.yaml`.",
        ),
        "strip_prefix": attr.string(doc = "Directory, relative to the package, to remove from the paths."),
        "tag": attr.string(
            doc = "Tag of a new model: `name` or `name:version`. Default version: the digest of the content.",
        ),
    } | CREATION_TIME | MODEL_ATTRIBUTES,
    provides = [BentoModelInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
