"""Defines bento_debs_test, which fails if a lock of Debian packages is stale."""

load("//rules/private:attributes.bzl", "label_string")
load("//rules/private:launcher.bzl", "TEST_RUNTIME", "helper_launcher", "runfile")
load("//rules/private:providers.bzl", "BentoDebLockInfo")

def _bento_debs_test_impl(ctx):
    info = ctx.attr.update[BentoDebLockInfo]
    arguments = ["--target", label_string(ctx.label), "--update", label_string(info.update)] + list(info.arguments)
    launcher = helper_launcher(
        ctx,
        arguments = arguments + ["--lock", runfile(ctx, ctx.file.lock), ctx.file.lock.short_path],
        files = depset([ctx.file.lock]),
        subcommand = "check_debs",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles), testing.ExecutionInfo({"block-network": "1"})]

bento_debs_test = rule(
    implementation = _bento_debs_test_impl,
    doc = """Tests that a lock matches its `bento_debs` target. The test needs no network.

```starlark
bento_debs_test(
    name = "debian_test",
    lock = "debian.lock.json",
    update = ":debian.update",
)
```""",
    attrs = {
        "lock": attr.label(allow_single_file = [".json"], doc = "The lock to test.", mandatory = True),
        "update": attr.label(doc = "The `bento_debs` target that writes the lock.", mandatory = True, providers = [BentoDebLockInfo]),
    } | TEST_RUNTIME,
    test = True,
)
