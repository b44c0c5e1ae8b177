"""What the repository of a base image has, made of an OCI layout that the helper reads."""

load(":build_text.bzl", "build_text", "select_text")
load(":helper.bzl", "run_helper")

# The platform of an image to the setting that it is for.
SETTINGS = {"linux/amd64": "linux_x86_64", "linux/arm64": "linux_aarch64"}

_LOADS = """\
load("@rules_bento//rules/private:image_base.bzl", "image_base", "image_layer")
"""

_LAYER = """
image_layer(
    name = {name},
    blob = {blob},
    description = {description},
    origin = {origin},
)
"""

_BASE = """
image_base(
    name = {name},
    base = {base},
    config = {config},
    glibc = {glibc},
    layers = {layers},
    python = {python},
    python_version = {python_version},
    visibility = ["//visibility:public"],
)
"""

_ALIAS = """
alias(
    name = {name},
    actual = {actual},
    visibility = ["//visibility:public"],
)
"""

_NO_MATCH = "the base image is for {}, and this build for another platform: set platform of the bento_image and of its Bento, or leave --platforms out"

# What all repositories of base images are told.
BASE_ATTRIBUTES = {
    "base": attr.string(doc = "Name of the target.", mandatory = True),
    "glibc": attr.string(doc = "Version of its C library, `X.Y`; empty if not known."),
    "python": attr.string(doc = "Absolute path of its interpreter.", mandatory = True),
    "python_version": attr.string(doc = "Version of its interpreter, `X.Y`.", mandatory = True),
}

def blob_path(layout, digest):
    """Returns the path of a blob in a layout.

    Args:
      layout: path of the layout's folder.
      digest: `sha256:<hex>`.

    Returns:
      A path.
    """
    return layout.get_child(*(["blobs"] + digest.split(":")))

def images_by_platform(rctx, layout, more = []):
    """Finds the images of a layout that a Bento can be built on, each part held to the layout's index.

    Args:
      rctx: the repository context.
      layout: path of the layout's folder.
      more: further arguments of the helper's `base_images`.

    Returns:
      A dict of `os/architecture` to a dict of digest, facts (of the config), layers.
    """
    arguments = ["--layout", layout, "--output", "images.json"] + more
    for platform in SETTINGS:
        arguments += ["--platform", platform]
    run_helper(rctx, "bento.base(name = \"{}\")".format(rctx.attr.base), "base_images", arguments)
    return json.decode(rctx.read("images.json"))

def platform_name(platform):
    """Returns the name of a platform in targets and repositories.

    Args:
      platform: `os/architecture`.

    Returns:
      A name.
    """
    return platform.replace("/", "_")

def _base(rctx, name, image, blob, origin):
    """Writes the files of an image; returns the text of its targets."""
    text = ""
    layers = []
    for number, layer in enumerate(image["layers"]):
        layers.append("{}.{}".format(name, number))
        rctx.file(layers[-1] + ".json", json.encode_indent(layer | {
            # Not known: manifests do not say it, and the layer is not read here.
            "uncompressed_size": None,
            "name": "base {}, layer {}".format(rctx.attr.base, number),
        }))
        text += build_text(
            _LAYER,
            {"blob": blob(name, layer["digest"])},
            description = layers[-1] + ".json",
            name = layers[-1],
            origin = origin,
        )
    rctx.file(name + ".json", json.encode_indent(image["facts"] | {"digest": image["digest"], "origin": origin}))
    return text + build_text(
        _BASE,
        base = "@" + rctx.attr.base,
        config = name + ".json",
        name = name,
        glibc = rctx.attr.glibc,
        layers = [":" + layer for layer in layers],
        python = rctx.attr.python,
        python_version = rctx.attr.python_version,
    )

def write_base(rctx, images, blob, origin = ""):
    """Writes the targets of a base image, one for each platform and one that chooses.

    Args:
      rctx: the context of a repository with `BASE_ATTRIBUTES`.
      images: what `images_by_platform` returned.
      blob: what makes, of the name of a platform and the digest of a layer, the value of the attribute `blob`.
      origin: `registry/repository` that has the image; empty for none.
    """
    text, cases = _LOADS, {}
    for platform, image in images.items():
        name = platform_name(platform)
        text += _base(rctx, name, image, blob, origin)
        cases[SETTINGS[platform]] = ":" + name
    text += build_text(_ALIAS, {"actual": select_text(cases, _NO_MATCH.format(" and ".join(images)))}, name = rctx.attr.base)
    rctx.file("BUILD.bazel", text)
