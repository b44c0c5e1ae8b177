"""Defines bento_conda_options, which declares the conda options of a Bento."""

load("//rules:providers.bzl", "BentoOptionsInfo")
load("//rules/private:option_groups.bzl", "option_values")

_OPTIONS = {
    "channels": attr.string_list(doc = "Conda channels. Default: `conda-forge`."),
    "dependencies": attr.string_list(doc = "Conda packages to install, in conda's syntax, such as `libgdal`."),
    "environment_yml": attr.string(doc = "Path to a conda environment file, relative to the build context. The file replaces all other options."),
    "pip": attr.string_list(doc = "Packages that conda installs with pip."),
}

def _bento_conda_options_impl(ctx):
    return [BentoOptionsInfo(group = "conda", options = option_values(ctx, _OPTIONS))]

bento_conda_options = rule(
    implementation = _bento_conda_options_impl,
    doc = """Declares the packages that conda installs. The options correspond to `conda` in a bentofile. Set them with
`bento_package(conda = ":conda")`. With conda options, `bento.yaml` has format version 1.

```starlark
bento_conda_options(
    name = "conda",
    dependencies = ["libgdal"],
)
```""",
    attrs = _OPTIONS,
    provides = [BentoOptionsInfo],
)
