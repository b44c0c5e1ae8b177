"""Defines bento_startup_test, which limits file reads and imports during the startup of an image."""

load("//private:attributes.bzl", "label_string")
load("//private:launcher.bzl", "RUNFILES", "TEST_RUNTIME", "helper_launcher", "runtime_modules")
load("//private:push_manifest.bzl", "push_manifest")
load("//rules:providers.bzl", "BentoImageInfo")

def _bento_startup_test_impl(ctx):
    if ctx.attr.max_megabytes < 0:
        fail(
            "{}: max_megabytes is negative. Set a positive limit, or omit the attribute.".format(
                label_string(ctx.label),
            ),
        )
    described = push_manifest(ctx, ctx.attr.image)
    launcher = helper_launcher(
        ctx,
        "startup_test",
        {
            "--directory": RUNFILES,
            "--contents": described.contents,
            "--port": str(ctx.attr.port),
            "--ready": ctx.attr.readiness_path,
            "--max-megabytes": str(ctx.attr.max_megabytes),
            "--request": ctx.attr.requests.items(),
            "--forbidden-import": ctx.attr.forbidden_imports,
        },
        files = depset(described.files),
        modules = runtime_modules(ctx, ["urllib3", "zstandard"]),
    )
    return [
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles),
        testing.ExecutionInfo({"block-network": "1"}),
    ]

bento_startup_test = rule(
    implementation = _bento_startup_test_impl,
    doc = """Tests that the startup of an image stays within limits for file reads and imported Python modules. Its log
also has the CPU time.

Experimental: a minor version can change this rule without an error for the old form.

```starlark
bento_startup_test(
    name = "iris_startup_test",
    image = ":iris_image",
    max_megabytes = 250,
    forbidden_imports = ["torch"],
)
```

The test runs a container in Linux namespaces, on the CPU architecture of the image, until the container has answered
the `requests`, for at most 80% of `timeout`.""",
    attrs = {
        "forbidden_imports": attr.string_list(doc = "Python modules, including submodules, that must not be imported."),
        "max_megabytes": attr.int(doc = "Maximum size of the files that are read, in megabytes. Default: no limit."),
        "image": attr.label(doc = "The image to start.", mandatory = True, providers = [BentoImageInfo]),
        "port": attr.int(doc = "Port of the server. Default: the lowest exposed port, otherwise 3000."),
        "readiness_path": attr.string(
            default = "/readyz",
            doc = "Path of readiness checks over HTTP. If empty, the container is ready when the port accepts " +
                  "connections.",
        ),
        "requests": attr.string_dict(doc = "POST requests to send, from path to JSON body."),
    } | TEST_RUNTIME,
    test = True,
)
