"""Defines bento_environment, the image of a Bento in the terms of BentoML's `Image`."""

load("//rules:providers.bzl", "BentoEnvironmentInfo")
load("//rules/private:attributes.bzl", "label_string", "workspace_path")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "run_helper", "subcommand", "target_arguments")
load("//rules/private:image_steps.bzl", "decode_steps")

def _describe_source(file):
    return ["--source", workspace_path(file), file.path]

def _image(ctx):
    """Returns the image as JSON, without unset attributes."""
    fields = {"base_image": ctx.attr.base_image, "distro": ctx.attr.distro, "python_version": ctx.attr.python_version}
    image = {name: value for name, value in fields.items() if value}
    if not ctx.attr.pack_git_packages:
        image["pack_git_packages"] = False
    return json.encode(image | {"steps": decode_steps(ctx.label, ctx.attr.steps)})

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
        subcommand = subcommand("environment", args, inputs = depset(ctx.files.srcs + [info.image for info in extended])),
        outputs = [image],
    )
    return [
        BentoEnvironmentInfo(files = depset(ctx.files.srcs, transitive = [info.files for info in extended]), image = image),
        DefaultInfo(files = depset([image])),
    ]

bento_environment = rule(
    implementation = _bento_environment_impl,
    doc = """Declares the image that a Bento requests, step by step, as `bentoml.images.Image` in a service's source.

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
        image_step.run_script("setup.sh"),  # after the Python packages, in the order of the list
    ],
)
```

The steps are the methods of BentoML's `Image`, in the order of their calls. Set it with `bento_package(environment = ":environment")`, in
any number of Bentos, or extend it with another `bento_environment`. Building the target checks package names, Python versions,
distributions, files, and the order of steps.""",
    attrs = {
        "base_image": attr.string(doc = "Image name that replaces the distribution's image."),
        "distro": attr.string(doc = "Distribution. Default: the distribution of `extends`, or else `debian`.", values = ["", "alpine", "amazonlinux", "debian", "ubi8"]),
        "extends": attr.label(doc = "Another environment. It provides the fields that this target doesn't set, and steps that precede the steps of this target.", providers = [BentoEnvironmentInfo]),
        "pack_git_packages": attr.bool(default = True, doc = "Whether to pack packages of git repositories, which needs a network. Set `False` to clone them during the image build."),
        "python_version": attr.string(doc = "Python version, `X.Y`. Default: the version of the Bento's lock."),
        "srcs": attr.label_list(allow_files = True, doc = "Files that steps name, by their paths in the package."),
        "steps": attr.string_list(doc = "Results of the functions of `image_step`: `build_include`, `pyproject_toml`, `python_packages`, `requirements_file`, `run`, `run_script`, `system_packages`, `uv_lock`, and `wheels`."),
    },
    provides = [BentoEnvironmentInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
