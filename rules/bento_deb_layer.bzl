"""Defines bento_deb_layer, which installs Debian packages into a layer of an image."""

load("//rules:providers.bzl", "BentoDebInfo", "BentoDebLayerInfo", "BentoLayerInfo")
load("//rules/private:attributes.bzl", "add_pairs", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "run_helper", "subcommand", "target_arguments")
load("//rules/private:layers.bzl", "COMPRESSIONS", "COMPRESSION_PACKAGES", "write_ztoc")

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

# Third-party packages that the helper imports. Some distributions compress .deb files with zstd.
_PACKAGES = ["zstandard"]

def _one_of(ctx, what, values):
    """Returns the only distinct nonempty value, or an empty string if there is none. Fails with an error about `what` if values differ."""
    distinct = sorted({value: True for value in values if value})
    if len(distinct) > 1:
        fail("{}: the packages and the base layers have different {}: {}. Use packages from one lock.".format(label_string(ctx.label), what, " and ".join(distinct)))
    return (distinct + [""])[0]

def _write(ctx, architecture, files, lower):
    """Declares the layer, its description, and its package index, and the action that writes them. Returns a BentoLayerInfo and the index's File."""
    blob = ctx.actions.declare_file("{}.layer.{}".format(ctx.label.name, ctx.attr.compression))
    description = ctx.actions.declare_file(ctx.label.name + ".layer.json")
    layer = BentoLayerInfo(
        blob = blob,
        description = description,
        ztoc = write_ztoc(ctx, blob.basename, ctx.attr.compression, [description, blob]),
    )
    index = ctx.actions.declare_file(ctx.label.name + ".debs.json")
    below = [info.index for info in lower]
    args = target_arguments(ctx)
    args.add_all(["--architecture", architecture])
    args.add_all(files, before_each = "--deb")
    args.add_all(below, before_each = "--lower")
    args.add_all(ctx.files.certificates, before_each = "--certificate")
    args.add_all(ctx.attr.excludes, before_each = "--exclude")
    args.add_all(ctx.attr.includes, before_each = "--include")
    add_pairs(args, "--symlink", ctx.attr.symlinks)
    add_pairs(args, "--user", ctx.attr.users)
    args.add_all(["--compression", ctx.attr.compression, "--output", layer.blob, "--description", layer.description, "--index", index])
    run_helper(
        ctx,
        mnemonic = "BentoDebLayer",
        progress_message = "Installing Debian packages of %{label}",
        subcommand = subcommand(
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
    doc = """Installs locked Debian packages into an image layer, without running code from the packages.

```starlark
bento_deb_layer(
    name = "debs",
    packages = [
        "@debian//base-files",
        "@debian//python3",
    ],
)
```

The layer includes the transitive dependencies of the packages, and dpkg's database, which dpkg, apt, and scanners read. Maintainer scripts
don't run. Instead, the rule creates what services usually need from these scripts: users, the certificate bundle, `/tmp`, and
`nsswitch.conf`. Foreign architectures are supported. The default output is a JSON file that describes the layer. Output groups: `layer`
and `index`.""",
    attrs = {
        "certificates": attr.label_list(allow_files = [".crt", ".pem"], doc = "Additional certificate authorities to trust (PEM files). The image also trusts the authorities in the package `ca-certificates`."),
        "compression": attr.string(default = "zstd", doc = "Compression of the layer: `zstd` (default), or `gzip` for older runtimes and for SOCI.", values = COMPRESSIONS),
        "excludes": attr.string_list(default = _EXCLUDES, doc = "Patterns of paths to exclude, in the syntax of dpkg's `path-exclude`. Patterns are absolute paths, in which `*` also matches slashes. Default: manuals, translations, and documentation."),
        "includes": attr.string_list(default = _INCLUDES, doc = "Patterns of paths to include even if `excludes` matches them, in the syntax of dpkg's `path-include`. Default: copyright files."),
        "base": attr.label(doc = "Layer or image base below this layer. Packages that the base includes aren't installed again.", providers = [BentoDebLayerInfo]),
        "packages": attr.label_list(doc = "Debian packages to install, from a package hub that `bento.apt` declares.", mandatory = True, providers = [BentoDebInfo]),
        "symlinks": attr.string_dict(doc = "Additional symbolic links. Keys are paths; values are link targets: `{\"/usr/bin/python\": \"python3\"}`."),
        "users": attr.string_dict(default = _USERS, doc = "Additional users. Keys are user names; values are user IDs. Each user has a group and a home directory. Has no effect if `base` is set, because only the lowest layer adds users."),
    },
    provides = [BentoDebLayerInfo, BentoLayerInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
