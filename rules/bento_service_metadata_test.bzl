"""Defines bento_service_metadata_test, which compares the static analysis of a service with its import."""

load("//rules:providers.bzl", "BentoInfo")
load("//rules/private:attributes.bzl", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper", "verb")
load("//rules/private:launcher.bzl", "TEST_RUNTIME", "helper_launcher", "runfile")
load("//rules/private:providers.bzl", "BentoServiceMetadataInfo")
load("//rules/private:service_metadata.bzl", "import_service")
load("//rules/private:transitions.bzl", "metadata_plus_modules_cfg")

def _bento_service_metadata_test_impl(ctx):
    metadata = ctx.split_attr.bento["metadata"][BentoServiceMetadataInfo]

    # What a service states is some dozens of packages.
    requirements = ctx.split_attr.bento["packages"][BentoInfo].requirements.to_list()
    if not requirements:
        fail("{}: {} has no packages of a hub to import its service with. Name them in its requirements, bentoml among them".format(
            ctx.label,
            label_string(ctx.split_attr.bento["metadata"].label),
        ))
    imported = import_service(ctx, metadata, requirements)
    report = ctx.actions.declare_file(ctx.label.name + ".report")
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(["--imported", imported])
    args.add_all(["--report", report])
    run_helper(
        ctx,
        mnemonic = "BentoCompareMetadata",
        progress_message = "Comparing the service metadata of %{label}",
        verb = verb(
            "compare_facts",
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
        verb = "check_facts",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]

bento_service_metadata_test = rule(
    implementation = _bento_service_metadata_test_impl,
    doc = """Fails where a Bento is not what importing its service gives, and names field, both values, file and line.

```starlark
bento_service_metadata_test(
    name = "iris_service_metadata_test",
    bento = ":iris_bento",
)
```

The service is imported by real BentoML, in the sandbox, with the locked wheels, and the Bento is put together once more of what that
tells. `schema`, which a service that is read does not have, is left out.""",
    attrs = {
        "bento": attr.label(cfg = metadata_plus_modules_cfg, doc = "The Bento.", mandatory = True, providers = [BentoInfo, BentoServiceMetadataInfo]),
    } | TEST_RUNTIME,
    test = True,
    toolchains = [TOOLCHAIN_TYPE],
)
