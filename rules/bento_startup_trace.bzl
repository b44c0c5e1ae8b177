"""Defines bento_startup_trace, a program that records the files in an image that a container reads during startup."""

load("//rules/private:attributes.bzl", "in_package")
load("//rules/private:launcher.bzl", "RUN_RUNTIME", "helper_launcher", "runtime_modules")
load("//rules/private:startup.bzl", "STARTUP", "startup_files")

def _bento_startup_trace_impl(ctx):
    startup = startup_files(ctx)
    launcher = helper_launcher(
        ctx,
        arguments = startup.arguments + ["--trace", in_package(ctx.label, ctx.attr.trace)],
        files = startup.files,
        modules = runtime_modules(ctx, ["zstandard"]),
        subcommand = "startup_trace",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]

bento_startup_trace = rule(
    implementation = _bento_startup_trace_impl,
    doc = """Records which files of an image a container reads during startup. Run the target with `bazel run`, and set `startup_trace` of
`bento_image` to the recorded file.

```starlark
bento_startup_trace(
    name = "iris_startup_trace",
    image = ":iris_image",
    trace = "iris_start.json",
    requests = {"/classify": '{"rows": [[5.1, 3.5, 1.4, 0.2]]}'},
)
```

`bazel run //:iris_startup_trace` unpacks the image and runs a container in Linux namespaces, without a container engine, until the container
is ready and has answered the `requests`. The program writes the trace into the source tree. The program requires Linux on the CPU architecture
of the image.
If packages change, record the trace again. Files that aren't in the trace are fetched later, when a container reads them.""",
    attrs = {
        "trace": attr.string(doc = "Output path, relative to this package. The file doesn't need to exist.", mandatory = True),
    } | STARTUP | RUN_RUNTIME,
    executable = True,
)
