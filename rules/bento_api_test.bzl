"""Defines bento_api_test, which holds the API of a service against a committed one."""

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
        verb = "check_api",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]

bento_api_test = rule(
    implementation = _bento_api_test_impl,
    doc = """Fails when the API of a service is not the committed one, and says which changes break callers and why.

`bazel run` of the target with `-- --update` writes the committed file.""",
    attrs = {
        "api": attr.label(doc = "The API.", mandatory = True, providers = [BentoApiInfo]),
        "golden": attr.label(allow_single_file = [".json"], doc = "The committed schema.", mandatory = True),
    } | TEST_RUNTIME,
    test = True,
)
