"""Defines bento_startup_trace, a program that records which files of an image a start reads."""

load("//rules:providers.bzl", "BentoImageInfo")
load("//rules/private:attributes.bzl", "in_package", "label_string")
load("//rules/private:launcher.bzl", "RUNFILES", "RUN_RUNTIME", "helper_launcher", "runfile_path", "runtime_modules")
load("//rules/private:push_manifest.bzl", "push_manifest")

def _bento_startup_trace_impl(ctx):
    described = push_manifest(ctx, ctx.attr.image)
    description = ctx.actions.declare_file(ctx.label.name + ".contents.json")
    ctx.actions.write(description, json.encode(described.contents))
    arguments = ["--target", label_string(ctx.label), "--folder", RUNFILES, "--contents", runfile_path(ctx, description)]
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
    doc = """Records which files of an image a start reads, for `startup_trace` of a `bento_image`, into the source tree.

```starlark
bento_startup_trace(
    name = "iris_startup_trace",
    image = ":iris_image",
    trace = "iris_start.json",
    requests = {"/classify": '{"rows": [[5.1, 3.5, 1.4, 0.2]]}'},
)
```

`bazel run //:iris_startup_trace` unpacks the image and starts a container of it, in namespaces of its own and without an engine,
until it is ready and has answered. It takes Linux, and a machine that runs the image's programs. Record again where packages have changed: files that the trace
does not know are fetched when they are read.""",
    attrs = {
        "image": attr.label(doc = "The image. Whether it has a trace itself makes no difference.", mandatory = True, providers = [BentoImageInfo]),
        "trace": attr.string(doc = "The file to write, in this package. It need not be there yet.", mandatory = True),
        "readiness_path": attr.string(default = "/readyz", doc = "What answers without an error when a container is ready."),
        "requests": attr.string_dict(doc = "What is sent to a container that is ready, for what only an answer reads: paths to bodies, as JSON, for POST."),
        "startup_timeout_seconds": attr.int(default = 300, doc = "How long it may take until a container is ready."),
    } | RUN_RUNTIME,
    executable = True,
)
