"""Defines bento_service_metadata_test, which compares the static analysis of a service with an import of the service."""

load("//private:attributes.bzl", "label_string")
load("//private:helper.bzl", "NATIVE_GROUP", "TOOLCHAIN_TYPE", "run_helper", "subcommand", "target_arguments")
load("//private:launcher.bzl", "TEST_RUNTIME", "helper_launcher", "runfile")
load("//private:providers.bzl", "BentoServiceMetadataInfo")
load("//private:service_metadata.bzl", "import_service")
load("//private:transitions.bzl", "metadata_plus_imported_cfg")
load("//rules:providers.bzl", "BentoInfo")

def _bento_service_metadata_test_impl(ctx):
    metadata = ctx.split_attr.bento["metadata"][BentoServiceMetadataInfo]

    # Only a few dozen packages, so the list is short.
    requirements = ctx.split_attr.bento["packages"][BentoServiceMetadataInfo].import_requirements.to_list()
    if not requirements:
        fail("{}: {} has no packages from a package hub, but the test imports the service. Add packages, including bentoml, to the Bento's requirements.".format(
            label_string(ctx.label),
            label_string(ctx.split_attr.bento["metadata"].label),
        ))
    imported = import_service(ctx, metadata, requirements)
    report = ctx.actions.declare_file(ctx.label.name + ".report")
    args = target_arguments(ctx)
    args.add_all(["--imported", imported, "--report", report])
    run_helper(
        ctx,
        mnemonic = "BentoCompareMetadata",
        progress_message = "Comparing service metadata of %{label}",
        subcommand = subcommand(
            "compare_service_metadata",
            [metadata.package_arguments, args],
            inputs = depset([imported], transitive = [metadata.package_inputs]),
            packages = metadata.package_packages,
        ),
        outputs = [report],
    )
    launcher = helper_launcher(
        ctx,
        arguments = ["--target", label_string(ctx.label), "--report", runfile(ctx, report)],
        files = depset([report]),
        subcommand = "check_service_metadata",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]

bento_service_metadata_test = rule(
    implementation = _bento_service_metadata_test_impl,
    doc = """Tests that static analysis and an import of the service produce the same Bento, for Bentos with `service_metadata = "static"`.

```starlark
bento_service_metadata_test(
    name = "iris_service_metadata_test",
    bento = ":iris_bento",
)
```

BentoML imports the service in the sandbox, with the packages in `import_requirements` of the Bento. The test reports the field, both values, and the
line of each difference, except for `schema`.""",
    attrs = {
        "bento": attr.label(cfg = metadata_plus_imported_cfg, doc = "The Bento to test.", mandatory = True, providers = [BentoInfo, BentoServiceMetadataInfo]),
    } | TEST_RUNTIME,
    exec_groups = NATIVE_GROUP,
    test = True,
    toolchains = [TOOLCHAIN_TYPE],
)
