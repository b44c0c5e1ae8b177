"""Defines bento_environment, which declares the image of a Bento with the methods of BentoML's `Image`."""

load("//private:attributes.bzl", "label_string", "workspace_path")
load("//private:helper.bzl", "TOOLCHAIN_TYPE", "run_helper", "subcommand", "target_arguments")
load("//private:image_steps.bzl", "decode_steps")
load("//rules:providers.bzl", "BentoEnvironmentInfo")

def _describe_source(file):
    return ["--source", workspace_path(file), file.path]

def _image(ctx):
    """Returns the attributes of the image as a JSON string. Except for `steps`, attributes with default values are omitted."""
    fields = {"base_image": ctx.attr.base_image, "distro": ctx.attr.distro, "python_version": ctx.attr.python_version}
    image = {name: value for name, value in fields.items() if value}
    if not ctx.attr.pack_git_packages:
        image["pack_git_packages"] = False
    return json.encode(image | {"steps": decode_steps(label_string(ctx.label), ctx.attr.steps)})

def _bento_environment_impl(ctx):
    image = ctx.actions.declare_file(ctx.label.name + ".image.json")
    extended = [ctx.attr.extends[BentoEnvironmentInfo]] if ctx.attr.extends else []
    args = target_arguments(ctx)
    args.add_all(["--package", "/".join([part for part in [ctx.label.workspace_root, ctx.label.package] if part]), "--image", _image(ctx)])
    for info in extended:
        args.add_all(["--extends", info.image, label_string(ctx.attr.extends.label)])
    args.add_all(ctx.files.srcs, map_each = _describe_source)
    args.add_all(["--output", image])
    run_helper(
        ctx,
        mnemonic = "BentoEnvironment",
        progress_message = "Checking environment %{label}",
        subcommand = subcommand("environment", args, inputs = depset(ctx.files.srcs + [info.image for info in extended]), packages = ["packaging"]),
        outputs = [image],
    )
    return [
        BentoEnvironmentInfo(files = depset(ctx.files.srcs, transitive = [info.files for info in extended]), image = image),
        DefaultInfo(files = depset([image])),
    ]

bento_environment = rule(
    implementation = _bento_environment_impl,
    doc = """Declares the image of a Bento as a list of steps, which correspond to the methods of `bentoml.images.Image`.

```starlark
load("@rules_bento//rules:defs.bzl", "bento_environment", "image_step")

bento_environment(
    name = "environment",
    srcs = ["requirements.txt", "setup.sh"],
    distro = "debian",
    python_version = "3.12",
    steps = [
        image_step.system_packages("libgomp1"),
        image_step.requirements_file("requirements.txt"),
        image_step.run_script("setup.sh"),  # runs after the Python packages are installed
    ],
)
```

Set the environment with `bento_package(image = ":environment")`. The build checks the names, the files, and the order of the steps.""",
    attrs = {
        "base_image": attr.string(doc = "Base image. Default: the image for `distro`."),
        "distro": attr.string(doc = "Linux distribution. Default: the distribution of `extends`, otherwise `debian`.", values = ["", "alpine", "amazonlinux", "debian", "ubi8"]),
        "extends": attr.label(doc = "Another `bento_environment`, whose steps come first, and whose attributes are defaults.", providers = [BentoEnvironmentInfo]),
        "pack_git_packages": attr.bool(default = True, doc = "Whether to reject requirements from git, which Bazel builds can't clone. If `False`, `bentoml containerize` clones them."),
        "python_version": attr.string(doc = "Python version (`X.Y`). Default: the version of the Bento's lock."),
        "srcs": attr.label_list(allow_files = True, doc = "Files that the steps use, by their path relative to this package."),
        "steps": attr.string_list(doc = "Calls of functions in `image_step`, in order."),
    },
    provides = [BentoEnvironmentInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
