"""Defines bento_docker_options, which declares options of the image that `bentoml containerize` builds."""

load("//rules:providers.bzl", "BentoOptionsInfo")
load("//rules/private:attributes.bzl", "label_string")
load("//rules/private:option_groups.bzl", "option_values")

_OPTIONS = {
    "base_image": attr.string(doc = "Name of the base image. Default: the image for `distro`."),
    "cuda_version": attr.string(doc = "CUDA version in the image, such as `12.8`. If set, `bento.yaml` has format version 1."),
    "distro": attr.string(doc = "Linux distribution of the image: `debian` (default), `alpine`, `ubi8`, or `amazonlinux`."),
    "dockerfile_template": attr.string(doc = "Path to a Jinja2 template of the Dockerfile. If set, `bento.yaml` has format version 1."),
    "env": attr.string_dict(doc = "Environment variables of the image. Keys are variable names."),
    "setup_script": attr.string(doc = "Path to a script that runs during the image build."),
    "system_packages": attr.string_list(doc = "Names of the distribution's packages to install."),
}

def _bento_docker_options_impl(ctx):
    options = option_values(ctx, _OPTIONS)
    if ctx.attr.env_file:
        if ctx.attr.env:
            fail("{}: env and env_file can't be combined. Remove one of the attributes.".format(label_string(ctx.label)))
        options["env"] = ctx.attr.env_file
    return [BentoOptionsInfo(group = "docker", options = options)]

bento_docker_options = rule(
    implementation = _bento_docker_options_impl,
    doc = """Declares the options of the image that `bentoml containerize` builds. The options correspond to `docker` in a bentofile. Set them with
`bento_package(docker = ":docker")`.

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

Paths are relative to the build context, and the files must be in `srcs` or `data` of the Bento. To select the Python version, set
`python_version` of `bento_package`.""",
    attrs = _OPTIONS | {"env_file": attr.string(doc = "Path to a file that sets environment variables, one `NAME=value` per line. Alternative to `env`.")},
    provides = [BentoOptionsInfo],
)
