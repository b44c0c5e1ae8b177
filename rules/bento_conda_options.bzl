"""Defines bento_conda_options, the conda options of a Bento."""

load("//rules:providers.bzl", "BentoOptionsInfo")
load("//rules/private:option_groups.bzl", "option_values")

_OPTIONS = {
    "channels": attr.string_list(doc = "Channels. Default: `conda-forge`."),
    "dependencies": attr.string_list(doc = "Packages."),
    "environment_yml": attr.string(doc = "Path of a file in the build context that replaces all other options."),
    "pip": attr.string_list(doc = "Packages that conda installs with pip."),
}

def _bento_conda_options_impl(ctx):
    return [BentoOptionsInfo(group = "conda", options = option_values(ctx, _OPTIONS))]

bento_conda_options = rule(
    implementation = _bento_conda_options_impl,
    doc = """Declares what conda installs, as `conda` of a bentofile, for `bento_package(conda = ...)`. The Bento then uses spec 1.

```starlark
bento_conda_options(
    name = "conda",
    dependencies = ["libgdal"],
)
```""",
    attrs = _OPTIONS,
    provides = [BentoOptionsInfo],
)
