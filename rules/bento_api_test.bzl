"""Defines bento_api_test, which imports a service, and compares the service's API with a committed API."""

load("//private:attributes.bzl", "label_string")
load("//private:helper.bzl", "NATIVE_GROUP", "TOOLCHAIN_TYPE")
load("//private:launcher.bzl", "TEST_RUNTIME", "helper_launcher", "runfile")
load("//private:providers.bzl", "BentoServiceMetadataInfo")
load("//private:service_metadata.bzl", "import_service")
load("//private:transitions.bzl", "metadata_plus_imported_cfg")
load("//rules:providers.bzl", "BentoInfo")

def _bento_api_test_impl(ctx):
    api = struct(
        openapi = ctx.actions.declare_file(ctx.label.name + ".openapi.yaml"),
        schema = ctx.actions.declare_file(ctx.label.name + ".schema.json"),
    )
    metadata = ctx.split_attr.bento["metadata"][BentoServiceMetadataInfo]

    # Only a few dozen packages, so the list is short.
    import_service(ctx, metadata, ctx.split_attr.bento["packages"][BentoServiceMetadataInfo].import_requirements.to_list(), api = api)
    golden = ctx.file.golden
    launcher = helper_launcher(
        ctx,
        arguments = [
            "--target",
            label_string(ctx.label),
            "--golden",
            runfile(ctx, golden),
            "--golden-path",
            golden.short_path,
            "--schema",
            runfile(ctx, api.schema),
        ],
        files = depset([golden, api.schema]),
        subcommand = "check_api",
    )
    return [
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles),
        OutputGroupInfo(openapi = depset([api.openapi]), schema = depset([api.schema])),
    ]

bento_api_test = rule(
    implementation = _bento_api_test_impl,
    doc = """Tests that a service's API matches the committed schema. Reports each change that breaks clients.

```starlark
bento_api_test(name = "iris_api_test", bento = ":iris_bento", golden = "iris_api.json")
```

`bazel run //:iris_api_test -- --update` writes the schema. For the first run, the file can contain `{}`.

BentoML imports the service in the sandbox, with the packages in `import_requirements` of the Bento. Output
groups: `openapi` and `schema`, the files in `apis/` of `bentoml build`.""",
    attrs = {
        "bento": attr.label(cfg = metadata_plus_imported_cfg, doc = "The Bento to test.", mandatory = True, providers = [BentoServiceMetadataInfo, BentoInfo]),
        "golden": attr.label(allow_single_file = [".json"], doc = "JSON file with the committed schema.", mandatory = True),
    } | TEST_RUNTIME,
    exec_groups = NATIVE_GROUP,
    test = True,
    toolchains = [TOOLCHAIN_TYPE],
)
