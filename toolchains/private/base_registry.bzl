"""Base images of registries. Manifest and config are pulled; layers only where a build asks for them to be here."""

load(":base_files.bzl", "BASE_ATTRIBUTES", "SETTINGS", "images_by_platform", "platform_name", "write_base")
load(":fetch.bzl", "probe_cache")
load(":helper.bzl", "run_helper")

_FETCHED = "@rules_bento//rules:base_layers_fetched"

def _pull(rctx, image, mirrors, more):
    place = "bento.base(name = \"{}\")".format(rctx.attr.base)
    arguments = ["--image", image, "--layout", "layout"]
    for mirror in mirrors:
        arguments += ["--mirror", mirror]
    rctx.report_progress("pulling {}".format(image))
    run_helper(rctx, place, "pull", arguments + more)

def _layers_of(base, platform):
    """Names the repository that has the layers for a platform."""
    return "{}__layers_{}".format(base, platform)

def _registry_base_repo_impl(rctx):
    more = ["--shallow", "--lenient"]
    for platform in SETTINGS:
        more += ["--platform", platform]
    _pull(rctx, "{}@{}".format(rctx.attr.image, rctx.attr.digest), rctx.attr.mirrors, more)

    def blob(platform, digest):
        label = "@{}//:layout/blobs/{}".format(_layers_of(rctx.attr.base, platform), digest.replace(":", "/"))
        return "select({})".format(repr({_FETCHED: label, "//conditions:default": None}))

    write_base(rctx, images_by_platform(rctx, "layout"), blob, origin = rctx.attr.image)

_registry_base_repo = repository_rule(
    implementation = _registry_base_repo_impl,
    doc = "A base image of a registry: its documents.",
    attrs = BASE_ATTRIBUTES | {
        "digest": attr.string(doc = "`sha256:<hex>` of the image or index.", mandatory = True),
        "image": attr.string(doc = "`registry/repository`.", mandatory = True),
        "mirrors": attr.string_list(doc = "`registry/repository` each, asked first."),
    },
)

def _registry_layers_repo_impl(rctx):
    image = json.decode(rctx.read(rctx.path(rctx.attr.images)))[rctx.attr.platform]
    layers = {layer["digest"]: "layout/blobs/" + layer["digest"].replace(":", "/") for layer in image["layers"]}
    rctx.file("layout/oci-layout", json.encode({"imageLayoutVersion": "1.0.0"}))
    rctx.file("layout/index.json", json.encode({"manifests": [], "schemaVersion": 2}))
    cached = [probe_cache(rctx, path, digest.removeprefix("sha256:")) for digest, path in layers.items()]
    if not all(cached):
        _pull(rctx, "{}@{}".format(rctx.attr.image, image["digest"]), rctx.attr.mirrors, [])

        # Puts the layers into the repository cache, where `probe_cache` of another checkout finds them.
        for (digest, path), was_there in zip(layers.items(), cached):
            if not was_there:
                rctx.download(url = "file://{}".format(rctx.path(path)), output = "cached", sha256 = digest.removeprefix("sha256:"))
    rctx.delete("cached")
    rctx.file("BUILD.bazel", "exports_files({})\n".format(repr(layers.values())))

_registry_layers_repo = repository_rule(
    implementation = _registry_layers_repo_impl,
    doc = "A base image of a registry: its layers for a platform.",
    attrs = {
        "base": attr.string(doc = "Name in `bento.base`.", mandatory = True),
        "image": attr.string(doc = "`registry/repository`.", mandatory = True),
        "images": attr.label(doc = "The file `images.json` of the repository that has the documents.", mandatory = True),
        "mirrors": attr.string_list(doc = "`registry/repository` each, asked first."),
        "platform": attr.string(doc = "`os/architecture`.", mandatory = True),
    },
)

def declare_registry_base(tag, common):
    """Declares the repositories of a base image of a registry.

    Args:
      tag: the tag `bento.base`.
      common: dict of what all bases have: `BASE_ATTRIBUTES`.
    """
    _registry_base_repo(name = tag.name, digest = tag.digest, image = tag.image, mirrors = tag.mirrors, **common)
    for platform in SETTINGS:
        _registry_layers_repo(
            name = _layers_of(tag.name, platform_name(platform)),
            base = tag.name,
            image = tag.image,
            images = "@{}//:images.json".format(tag.name),
            mirrors = tag.mirrors,
            platform = platform,
        )
