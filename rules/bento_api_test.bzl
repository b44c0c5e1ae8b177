"""Defines bento_api_test, which compares the API of a service with a committed API."""

load("//rules:providers.bzl", "BentoApiInfo")
load("//rules/private:attributes.bzl", "label_string")
load("//rules/private:launcher.bzl", "TEST_RUNTIME", "helper_launcher", "runfile")

def _bento_api_test_impl(ctx):
    schema = ctx.attr.api[BentoApiInfo].schema
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
            runfile(ctx, schema),
        ],
        files = depset([golden, schema]),
        subcommand = "check_api",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]

bento_api_test = rule(
    implementation = _bento_api_test_impl,
    doc = """Tests that a service's API matches the committed schema. Reports each change that breaks clients, with the reason.

```starlark
bento_api_test(name = "iris_api_test", api = ":iris_api", golden = "iris_api.json")
```

To write the committed schema, run `bazel run //:iris_api_test -- --update`.""",
    attrs = {
        "api": attr.label(doc = "The `bento_api` target to test.", mandatory = True, providers = [BentoApiInfo]),
        "golden": attr.label(allow_single_file = [".json"], doc = "JSON file with the committed schema.", mandatory = True),
    } | TEST_RUNTIME,
    test = True,
)
