"""Defines bento_wheel, which declares a wheel that no package index provides."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("@rules_python//python:py_info.bzl", "PyInfo")
load("//private:attributes.bzl", "label_string", "minor_version")
load("//private:built_wheel.bzl", "describe_wheel", "unpacked_wheel")
load("//private:helper.bzl", "TOOLCHAIN_TYPE")
load("//rules:providers.bzl", "BentoRequirementInfo", "BentoWheelInfo")

def _bento_wheel_impl(ctx):
    parts = ctx.file.src.basename.removesuffix(".whl").split("-")
    if len(parts) not in (5, 6):
        fail(
            "{}: invalid wheel name {}. Rename the file to name-version-python-abi-platform.whl.".format(
                label_string(ctx.label),
                ctx.file.src.basename,
            ),
        )
    name, version = parts[:2]
    below = [dep[BentoRequirementInfo] for dep in ctx.attr.deps]
    target = below[0] if below else None

    # If deps has no packages of a package hub, the Bento that requires the wheel determines the Python version.
    python_versions = [info.python_version for info in below if info.python_version]
    python_version = (python_versions + [ctx.attr._python_version[BuildSettingInfo].value])[0]
    wheel = BentoWheelInfo(
        distribution = name.lower().replace("_", "-").replace(".", "-"),
        file = ctx.file.src,
        python_version = minor_version(python_version),
        size = 0,
        version = version,
    )
    modules = unpacked_wheel(ctx, wheel, ctx.label.name + ".site-packages")
    files = depset(transitive = [modules.files] + [dep[DefaultInfo].files for dep in ctx.attr.deps])
    return [
        wheel,
        BentoRequirementInfo(
            distribution = wheel.distribution,
            glibc = target.glibc if target else "",
            modules = depset([modules], transitive = [info.modules for info in below]),
            packages = depset([describe_wheel(ctx, wheel)], transitive = [info.packages for info in below]),
            platform = target.platform if target else "",
            python_version = target.python_version if target else "",
            vendored = depset([ctx.file.src], transitive = [info.vendored for info in below]),
            wheels = depset([wheel], transitive = [info.wheels for info in below]),
        ),
        PyInfo(
            imports = depset(list(modules.imports), transitive = [dep[PyInfo].imports for dep in ctx.attr.deps]),
            # The modules of the wheel are in one directory, without files that the analysis knows.
            transitive_sources = depset(transitive = [dep[PyInfo].transitive_sources for dep in ctx.attr.deps]),
        ),
        DefaultInfo(files = files, runfiles = ctx.runfiles(transitive_files = files)),
    ]

bento_wheel = rule(
    implementation = _bento_wheel_impl,
    doc = """Declares a wheel that no package index provides: a file, or the output of another rule.

```starlark
bento_wheel(
    name = "acme",
    src = "acme-1.0-py3-none-any.whl",
    deps = ["@pypi//numpy"],
)
```

Use the target as a package of a package hub: in `requirements`, and in `deps` of Python rules. The Bento includes the
wheel in `src/wheels/`.""",
    attrs = {
        "deps": attr.label_list(
            doc = "Packages in the requirements of the wheel's metadata, without extras. Without `deps`, also set " +
                  "`python_version` of the Bento.",
            providers = [BentoRequirementInfo],
        ),
        "src": attr.label(allow_single_file = [".whl"], doc = "Wheel file.", mandatory = True),
        "_python_version": attr.label(default = "//rules:python_version", providers = [BuildSettingInfo]),
    },
    provides = [BentoRequirementInfo, BentoWheelInfo, PyInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
