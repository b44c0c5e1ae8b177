"""What the repository of a base image has, made of an OCI layout that is read without a program."""

_INDEXES = [
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
]

# Docker's names of the same things.
_MEDIA_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
_LAYERS = _MEDIA_TYPES.values()

# The platform of an image to the setting that it is for.
SETTINGS = {"linux/amd64": "linux_x86_64", "linux/arm64": "linux_aarch64"}

_LOADS = """\
load("@rules_bento//rules/private:image_base.bzl", "image_base", "image_layer")
"""

_LAYER = """
image_layer(
    name = "{name}",
    blob = {blob},
    description = "{name}.json",
    origin = "{origin}",
)
"""

_BASE = """
image_base(
    name = "{name}",
    base = "@{base}",
    config = "{name}.json",
    glibc = "{glibc}",
    layers = {layers},
    python = "{python}",
    python_version = "{python_version}",
    visibility = ["//visibility:public"],
)
"""

_ALIAS = """
alias(
    name = "{name}",
    actual = select({{
{cases}    }}, no_match_error = "the base image is for {platforms}"),
    visibility = ["//visibility:public"],
)
"""

# What all repositories of base images are told.
BASE_ATTRIBUTES = {
    "base": attr.string(doc = "Name of the target.", mandatory = True),
    "glibc": attr.string(doc = "Version of its C library, `X.Y`; empty if not known."),
    "python": attr.string(doc = "Absolute path of its interpreter.", mandatory = True),
    "python_version": attr.string(doc = "Version of its interpreter, `X.Y`.", mandatory = True),
}

def blob_path(layout, digest):
    """Where a layout has a blob, or would have it.

    Args:
      layout: path of the layout's folder.
      digest: `sha256:<hex>`.

    Returns:
      A path.
    """
    return layout.get_child(*(["blobs"] + digest.split(":")))

def read_blob(rctx, layout, digest):
    """A document of a layout.

    Args:
      rctx: the repository context.
      layout: path of the layout's folder.
      digest: `sha256:<hex>`.

    Returns:
      What the JSON says.
    """
    path = blob_path(layout, digest)
    if not path.exists:
        fail("bento.base(name = \"{}\"): {} has no blob {}; copy the whole image into the layout".format(rctx.attr.base, layout, digest))
    return json.decode(rctx.read(path))

def _manifests(rctx, layout):
    """The (digest, manifest) of the layout, those of nested indexes among them."""
    queue = [json.decode(rctx.read(layout.get_child("index.json")))]
    found = []

    # Starlark has no `while`; each turn takes one index of the queue.
    for _ in range(1000):
        if not queue:
            return found
        for entry in queue.pop().get("manifests", []):
            # Of what was pulled, images for other platforms are not there.
            if not blob_path(layout, entry["digest"]).exists and "platform" in entry:
                continue
            document = read_blob(rctx, layout, entry["digest"])
            if entry.get("mediaType") in _INDEXES or "manifests" in document:
                queue.append(document)
            elif "layers" in document:
                found.append((entry["digest"], document))
    return fail("bento.base(name = \"{}\"): {} has no end".format(rctx.attr.base, layout))

def images_by_platform(rctx, layout):
    """Finds the images of a layout that a Bento can be built on.

    Args:
      rctx: the repository context.
      layout: path of the layout's folder.

    Returns:
      A dict of `os/architecture` to a struct of digest, manifest, config.
    """
    found, others = {}, {}
    for digest, manifest in _manifests(rctx, layout):
        if not [layer for layer in manifest["layers"] if _MEDIA_TYPES.get(layer["mediaType"], layer["mediaType"]) not in _LAYERS]:
            config = read_blob(rctx, layout, manifest["config"]["digest"])
            platform = "{}/{}".format(config.get("os"), config.get("architecture"))
            if platform in found:
                fail("bento.base(name = \"{}\"): {} has several images for {}; leave one there".format(rctx.attr.base, layout, platform))
            if platform in SETTINGS:
                found[platform] = struct(config = config, digest = digest, manifest = manifest)
            else:
                others[platform] = True
    if not found:
        fail("bento.base(name = \"{}\"): {} has no image for {}{}".format(
            rctx.attr.base,
            layout,
            " or ".join(SETTINGS),
            ", only for " + " and ".join(others) if others else "",
        ))
    return found

def platform_name(platform):
    """The name of a platform in targets and repositories.

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
    for number, (layer, diff_id) in enumerate(zip(image.manifest["layers"], image.config["rootfs"]["diff_ids"])):
        layers.append("{}.{}".format(name, number))
        rctx.file(layers[-1] + ".json", json.encode_indent({
            "media_type": _MEDIA_TYPES.get(layer["mediaType"], layer["mediaType"]),
            "digest": layer["digest"],
            "size": layer["size"],
            "diff_id": diff_id,
            # Only who reads the layer knows.
            "uncompressed_size": None,
            "name": "base {}, layer {}".format(rctx.attr.base, number),
        }))
        text += _LAYER.format(blob = blob(name, layer["digest"]), name = layers[-1], origin = origin)
    env = dict([variable.split("=", 1) for variable in image.config.get("config", {}).get("Env") or []])
    facts = {key: image.config[key] for key in ("architecture", "os", "variant", "history") if key in image.config}
    rctx.file(name + ".json", json.encode_indent(facts | {"digest": image.digest, "env": env, "origin": origin}))
    return text + _BASE.format(
        base = rctx.attr.base,
        name = name,
        glibc = rctx.attr.glibc,
        layers = json.encode([":" + layer for layer in layers]),
        python = rctx.attr.python,
        python_version = rctx.attr.python_version,
    )

def write_base(rctx, layout, blob, origin = ""):
    """Writes the targets of a base image, one for each platform and one that chooses.

    Args:
      rctx: the context of a repository with `BASE_ATTRIBUTES`.
      layout: path of the folder of a layout, perhaps without the layers.
      blob: what makes, of the name of a platform and the digest of a layer, the value of the attribute `blob`.
      origin: `registry/repository` that has the image; empty for none.
    """
    text, cases = _LOADS, ""
    images = images_by_platform(rctx, layout)
    for platform, image in images.items():
        name = platform_name(platform)
        text += _base(rctx, name, image, blob, origin)
        cases += "        \"@rules_bento//toolchains/platforms:{}\": \":{}\",\n".format(SETTINGS[platform], name)
    text += _ALIAS.format(cases = cases, name = rctx.attr.base, platforms = " and ".join(images))
    rctx.file("BUILD.bazel", text)
