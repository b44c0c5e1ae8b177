"""Defines bento_conda_options, which states what conda installs for a Bento."""

load("//rules:providers.bzl", "BentoOptionsInfo")
load("//rules/private:option_groups.bzl", "option_values")

_OPTIONS = {
    "channels": attr.string_list(doc = "Channels. Default: `conda-forge`."),
    "dependencies": attr.string_list(doc = "Packages."),
    "environment_yml": attr.string(doc = "Path of a file in the build context, in place of all others."),
    "pip": attr.string_list(doc = "Packages that conda's pip installs."),
}

def _bento_conda_options_impl(ctx):
    return [BentoOptionsInfo(group = "conda", options = option_values(ctx, _OPTIONS))]

bento_conda_options = rule(
    implementation = _bento_conda_options_impl,
    doc = """What conda installs, as `conda` of a bentofile, for `bento_package(conda = ...)`. The Bento is of spec 1 then.

```starlark
bento_conda_options(
    name = "conda",
    dependencies = ["libgdal"],
)
```""",
    attrs = _OPTIONS,
    provides = [BentoOptionsInfo],
)
