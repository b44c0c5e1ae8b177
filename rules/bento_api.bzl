"""Defines bento_api, which imports a service and writes its API: OpenAPI specification and BentoML's schema."""

load("//rules:providers.bzl", "BentoApiInfo", "BentoInfo")
load("//rules/private:attributes.bzl", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "add_directories", "arguments", "run_helper", "verb")
load("//rules/private:interpreter.bzl", "check_interpreter")
load("//rules/private:transitions.bzl", "metadata_plus_modules_cfg")

def _bento_api_impl(ctx):
    bento = ctx.split_attr.bento["metadata"][BentoInfo]
    requirements = ctx.split_attr.bento["packages"][BentoInfo].requirements

    # A service needs some dozens of wheels.
    infos = requirements.to_list()
    check_interpreter(ctx, ctx.toolchains[TOOLCHAIN_TYPE].python, infos)
    modules = depset(transitive = [info.modules for info in infos]).to_list()
    openapi = ctx.actions.declare_file(ctx.label.name + ".openapi.yaml")
    schema = ctx.actions.declare_file(ctx.label.name + ".schema.json")
    derived = ctx.actions.declare_file(ctx.label.name + ".bento.yaml")
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(bento.parts, before_each = "--part")

    # Only the models in the target's attributes.
    models = bento.models.to_list()
    for model in models:
        args.add_all(["--model", model.description, model.archive_part])
    args.add_all(depset([info.platform for info in infos if info.platform]), before_each = "--platform")
    add_directories(args, "--root", modules)
    args.add_all(["--openapi", openapi])
    args.add_all(["--schema", schema])
    args.add_all(["--derived", derived])
    run_helper(
        ctx,
        mnemonic = "BentoApi",
        progress_message = "Importing service of %{label}",
        verb = verb(
            "inspect",
            args,
            inputs = depset(
                list(bento.parts) + [file for model in models for file in (model.description, model.archive_part)],
                transitive = [module.files for module in modules],
            ),
            sandboxed = True,
        ),
        outputs = [openapi, schema, derived],
    )
    return [
        BentoApiInfo(openapi = openapi, schema = schema),
        DefaultInfo(files = depset([openapi, schema])),
        OutputGroupInfo(bento_yaml = depset([derived])),
    ]

bento_api = rule(
    implementation = _bento_api_impl,
    doc = """Writes the API of a Bento's service: the OpenAPI specification and BentoML's schema, as `bentoml build` writes them to `apis/`.

```starlark
bento_api(name = "iris_api", bento = ":iris_bento")
```

Use it with `bento_api_test` to review API changes. Real BentoML imports the service in the sandbox with the locked wheels. The Bento doesn't
depend on this target: a Bento whose service can't be imported still builds. The target fails if the import fails, or if the import finds other
services than the Bento declares. Output group: `bento_yaml`, the parts of `bento.yaml` that come from the import.""",
    attrs = {
        "bento": attr.label(cfg = metadata_plus_modules_cfg, doc = "The Bento.", mandatory = True, providers = [BentoInfo]),
    },
    provides = [BentoApiInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
