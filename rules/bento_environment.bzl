"""Defines bento_environment, which states the image of a Bento in the terms of BentoML's `Image`."""

load("//rules:providers.bzl", "BentoEnvironmentInfo")
load("//rules/private:attributes.bzl", "label_string", "workspace_path")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper", "verb")
load("//rules/private:image_steps.bzl", "decode_steps")

def _describe_source(file):
    return ["--source", workspace_path(file), file.path]

def _image(ctx):
    """Returns the image as JSON, without attributes that are not set."""
    fields = {"base_image": ctx.attr.base_image, "distro": ctx.attr.distro, "python_version": ctx.attr.python_version}
    image = {name: value for name, value in fields.items() if value}
    if not ctx.attr.pack_git_packages:
        image["pack_git_packages"] = False
    return json.encode(image | {"steps": decode_steps(ctx.label, ctx.attr.steps)})

def _bento_environment_impl(ctx):
    image = ctx.actions.declare_file(ctx.label.name + ".image.json")
    extended = [ctx.attr.extends[BentoEnvironmentInfo]] if ctx.attr.extends else []
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(["--package", "/".join([part for part in [ctx.label.workspace_root, ctx.label.package] if part])])
    args.add_all(["--image", _image(ctx)])
    for info in extended:
        args.add_all(["--extends", info.image, label_string(ctx.attr.extends.label)])
    args.add_all(ctx.files.srcs, map_each = _describe_source)
    args.add_all(["--output", image])
    run_helper(
        ctx,
        mnemonic = "BentoEnvironment",
        progress_message = "Checking image of %{label}",
        verb = verb("environment", args, inputs = depset(ctx.files.srcs + [info.image for info in extended])),
        outputs = [image],
    )
    return [
        BentoEnvironmentInfo(files = depset(ctx.files.srcs, transitive = [info.files for info in extended]), image = image),
        DefaultInfo(files = depset([image])),
    ]

bento_environment = rule(
    implementation = _bento_environment_impl,
    doc = """The image that a Bento asks for, step by step, as `bentoml.images.Image` in a service's source.

```starlark
load("@rules_bento//rules:defs.bzl", "bento_environment", "image_step")

bento_environment(
    name = "environment",
    srcs = ["requirements.txt", "setup.sh"],
    distro = "debian",
    python_version = "3.12",
    steps = [
        image_step.system_packages("libgomp1"),
        image_step.run("useradd worker"),
        image_step.requirements_file("requirements.txt"),
        image_step.run_script("setup.sh"),  # after the Python packages, for it stands behind them
    ],
)
```

The steps are the methods of BentoML's `Image`, in the order of their calls. `bento_package(environment = ":environment")` takes
it, as many Bentos as want, and another `bento_environment` extends it. Building it checks it: names of packages, versions
of Python, distributions, files and the order of steps.""",
    attrs = {
        "base_image": attr.string(doc = "Name of an image, in place of that of the distribution."),
        "distro": attr.string(doc = "The distribution. Default: `debian`, or that of what it extends.", values = ["", "alpine", "amazonlinux", "debian", "ubi8"]),
        "extends": attr.label(doc = "Another environment: its fields where this one sets none, and its steps before those of this one.", providers = [BentoEnvironmentInfo]),
        "pack_git_packages": attr.bool(default = True, doc = "False lets the build of the image clone packages of git repositories; packing them needs a network."),
        "python_version": attr.string(doc = "`X.Y`. Default: that of the Bento's lock."),
        "srcs": attr.label_list(allow_files = True, doc = "The files that steps name, by their paths in the package."),
        "steps": attr.string_list(doc = "What `image_step.build_include`, `image_step.pyproject_toml`, `image_step.python_packages`, `image_step.requirements_file`, `image_step.run`, `image_step.run_script`, `image_step.system_packages`, `image_step.uv_lock` and `image_step.wheels` return."),
    },
    provides = [BentoEnvironmentInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
