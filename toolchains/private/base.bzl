"""Base images that lie on the disk as OCI layouts: read without a program, and never copied."""

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
_SETTINGS = {"linux/amd64": "linux_x86_64", "linux/arm64": "linux_aarch64"}

_LOADS = """\
load("@rules_bento//rules/private:image_base.bzl", "image_base", "image_layer")
"""

_LAYER = """
image_layer(
    name = "{name}",
    blob = "{blob}",
    description = "{name}.json",
)
"""

_BASE = """
image_base(
    name = "{name}",
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

def _blob(rctx, digest):
    path = rctx.path(rctx.attr.layout).dirname.get_child(*(["blobs"] + digest.split(":")))
    if not path.exists:
        fail("bento.base(name = \"{}\"): {} has no blob {}; copy the whole image into the layout".format(rctx.attr.base, rctx.attr.layout, digest))
    return path

def _manifests(rctx):
    """The manifests of the layout, those of nested indexes among them."""
    queue = [json.decode(rctx.read(rctx.path(rctx.attr.layout)))]
    found = []

    # Starlark has no `while`; each turn takes one index of the queue.
    for _ in range(1000):
        if not queue:
            return found
        for entry in queue.pop().get("manifests", []):
            document = json.decode(rctx.read(_blob(rctx, entry["digest"])))
            if entry.get("mediaType") in _INDEXES or "manifests" in document:
                queue.append(document)
            elif "layers" in document:
                found.append(document)
    return fail("bento.base(name = \"{}\"): {} has no end".format(rctx.attr.base, rctx.attr.layout))

def _by_platform(rctx):
    """Manifest and config by platform, of those that an image can be for."""
    found = {}
    for manifest in _manifests(rctx):
        if not [layer for layer in manifest["layers"] if _MEDIA_TYPES.get(layer["mediaType"], layer["mediaType"]) not in _LAYERS]:
            config = json.decode(rctx.read(_blob(rctx, manifest["config"]["digest"])))
            platform = "{}/{}".format(config.get("os"), config.get("architecture"))
            if platform in found:
                fail("bento.base(name = \"{}\"): {} has several images for {}; leave one there".format(rctx.attr.base, rctx.attr.layout, platform))
            if platform in _SETTINGS:
                found[platform] = (manifest, config)
    if not found:
        fail("bento.base(name = \"{}\"): {} has no image for {}".format(rctx.attr.base, rctx.attr.layout, " or ".join(_SETTINGS)))
    return found

def _base(rctx, name, manifest, config):
    """Writes the files of an image; returns the text of its targets."""
    text = ""
    layers = []
    for number, (layer, diff_id) in enumerate(zip(manifest["layers"], config["rootfs"]["diff_ids"])):
        layers.append("{}.{}".format(name, number))
        blob = "blobs/" + layer["digest"].replace(":", "/")

        # Images for several platforms may share it.
        if not rctx.path(blob).exists:
            rctx.symlink(_blob(rctx, layer["digest"]), blob)
        rctx.file(layers[-1] + ".json", json.encode_indent({
            "media_type": _MEDIA_TYPES.get(layer["mediaType"], layer["mediaType"]),
            "digest": layer["digest"],
            "size": layer["size"],
            "diff_id": diff_id,
            # Only who reads the layer knows.
            "uncompressed_size": None,
            "name": "base {}, layer {}".format(rctx.attr.base, number),
        }))
        text += _LAYER.format(blob = blob, name = layers[-1])
    env = dict([variable.split("=", 1) for variable in config.get("config", {}).get("Env") or []])
    rctx.file(name + ".json", json.encode_indent(
        {key: config[key] for key in ("architecture", "os", "variant", "history") if key in config} | {"env": env},
    ))
    return text + _BASE.format(
        name = name,
        glibc = rctx.attr.glibc,
        layers = json.encode([":" + layer for layer in layers]),
        python = rctx.attr.python,
        python_version = rctx.attr.python_version,
    )

def _layout_base_repo_impl(rctx):
    found = _by_platform(rctx)
    text, cases = _LOADS, ""
    for platform, (manifest, config) in found.items():
        name = platform.replace("/", "_")
        text += _base(rctx, name, manifest, config)
        cases += "        \"@rules_bento//toolchains/platforms:{}\": \":{}\",\n".format(_SETTINGS[platform], name)
    text += _ALIAS.format(cases = cases, name = rctx.attr.base, platforms = " and ".join(found))
    rctx.file("BUILD.bazel", text)

layout_base_repo = repository_rule(
    implementation = _layout_base_repo_impl,
    doc = "A base image that lies on the disk as an OCI layout.",
    attrs = {
        "base": attr.string(doc = "Name of the target.", mandatory = True),
        "glibc": attr.string(doc = "Version of its C library, `X.Y`; empty if not known."),
        "layout": attr.label(doc = "The file `index.json` of the layout.", mandatory = True),
        "python": attr.string(doc = "Absolute path of its interpreter.", mandatory = True),
        "python_version": attr.string(doc = "Version of its interpreter, `X.Y`.", mandatory = True),
    },
)

base_tag = tag_class(
    doc = "A base image for `bento_image`: `@<name>`.",
    attrs = {
        "glibc": attr.string(doc = "Version of its C library, `X.Y`. Default: not known."),
        "layout": attr.label(doc = "The file `index.json` of an OCI layout, for one or several platforms.", mandatory = True),
        "name": attr.string(doc = "Name of the repository and of its target.", mandatory = True),
        "python": attr.string(default = "/usr/local/bin/python3", doc = "Absolute path of its interpreter."),
        "python_version": attr.string(doc = "Version of its interpreter, `X.Y`.", mandatory = True),
    },
)

def declare_base(tag):
    """Declares the repository of a base image; it is read when a build asks for it.

    Args:
      tag: the tag `bento.base`.
    """
    layout_base_repo(
        name = tag.name,
        base = tag.name,
        glibc = tag.glibc,
        layout = tag.layout,
        python = tag.python,
        python_version = tag.python_version,
    )
