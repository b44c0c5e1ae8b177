"""Defines bento_python_options, which declares how the image of a Bento installs Python packages."""

load("//rules:providers.bzl", "BentoOptionsInfo")
load("//rules/private:option_groups.bzl", "option_values", "switch")

_OPTIONS = {
    "extra_index_url": attr.string_list(doc = "URLs of additional package indexes."),
    "find_links": attr.string_list(doc = "URLs of HTML pages or directories that list package files, as for `pip install --find-links`."),
    "index_url": attr.string(doc = "URL of the package index."),
    "is_src_layout": switch("Whether the sources are in a directory `src/`, which is removed from their paths."),
    "lock_packages": switch("Value of `lock_packages` to record in the Bento. The build doesn't use the value, because the package hub locks the packages."),
    "no_index": switch("Whether pip ignores package indexes."),
    "pack_git_packages": switch("Whether the Bento must include the packages that come from git repositories. Builds can't download such packages, so such a package is then an error. With `0`, the image build clones the repositories."),
    "pip_args": attr.string(doc = "Additional arguments of `pip install`."),
    "requirements_txt": attr.string(doc = "Path to a requirements file in the build context."),
    "trusted_host": attr.string_list(doc = "Hosts that pip trusts without a valid certificate."),
    "wheels": attr.string_list(doc = "Wheel files to install, as paths in the build context. If set, `bento.yaml` has format version 1."),
}

def _bento_python_options_impl(ctx):
    return [BentoOptionsInfo(group = "python", options = option_values(ctx, _OPTIONS))]

bento_python_options = rule(
    implementation = _bento_python_options_impl,
    doc = """Declares how the image installs Python packages. The options correspond to `python` in a bentofile. Set them with
`bento_package(python = ":python")`.

```starlark
bento_python_options(
    name = "python",
    index_url = "https://index.example/simple",
    lock_packages = 0,
)
```

To declare the packages, use `requirements` and `packages` of `bento_package`.""",
    attrs = _OPTIONS,
    provides = [BentoOptionsInfo],
)
