"""Defines bento_api, which imports a service and writes its API: OpenAPI specification and BentoML's schema."""

load("//rules:providers.bzl", "BentoApiInfo", "BentoInfo")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE")
load("//rules/private:providers.bzl", "BentoServiceMetadataInfo")
load("//rules/private:service_metadata.bzl", "import_service")
load("//rules/private:transitions.bzl", "metadata_plus_imported_cfg")

def _bento_api_impl(ctx):
    api = struct(
        openapi = ctx.actions.declare_file(ctx.label.name + ".openapi.yaml"),
        schema = ctx.actions.declare_file(ctx.label.name + ".schema.json"),
    )
    metadata = ctx.split_attr.bento["metadata"][BentoServiceMetadataInfo]

    # A service requires some dozens of packages.
    import_service(ctx, metadata, ctx.split_attr.bento["packages"][BentoServiceMetadataInfo].import_packages.to_list(), api = api)
    return [BentoApiInfo(openapi = api.openapi, schema = api.schema), DefaultInfo(files = depset([api.openapi, api.schema]))]

bento_api = rule(
    implementation = _bento_api_impl,
    doc = """Writes the API of a Bento's service: the OpenAPI specification and BentoML's schema, as `bentoml build` writes them to `apis/`.

```starlark
bento_api(name = "iris_api", bento = ":iris_bento")
```

Use it with `bento_api_test` to review API changes. Real BentoML imports the service in the sandbox with the locked wheels of BentoML and of the
Bento's `import_packages`. The Bento doesn't
depend on this target: a Bento whose service can't be imported still builds. The target fails if the import fails, or if the import finds other
services than the Bento declares.""",
    attrs = {
        "bento": attr.label(cfg = metadata_plus_imported_cfg, doc = "The Bento.", mandatory = True, providers = [BentoServiceMetadataInfo, BentoInfo]),
    },
    provides = [BentoApiInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
