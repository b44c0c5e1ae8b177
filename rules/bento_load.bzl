"""Defines bento_load, a program that loads an image into a container engine of this machine."""

load("//private:attributes.bzl", "label_string")
load("//private:launcher.bzl", "RUNFILES", "RUN_RUNTIME", "helper_launcher", "runfile_path", "runtime_modules")
load("//private:push_manifest.bzl", "push_manifest")
load("//rules:providers.bzl", "BentoImageIndexInfo", "BentoImageInfo")

def _bento_load_impl(ctx):
    described = push_manifest(ctx, ctx.attr.src)
    description = ctx.actions.declare_file(ctx.label.name + ".contents.json")
    ctx.actions.write(description, json.encode(described.contents))
    arguments = [
        "--target",
        label_string(ctx.label),
        "--directory",
        RUNFILES,
        "--contents",
        runfile_path(ctx, description),
    ]
    arguments += ["--reference", ctx.attr.reference or ctx.attr.src.label.name + ":latest"]
    launcher = helper_launcher(
        ctx,
        arguments = arguments,
        files = depset(described.files + [description]),
        modules = runtime_modules(ctx, ["urllib3"]),
        subcommand = "load",
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
