"""Defines bento_base, which makes a base for images of layers of Debian packages."""

load("//rules:providers.bzl", "BentoBaseInfo", "BentoDebLayerInfo")
load("//rules/private:attributes.bzl", "label_string")

_OS = "linux"

def _python_version(ctx, debs):
    version = ctx.attr.python_version or debs.python_version
    if not version:
        fail("{}: its packages have no python3; add it to them, or say which version lies at {} by python_version".format(ctx.label, ctx.attr.python))
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
    doc = """A base for images, made of Debian packages alone.

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

A `bento_deb_layer` with `lower` set to it adds packages.""",
    attrs = {
        "deb_layer": attr.label(doc = "The `bento_deb_layer` that is uppermost in it.", mandatory = True, providers = [BentoDebLayerInfo]),
        "env": attr.string_dict(default = {"LANG": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, doc = "Variables of the environment."),
        "python": attr.string(default = "/usr/bin/python3", doc = "Absolute path of the interpreter."),
        "python_version": attr.string(doc = "Its version, `X.Y`. Default: that of the package python3."),
    },
    provides = [BentoBaseInfo, BentoDebLayerInfo],
)
