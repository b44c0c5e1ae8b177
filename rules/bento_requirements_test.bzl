"""Defines bento_requirements_test, which fails if a lock of Python packages is stale."""

load("//rules:bento_requirements.bzl", "RESOLUTION_PACKAGES", "source_arguments")
load("//rules/private:attributes.bzl", "label_string")
load("//rules/private:launcher.bzl", "TEST_RUNTIME", "helper_launcher", "runfile", "runtime_modules")
load("//rules/private:providers.bzl", "BentoLockInfo")

def _bento_requirements_test_impl(ctx):
    info = ctx.attr.update[BentoLockInfo]
    arguments = ["--target", label_string(ctx.label), "--update", label_string(info.update)] + list(info.arguments)
    arguments += ["--lock", runfile(ctx, ctx.file.lock), ctx.file.lock.short_path]
    arguments += source_arguments(ctx, info.sources, info.constraints, info.overrides)
    launcher = helper_launcher(
        ctx,
        subcommand = "check_requirements",
        arguments = arguments,
        files = depset([ctx.file.lock] + list(info.sources + info.constraints + info.overrides)),
        modules = runtime_modules(ctx, RESOLUTION_PACKAGES),
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles), testing.ExecutionInfo({"block-network": "1"})]

bento_requirements_test = rule(
    implementation = _bento_requirements_test_impl,
    doc = """Tests that a lock satisfies the requirements of its `bento_requirements` target. The test needs no network.

```starlark
bento_requirements_test(
    name = "requirements_test",
    lock = "requirements.lock.json",
    update = ":requirements.update",
)
```""",
    attrs = {
        "lock": attr.label(allow_single_file = [".json"], doc = "The lock to test.", mandatory = True),
        "update": attr.label(doc = "The `bento_requirements` target that writes the lock.", mandatory = True, providers = [BentoLockInfo]),
    } | TEST_RUNTIME,
    test = True,
)
