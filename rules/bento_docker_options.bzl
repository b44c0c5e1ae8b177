"""Defines bento_docker_options, the options of a Bento for the image of `bentoml containerize`."""

load("//rules:providers.bzl", "BentoOptionsInfo")
load("//rules/private:option_groups.bzl", "option_values")

_OPTIONS = {
    "base_image": attr.string(doc = "Image name that replaces the distribution's image."),
    "cuda_version": attr.string(doc = "CUDA version, such as `12.8`. The Bento then uses spec 1."),
    "distro": attr.string(doc = "`debian` (default), `alpine`, `ubi8`, or `amazonlinux`."),
    "dockerfile_template": attr.string(doc = "Path of a Jinja2 template. The Bento then uses spec 1."),
    "env": attr.string_dict(doc = "Environment variables."),
    "setup_script": attr.string(doc = "Path of a program that runs during the image build."),
    "system_packages": attr.string_list(doc = "Packages of the distribution."),
}

def _bento_docker_options_impl(ctx):
    options = option_values(ctx, _OPTIONS)
    if ctx.attr.env_file:
        if ctx.attr.env:
            fail("{}: env and env_file are both set. Set only one of them.".format(ctx.label))
        options["env"] = ctx.attr.env_file
    return [BentoOptionsInfo(group = "docker", options = options)]

bento_docker_options = rule(
    implementation = _bento_docker_options_impl,
    doc = """Declares the image of `bentoml containerize`, as `docker` of a bentofile, for `bento_package(docker = ...)`.

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

Paths are relative to the build context, and the files must be in `srcs` or `data` of the Bento. Set `python_version` on `bento_package`.""",
    attrs = _OPTIONS | {"env_file": attr.string(doc = "Path of a file with one `NAME=value` per line, instead of `env`.")},
    provides = [BentoOptionsInfo],
)
