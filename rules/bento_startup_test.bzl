"""Defines bento_startup_test, which limits file reads, CPU time, and imports during the startup of an image."""

load("//private:attributes.bzl", "label_string")
load("//private:launcher.bzl", "TEST_RUNTIME", "helper_launcher", "runtime_modules")
load("//private:startup.bzl", "STARTUP", "startup_files")

def _bento_startup_test_impl(ctx):
    for name in ["max_megabytes", "max_cpu_seconds"]:
        if getattr(ctx.attr, name) < 0:
            fail("{}: {} is negative. Set a positive limit, or omit the attribute.".format(label_string(ctx.label), name))
    startup = startup_files(ctx)
    arguments = startup.arguments + ["--max-megabytes", str(ctx.attr.max_megabytes), "--max-cpu-seconds", str(ctx.attr.max_cpu_seconds)]
    for module in ctx.attr.forbidden_imports:
        arguments += ["--forbidden-import", module]
    launcher = helper_launcher(
        ctx,
        arguments = arguments,
        files = startup.files,
        modules = runtime_modules(ctx, ["urllib3", "zstandard"]),
        subcommand = "startup_test",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles), testing.ExecutionInfo({"block-network": "1"})]

bento_startup_test = rule(
    implementation = _bento_startup_test_impl,
    doc = """Tests that the startup of an image stays within limits for file reads, CPU time, and imported Python modules.

```starlark
bento_startup_test(
    name = "iris_startup_test",
    image = ":iris_image",
    max_megabytes = 250,
    max_cpu_seconds = 20,
    forbidden_imports = ["torch"],
)
```

The test runs a container in Linux namespaces, without a container engine, until the container is ready and has answered the `requests`. The test log
lists the slowest imports and the largest files. The CPU time depends on the machine, so choose a generous `max_cpu_seconds`. The size of the files
doesn't depend on the machine. The test requires Linux on the CPU architecture of the image.""",
    attrs = {
        "forbidden_imports": attr.string_list(doc = "Python modules that the container must not import. A name includes all submodules."),
        "max_megabytes": attr.int(doc = "Maximum total size of the files that are read at startup, in megabytes (1,000,000 bytes). Default: `0` (no limit)."),
        "max_cpu_seconds": attr.int(doc = "Maximum total CPU time of all processes until the last response, in seconds. Default: `0` (no limit)."),
    } | STARTUP | TEST_RUNTIME,
    test = True,
)
