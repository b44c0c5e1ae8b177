"""Defines bento_deb_layer, which installs Debian packages into a layer of an image."""

load("//rules:providers.bzl", "BentoDebInfo", "BentoDebLayerInfo", "BentoLayerInfo")
load("//rules/private:attributes.bzl", "add_pairs", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper", "verb")
load("//rules/private:layers.bzl", "COMPRESSIONS", "COMPRESSION_PACKAGES", "extension")

_EXCLUDES = [
    "/usr/share/bug/*",
    "/usr/share/doc-base/*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
]
_INCLUDES = ["/usr/share/doc/*/copyright"]
_USERS = {"bentoml": "1034", "nonroot": "65532"}

# Of the helper's third-party packages; .deb files of some distributions are compressed with zstd, too.
_PACKAGES = ["zstandard"]

def _one_of(ctx, what, values):
    """Returns the value that is not empty, if there is one."""
    found = sorted({value: True for value in values if value})
    if len(found) > 1:
        fail("{}: the packages and the layers below bring {} of {}; take all from one lock".format(ctx.label, what, " and ".join(found)))
    return (found + [""])[0]

def _write(ctx, architecture, files, lower):
    """Declares layer, description and index, and the action that writes them."""
    layer = BentoLayerInfo(
        blob = ctx.actions.declare_file("{}.layer.{}".format(ctx.label.name, extension(ctx.attr.compression))),
        description = ctx.actions.declare_file(ctx.label.name + ".layer.json"),
    )
    index = ctx.actions.declare_file(ctx.label.name + ".debs.json")
    below = [info.index for info in lower]
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(["--architecture", architecture])
    args.add_all(files, before_each = "--deb")
    args.add_all(below, before_each = "--lower")
    args.add_all(ctx.files.certificates, before_each = "--certificate")
    args.add_all(ctx.attr.excludes, before_each = "--exclude")
    args.add_all(ctx.attr.includes, before_each = "--include")
    add_pairs(args, "--symlink", ctx.attr.symlinks)
    add_pairs(args, "--user", ctx.attr.users)
    args.add_all(["--compression", ctx.attr.compression])
    args.add_all(["--output", layer.blob])
    args.add_all(["--description", layer.description])
    args.add_all(["--index", index])
    run_helper(
        ctx,
        mnemonic = "BentoDebLayer",
        progress_message = "Installing Debian packages of %{label} into a layer",
        verb = verb(
            "deb_layer",
            args,
            inputs = depset(below + ctx.files.certificates, transitive = [files]),
            packages = _PACKAGES + COMPRESSION_PACKAGES[ctx.attr.compression],
        ),
        outputs = [layer.blob, layer.description, index],
    )
    return layer, index

def _bento_deb_layer_impl(ctx):
    debs = [target[BentoDebInfo] for target in ctx.attr.packages]
    lower = [ctx.attr.base[BentoDebLayerInfo]] if ctx.attr.base else []
    architecture = _one_of(ctx, "architectures", [info.architecture for info in debs + lower])
    layer, index = _write(ctx, architecture, depset(transitive = [info.files for info in debs]), lower)
    return [
        BentoDebLayerInfo(
            architecture = architecture,
            glibc = _one_of(ctx, "versions of glibc", [info.glibc for info in debs + lower]),
            hub = ([info.hub for info in lower + debs] + [""])[0],
            index = index,
            layers = tuple([each for info in lower for each in info.layers] + [layer]),
            python_version = _one_of(ctx, "versions of Python", [info.python_version for info in debs + lower]),
        ),
        layer,
        DefaultInfo(files = depset([layer.description])),
        OutputGroupInfo(index = depset([index]), layer = depset([layer.blob])),
    ]

bento_deb_layer = rule(
    implementation = _bento_deb_layer_impl,
    doc = """Installs locked Debian packages into a layer, without running anything of them.

```starlark
bento_deb_layer(
    name = "debs",
    packages = [
        "@debian//base-files",
        "@debian//python3",
    ],
)
```

Packages bring what they depend on. dpkg's database is there, so that dpkg, apt and scanners see what is installed. What
maintainer scripts do is left out but for what a service needs: users, the bundle of certificates, `/tmp`, `nsswitch.conf`. It
works for a foreign architecture as for the own. The default output is the layer's description; the layer is in the output
group `layer`.""",
    attrs = {
        "certificates": attr.label_list(allow_files = [".crt", ".pem"], doc = "Authorities that are trusted beside those of `ca-certificates`, in PEM form."),
        "compression": attr.string(default = "zstd", doc = "Of the layer: `zstd`; `gzip` for runtimes of old; `estargz`, which can be pulled lazily; or `zstd:chunked`, which can be pulled in part.", values = COMPRESSIONS),
        "excludes": attr.string_list(default = _EXCLUDES, doc = "Paths that are left out, as of dpkg's `path-exclude`: absolute patterns whose `*` stands for slashes, too. Default: manuals, translations and documentation."),
        "includes": attr.string_list(default = _INCLUDES, doc = "Paths that are not left out after all, as of dpkg's `path-include`. Default: copyright files."),
        "base": attr.label(doc = "The layer or base that this one lies over: what is installed there is not installed again.", providers = [BentoDebLayerInfo]),
        "packages": attr.label_list(doc = "Packages of a hub of `bento.apt`.", mandatory = True, providers = [BentoDebInfo]),
        "symlinks": attr.string_dict(doc = "Symbolic links that no package has, path to target: `{\"/usr/bin/python\": \"python3\"}`."),
        "users": attr.string_dict(default = _USERS, doc = "Users beside those of the system, name to number, each with a group and a home of its own. Only for a lowest layer."),
    },
    provides = [BentoDebLayerInfo, BentoLayerInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
