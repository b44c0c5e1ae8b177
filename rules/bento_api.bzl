"""Defines bento_api, which imports a service and writes its API: OpenAPI and BentoML's schema."""

load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE")
load("//rules/private:service_metadata.bzl", "import_service")
load("//rules/private:wheels.bzl", "stated_and_imported")
load("//rules/providers:api.bzl", "BentoApiInfo")
load("//rules/providers:bento.bzl", "BentoInfo")
load("//rules/providers:service_metadata.bzl", "BentoServiceMetadataInfo")

def _bento_api_impl(ctx):
    api = struct(
        openapi = ctx.actions.declare_file(ctx.label.name + ".openapi.yaml"),
        schema = ctx.actions.declare_file(ctx.label.name + ".schema.json"),
    )
    metadata = ctx.split_attr.bento["stated"][BentoServiceMetadataInfo]

    # What a service states is some dozens of packages.
    import_service(ctx, metadata, ctx.split_attr.bento["packages"][BentoServiceMetadataInfo].import_packages.to_list(), api = api)
    return [
        BentoApiInfo(openapi = api.openapi, schema = api.schema),
        DefaultInfo(files = depset([api.openapi, api.schema])),
    ]

bento_api = rule(
    implementation = _bento_api_impl,
    doc = """The API of a Bento's service: OpenAPI specification and BentoML's schema, as `bentoml build` writes them to `apis/`.

The service is imported by real BentoML, in the sandbox, with the locked wheels of BentoML and of the Bento's `import_packages`. This stands beside the build: no Bento
needs it, and one whose service cannot be imported here is built all the same. It fails if importing fails, and if it gives other services
than the Bento states.""",
    attrs = {
        "bento": attr.label(cfg = stated_and_imported, doc = "The Bento.", mandatory = True, providers = [BentoServiceMetadataInfo, BentoInfo]),
    },
    provides = [BentoApiInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
