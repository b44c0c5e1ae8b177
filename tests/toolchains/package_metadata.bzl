"""The part of the module package_metadata that a reader of package URLs needs, and such a reader."""

PackageMetadataInfo = provider(
    doc = "Stands for the provider of the module, which has the same field.",
    fields = {"metadata": "File - JSON, with the package URL in `purl`"},
)

_GatheredInfo = provider(
    doc = "What the dependencies of a target declare.",
    fields = {"files": "depset[File] - their metadata"},
)

def _package_metadata_impl(ctx):
    metadata = ctx.actions.declare_file(ctx.label.name + ".package-metadata.json")
    ctx.actions.write(metadata, json.encode({"purl": ctx.attr.purl}))
    return [DefaultInfo(files = depset([metadata])), PackageMetadataInfo(metadata = metadata)]

package_metadata = rule(
    implementation = _package_metadata_impl,
    doc = "Stands for the macro of the module.",
    attrs = {"purl": attr.string(doc = "Package URL.", mandatory = True)},
    provides = [PackageMetadataInfo],
)

def _gather_impl(_target, ctx):
    own = [target[PackageMetadataInfo].metadata for target in ctx.rule.attr.applicable_licenses if PackageMetadataInfo in target]
    others = []
    for name in dir(ctx.rule.attr):
        values = getattr(ctx.rule.attr, name)
        for value in values if type(values) == "list" else [values]:
            if type(value) == "Target" and _GatheredInfo in value:
                others.append(value[_GatheredInfo].files)
    return [_GatheredInfo(files = depset(own, transitive = others))]

_gather = aspect(
    implementation = _gather_impl,
    attr_aspects = ["*"],
    doc = "Visits all dependencies, as gather_metadata of bazel-contrib/supply-chain does.",
)

package_urls = rule(
    implementation = lambda ctx: DefaultInfo(files = depset(transitive = [target[_GatheredInfo].files for target in ctx.attr.of])),
    doc = "The metadata of a target and of what it is built from.",
    attrs = {"of": attr.label_list(aspects = [_gather], doc = "The targets.", mandatory = True)},
)
