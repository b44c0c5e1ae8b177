"""Defines bento_api_test, which imports a service, and compares the service with its Bento and with a committed API."""

load("//private:attributes.bzl", "label_string")
load("//private:helper.bzl", "IMPORT_GROUP", "TOOLCHAIN_TYPE", "run_leaf")
load("//private:launcher.bzl", "TEST_RUNTIME", "helper_launcher")
load("//private:providers.bzl", "BentoServiceMetadataInfo")
load("//private:python_version.bzl", "OF_BENTO")
load("//private:service_metadata.bzl", "IMPORT_PERMISSION", "import_service")
load("//private:target.bzl", "target_cfg")
load("//private:wheels_flag.bzl", "bento_packages_cfg", "needs_packages")
load("//rules:providers.bzl", "BentoInfo")

def _compare(ctx, metadata, imported):
    """Declares the report of differences between the imported service and the Bento. Returns its File."""
    return run_leaf(
        ctx,
        "compare_service_metadata",
        metadata.package_flags | {"--imported": imported},
        mnemonic = "BentoCompareMetadata",
        outputs = {"--report": ".report"},
        packages = metadata.package_packages,
        progress_message = "Comparing service metadata of %{label}",
    )[0]

def _bento_api_test_impl(ctx):
    api = struct(
        openapi = ctx.actions.declare_file(ctx.label.name + ".openapi.yaml"),
        schema = ctx.actions.declare_file(ctx.label.name + ".schema.json"),
    )
    metadata = ctx.split_attr.bento["metadata"][BentoServiceMetadataInfo]

    # Only a few dozen packages, so the list is short.
    requirements = ctx.split_attr.bento["packages"][BentoServiceMetadataInfo].import_requirements.to_list()
    if not requirements:
        fail(("{}: {} has no packages from a package hub, but the test imports the service. Add packages, including " +
              "bentoml, to the Bento's requirements.").format(
            label_string(ctx.label),
            label_string(ctx.split_attr.bento["metadata"].label),
        ))
    report = _compare(ctx, metadata, import_service(ctx, metadata, requirements, api = api))
    golden = ctx.file.golden
    flags = {"--golden": (golden, golden.short_path), "--schema": api.schema} if golden else {}
    launcher = helper_launcher(ctx, "check_api", {"--report": report} | flags)
    return [
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles),
        OutputGroupInfo(openapi = depset([api.openapi]), schema = depset([api.schema])),
    ]

bento_api_test = rule(
    implementation = _bento_api_test_impl,
    doc = """Tests that an import of the service produces the same Bento, and that the API matches the committed schema.

```starlark
bento_api_test(name = "iris_api_test", bento = ":iris_bento", golden = "iris_api.json")
```

BentoML imports the service in the sandbox, with the packages in `import_requirements` of the Bento. The test reports
the field, both values, and the line of each difference from static analysis, except for `schema`. With `golden`, the
test also reports each change of the API that breaks clients.

`bazel run //:iris_api_test -- --update` writes the schema. For the first run, the file can contain `{}`. Output groups:
`openapi` and `schema`, the files in `apis/` of `bentoml build`.""",
    attrs = {
        "bento": attr.label(
            cfg = bento_packages_cfg,
            doc = "The Bento to test.",
            mandatory = True,
            providers = [BentoServiceMetadataInfo, BentoInfo],
        ),
        "golden": attr.label(allow_single_file = [".json"], doc = "JSON file with the committed schema."),
    } | IMPORT_PERMISSION | OF_BENTO | TEST_RUNTIME | needs_packages("import"),
    cfg = target_cfg,
    exec_groups = IMPORT_GROUP,
    test = True,
    toolchains = [TOOLCHAIN_TYPE],
)
