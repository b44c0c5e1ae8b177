"""Defines bento_docker_options, which states the image that `bentoml containerize` makes of a Bento."""

load("//rules:providers.bzl", "BentoOptionsInfo")
load("//rules/private:option_groups.bzl", "option_values")

_OPTIONS = {
    "base_image": attr.string(doc = "Name of an image, in place of that of the distribution."),
    "cuda_version": attr.string(doc = "`12.8` or the like. The Bento is of spec 1 then."),
    "distro": attr.string(doc = "`debian` (the default), `alpine`, `ubi8` or `amazonlinux`."),
    "dockerfile_template": attr.string(doc = "Path of a Jinja2 template. The Bento is of spec 1 then."),
    "env": attr.string_dict(doc = "Variables."),
    "setup_script": attr.string(doc = "Path of a program that runs while the image is built."),
    "system_packages": attr.string_list(doc = "Packages of the distribution."),
}

def _bento_docker_options_impl(ctx):
    options = option_values(ctx, _OPTIONS)
    if ctx.attr.env_file:
        if ctx.attr.env:
            fail("{}: set env or env_file, not both".format(ctx.label))
        options["env"] = ctx.attr.env_file
    return [BentoOptionsInfo(group = "docker", options = options)]

bento_docker_options = rule(
    implementation = _bento_docker_options_impl,
    doc = """The image that `bentoml containerize` makes, as `docker` of a bentofile, for `bento_package(docker = ...)`.

```starlark
bento_docker_options(
    name = "docker",
    distro = "debian",
    setup_script = "setup.sh",
    system_packages = ["curl"] + select({
        ":with_gpu": ["nvtop"],
        "//conditions:default": [],
    }),
)
```

Paths are of files in the build context, which have to be among `srcs` or `data` of the Bento. `python_version` is an attribute of
`bento_package` itself.""",
    attrs = _OPTIONS | {
        "env_file": attr.string(doc = "Path of a file with a variable to a line, `NAME=value`, in place of `env`."),
    },
    provides = [BentoOptionsInfo],
)
