"""Defines bento_base, which builds an image base from layers of Debian packages."""

load("//rules:providers.bzl", "BentoBaseInfo", "BentoDebLayerInfo")
load("//rules/private:attributes.bzl", "label_string")

_OS = "linux"

def _python_version(ctx, debs):
    version = ctx.attr.python_version or debs.python_version
    if not version:
        fail("{}: the packages don't include python3. Add python3 to the packages, or set python_version to the version of {}.".format(label_string(ctx.label), ctx.attr.python))
    return version

def _bento_base_impl(ctx):
    debs = ctx.attr.deb_layer[BentoDebLayerInfo]
    config = ctx.actions.declare_file(ctx.label.name + ".base.json")
    ctx.actions.write(config, json.encode({"architecture": debs.architecture, "env": ctx.attr.env, "os": _OS}))
    return [
        BentoBaseInfo(
            config = config,
            deb_index = debs.index,
            glibc = debs.glibc,
            layers = debs.layers,
            libraries = None,
            name = label_string(ctx.label),
            python = ctx.attr.python,
            python_version = _python_version(ctx, debs),
            system = None,
        ),
        debs,
        DefaultInfo(files = depset([config] + [layer.description for layer in debs.layers])),
    ]

bento_base = rule(
    implementation = _bento_base_impl,
    doc = """Builds an image base that contains only Debian packages.

```starlark
bento_base(
    name = "python",
    deb_layer = ":debs",
)

bento_image(
    name = "iris_image",
    base = ":python",
    bento = ":iris_bento",
)
```

To add packages, declare a `bento_deb_layer`, and set its `base` to this target.""",
    attrs = {
        "deb_layer": attr.label(doc = "Top layer: a `bento_deb_layer`. The base also includes the layers below the top layer.", mandatory = True, providers = [BentoDebLayerInfo]),
        "env": attr.string_dict(default = {"LANG": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, doc = "Environment variables of the container. Keys are variable names."),
        "python": attr.string(default = "/usr/bin/python3", doc = "Absolute path to the Python interpreter in the image."),
        "python_version": attr.string(doc = "Version of the Python interpreter (`X.Y`). Default: the version of the Debian package `python3`."),
    },
    provides = [BentoBaseInfo, BentoDebLayerInfo],
)
