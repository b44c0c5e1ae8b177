"""Defines bento_python_options, which declares how the image of a Bento installs Python packages."""

load("//rules:providers.bzl", "BentoOptionsInfo")
load("//rules/private:option_groups.bzl", "option_values", "switch")

_OPTIONS = {
    "extra_index_url": attr.string_list(doc = "URLs of additional indexes."),
    "find_links": attr.string_list(doc = "URLs of pages or directories."),
    "index_url": attr.string(doc = "URL of the index."),
    "is_src_layout": switch("Whether to remove a leading `src/` from the paths of sources."),
    "lock_packages": switch("Recorded in the Bento; the package hub does the locking."),
    "no_index": switch("Whether to use no index."),
    "pack_git_packages": switch("Whether to pack packages of git repositories; 0 clones them during the image build."),
    "pip_args": attr.string(doc = "Additional arguments of pip."),
    "requirements_txt": attr.string(doc = "Path of a file in the build context."),
    "trusted_host": attr.string_list(doc = "Trusted hosts."),
    "wheels": attr.string_list(doc = "Paths of files in the build context. The Bento then uses spec 1."),
}

def _bento_python_options_impl(ctx):
    return [BentoOptionsInfo(group = "python", options = option_values(ctx, _OPTIONS))]

bento_python_options = rule(
    implementation = _bento_python_options_impl,
    doc = """Declares how the image installs Python packages, as `python` of a bentofile, for `bento_package(python = ...)`.

```starlark
bento_python_options(
    name = "python",
    index_url = "https://index.example/simple",
    lock_packages = 0,
)
```

Set the packages with `requirements` and `packages` of `bento_package`.""",
    attrs = _OPTIONS,
    provides = [BentoOptionsInfo],
)
