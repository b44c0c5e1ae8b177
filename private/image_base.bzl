"""Defines scan_layers, and the rules in repositories of `bento_files.base`, which provide an existing image as an
image base."""

load("//rules:providers.bzl", "BentoBaseInfo", "BentoLayerInfo")
load(":deferred.bzl", "deferred")
load(":helper.bzl", "TOOLCHAIN_TYPE", "run_leaf", "with_inputs")

def _image_layer_impl(ctx):
    layer = BentoLayerInfo(blob = ctx.file.blob, description = ctx.file.description, origin = ctx.attr.origin)
    return [layer, DefaultInfo(files = depset([layer.description]))]

# A layer of an existing image. `origin` is the repository (`registry/repository`) of a layer that isn't local. Such a
# layer has no `blob` if the build doesn't fetch it. `description` is for `BentoLayerInfo.description`.
image_layer = rule(
    implementation = _image_layer_impl,
    attrs = {
        "blob": attr.label(allow_single_file = True),
        "description": attr.label(allow_single_file = [".json"], mandatory = True),
        "origin": attr.string(),
    },
    provides = [BentoLayerInfo],
)

def fetched_blob(name, label):
    """Returns the value of `blob` for a layer in a registry.

    Only builds with `//rules:base_layers` = `fetched` fetch it.

    Args:
      name: name of a target to declare.
      label: label of the layer's file.
    """
    deferred(name = name, labels = {"//conditions:default": label})
    return select({Label("//rules:base_layers_fetched"): name, "//conditions:default": None})

def _contents(ctx, layers):
    """Declares the scan of a base.

    Returns a struct of the Files `libraries` and `system`, which are None if a layer isn't local.
    """
    if [layer for layer in layers if not layer.blob]:
        return struct(libraries = None, system = None)
    return scan_layers(ctx, [(layer.description, layer.blob) for layer in layers])

def _image_base_impl(ctx):
    layers = [target[BentoLayerInfo] for target in ctx.attr.layers]
    contents = _contents(ctx, layers)
    return [
        BentoBaseInfo(
            config = ctx.file.config,
            deb_index = None,
            glibc = ctx.attr.glibc,
            layers = tuple(layers),
            libraries = contents.libraries,
            name = ctx.attr.base,
            python = ctx.attr.python,
            python_release = ctx.attr.python_release,
            python_version = ctx.attr.python_version,
            system = contents.system,
        ),
        DefaultInfo(
            files = depset([ctx.file.config], transitive = [target[DefaultInfo].files for target in ctx.attr.layers]),
        ),
    ]

# An existing image as an image base. `config` is for `BentoBaseInfo.config`; `base` is its name in error messages. An
# unknown `glibc` (`X.Y`) or `python_release` (`X.Y.Z`) is empty. The layers are ordered from bottom to top.
image_base = rule(
    implementation = _image_base_impl,
    attrs = {
        "base": attr.string(mandatory = True),
        "config": attr.label(allow_single_file = [".json"], mandatory = True),
        "glibc": attr.string(),
        "layers": attr.label_list(mandatory = True, providers = [BentoLayerInfo]),
        "python": attr.string(mandatory = True),
        "python_release": attr.string(),
        "python_version": attr.string(mandatory = True),
    },
    provides = [BentoBaseInfo],
    toolchains = [TOOLCHAIN_TYPE],
)

def scan_layers(ctx, layers, *, linked = None, with_machines = False):
    """Declares the action that finds the shared libraries and packages of layers.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      layers: list of pairs of Files from the lowest layer up. A pair is the description of the layer, and the layer or
        an OCI layout that contains the layer.
      linked: depset of Files that links in the OCI layout might refer to, or None.
      with_machines: whether the action also determines the CPU architectures of files with machine code.

    Returns:
      A struct of the Files `libraries` and `system` (see BentoBaseInfo), and of `machines` (File, or None without
      `with_machines`).
    """
    machines = {"--machines": ".machines.json"} if with_machines else {}
    files = run_leaf(
        ctx,
        "base_contents",
        {"--layer": with_inputs(layers, linked or depset())},
        mnemonic = "BentoBaseContents",
        outputs = {"--libraries": ".libraries.json", "--system": ".system.json"} | machines,
        packages = ["zstandard"],
        progress_message = "Scanning layers of %{label}",
    )
    return struct(libraries = files[0], machines = files[2] if machines else None, system = files[1])
