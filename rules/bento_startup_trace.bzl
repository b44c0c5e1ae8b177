"""Defines bento_startup_trace, a program that records which files of an image a startup reads."""

load("//rules:providers.bzl", "BentoImageInfo")
load("//rules/private:attributes.bzl", "in_package", "label_string")
load("//rules/private:launcher.bzl", "RUNFILES", "RUN_RUNTIME", "helper_launcher", "runfile_path", "runtime_modules")
load("//rules/private:push_manifest.bzl", "push_manifest")

def _bento_startup_trace_impl(ctx):
    described = push_manifest(ctx, ctx.attr.image)
    description = ctx.actions.declare_file(ctx.label.name + ".contents.json")
    ctx.actions.write(description, json.encode(described.contents))
    arguments = ["--target", label_string(ctx.label), "--directory", RUNFILES, "--contents", runfile_path(ctx, description)]
    arguments += ["--trace", in_package(ctx.label, ctx.attr.trace)]
    arguments += ["--ready", ctx.attr.readiness_path, "--seconds", str(ctx.attr.startup_timeout_seconds)]
    for path, body in ctx.attr.requests.items():
        arguments += ["--request", path, body]
    launcher = helper_launcher(
        ctx,
        arguments = arguments,
        files = depset(described.files + [description]),
        modules = runtime_modules(ctx, ["zstandard"]),
        verb = "startup_trace",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]

bento_startup_trace = rule(
    implementation = _bento_startup_trace_impl,
    doc = """Records which files of an image a startup reads, for `startup_trace` of a `bento_image`, with `bazel run`.

```starlark
bento_startup_trace(
    name = "iris_startup_trace",
    image = ":iris_image",
    trace = "iris_start.json",
    requests = {"/classify": '{"rows": [[5.1, 3.5, 1.4, 0.2]]}'},
)
```

`bazel run //:iris_startup_trace` unpacks the image and runs a container in Linux namespaces, without a container engine, until the container
is ready and has answered the requests. It requires Linux on the CPU architecture of the image, and writes the trace into the source tree.
Record again after packages change: files outside of the trace are fetched when they are read.""",
    attrs = {
        "image": attr.label(doc = "The image, with or without a trace.", mandatory = True, providers = [BentoImageInfo]),
        "trace": attr.string(doc = "File to write, relative to this package. The file doesn't need to exist.", mandatory = True),
        "readiness_path": attr.string(default = "/readyz", doc = "HTTP path that answers without an error when a container is ready."),
        "requests": attr.string_dict(doc = "POST requests to a ready container, path to JSON body, to trace files that only requests read."),
        "startup_timeout_seconds": attr.int(default = 300, doc = "Maximum time until a container is ready."),
    } | RUN_RUNTIME,
    executable = True,
)
