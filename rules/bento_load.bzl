"""Defines bento_load, a program that loads an image into a container engine of this machine."""

load("//private:launcher.bzl", "RUNFILES", "RUN_RUNTIME", "helper_launcher", "runtime_modules")
load("//private:push_manifest.bzl", "push_manifest")
load("//rules:providers.bzl", "BentoImageIndexInfo", "BentoImageInfo")

def _bento_load_impl(ctx):
    described = push_manifest(ctx, ctx.attr.src)
    launcher = helper_launcher(
        ctx,
        "load",
        {
            "--directory": RUNFILES,
            "--contents": described.contents,
            "--reference": ctx.attr.reference or ctx.attr.src.label.name + ":latest",
        },
        files = depset(described.files),
        modules = runtime_modules(ctx, ["urllib3"]),
    )
    return [
        DefaultInfo(
            executable = launcher.executable,
            runfiles = launcher.runfiles.merge(ctx.runfiles(root_symlinks = described.links)),
        ),
    ]

bento_load = rule(
    implementation = _bento_load_impl,
    doc = """Loads an image into docker, podman, or nerdctl with `bazel run`.

```starlark
bento_load(name = "load", src = ":iris_image")
```

For an index, the program loads the image for the engine's platform, or for `-- --platform os/architecture`.
`-- --backend podman` selects the engine.""",
    attrs = {
        "reference": attr.string(
            doc = "Name and tag of the loaded image. Default: the name of `src` with the tag `latest`.",
        ),
        "src": attr.label(
            doc = "The image or image index to load.",
            mandatory = True,
            providers = [[BentoImageInfo], [BentoImageIndexInfo]],
        ),
    } | RUN_RUNTIME,
    executable = True,
)
