"""Defines bento_api, which imports a service, and writes the service's OpenAPI specification and BentoML's schema."""

load("//rules:providers.bzl", "BentoApiInfo", "BentoInfo")
load("//rules/private:helper.bzl", "NATIVE_GROUP", "TOOLCHAIN_TYPE")
load("//rules/private:providers.bzl", "BentoServiceMetadataInfo")
load("//rules/private:service_metadata.bzl", "import_service")
load("//rules/private:transitions.bzl", "metadata_plus_imported_cfg")

def _bento_api_impl(ctx):
    api = struct(
        openapi = ctx.actions.declare_file(ctx.label.name + ".openapi.yaml"),
        schema = ctx.actions.declare_file(ctx.label.name + ".schema.json"),
    )
    metadata = ctx.split_attr.bento["metadata"][BentoServiceMetadataInfo]

    # Only a few dozen packages, so the list is short.
    import_service(ctx, metadata, ctx.split_attr.bento["packages"][BentoServiceMetadataInfo].import_packages.to_list(), api = api)
    return [BentoApiInfo(openapi = api.openapi, schema = api.schema), DefaultInfo(files = depset([api.openapi, api.schema]))]

bento_api = rule(
    implementation = _bento_api_impl,
    doc = """Writes the API of a Bento's service: the OpenAPI specification and BentoML's schema. `bentoml build` writes the
same files to `apis/`.

```starlark
bento_api(name = "iris_api", bento = ":iris_bento")
```

Use the rule with `bento_api_test` to review API changes. BentoML imports the service in the sandbox. The sandbox contains the locked wheels of
BentoML and of the Bento's `import_packages`. The build of the target fails if the import fails, or if the imported services differ from the
services that the Bento declares. The Bento doesn't depend on this target, so a failed import doesn't affect the Bento.""",
    attrs = {
        "bento": attr.label(cfg = metadata_plus_imported_cfg, doc = "The Bento whose OpenAPI specification and schema the rule writes.", mandatory = True, providers = [BentoServiceMetadataInfo, BentoInfo]),
    },
    exec_groups = NATIVE_GROUP,
    provides = [BentoApiInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
