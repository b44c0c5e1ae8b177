"""Defines bento_python_options, which states how Python packages are installed in the image of a Bento."""

load("//rules:providers.bzl", "BentoOptionsInfo")
load("//rules/private:option_groups.bzl", "option_values", "switch")

_OPTIONS = {
    "extra_index_url": attr.string_list(doc = "Addresses of further indexes."),
    "find_links": attr.string_list(doc = "Addresses of pages or folders."),
    "index_url": attr.string(doc = "Address of the index."),
    "is_src_layout": switch("Whether a leading `src/` is left out of the paths of sources."),
    "lock_packages": switch("Recorded in the Bento; what locks is the hub."),
    "no_index": switch("Whether no index is asked."),
    "pack_git_packages": switch("0 lets the build of the image clone packages of git repositories."),
    "pip_args": attr.string(doc = "Further arguments of pip."),
    "requirements_txt": attr.string(doc = "Path of a file in the build context."),
    "trusted_host": attr.string_list(doc = "Hosts that are trusted."),
    "wheels": attr.string_list(doc = "Paths of files in the build context. The Bento is of spec 1 then."),
}

def _bento_python_options_impl(ctx):
    return [BentoOptionsInfo(group = "python", options = option_values(ctx, _OPTIONS))]

bento_python_options = rule(
    implementation = _bento_python_options_impl,
    doc = """How Python packages are installed in the image, as `python` of a bentofile, for `bento_package(python = ...)`.

```starlark
bento_python_options(
    name = "python",
    index_url = "https://index.example/simple",
    lock_packages = 0,
)
```

The packages themselves are `requirements` and `packages` of `bento_package`.""",
    attrs = _OPTIONS,
    provides = [BentoOptionsInfo],
)
