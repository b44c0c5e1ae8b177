"""Base images of `bento.base`: of a registry, an OCI layout, or an archive of `docker save`."""

load(":build_text.bzl", "build_text", "select_text")
load(":fetch.bzl", "probe_cache", "run_helper")
load(":lock_shapes.bzl", "matches")

base_tag = tag_class(
    doc = "A base image for `bento_image`: `@<name>`. It is one of `image` with `digest`, `layout` and `archive`.",
    attrs = {
        "archive": attr.label(doc = "What `docker save` writes: an uncompressed tar of one image."),
        "digest": attr.string(doc = "`sha256:<hex>` of the image, or of an index of images for several platforms."),
        "glibc": attr.string(doc = "Version of its C library, `X.Y`. Default: not known, and wheels are held to `glibc` of their hub."),
        "image": attr.string(doc = "An image of a registry, `registry/repository`. Credentials are those of docker's config and its helpers."),
        "layout": attr.label(doc = "The file `index.json` of an OCI layout, for one or several platforms."),
        "mirrors": attr.string_list(doc = "`registry/repository` each, asked for `image` in turn before its own registry is."),
        "name": attr.string(doc = "Name of the repository and of its target.", mandatory = True),
        "python": attr.string(default = "/usr/local/bin/python3", doc = "Absolute path of its interpreter."),
        "python_version": attr.string(doc = "Version of its interpreter, `X.Y`.", mandatory = True),
    },
)

def _check(tag):
    given = [attribute for attribute in ("archive", "image", "layout") if getattr(tag, attribute)]
    if len(given) != 1:
        fail("bento.base(name = \"{}\"): it has {}; name one of archive, image and layout".format(tag.name, " and ".join(given) or "none"))
    if bool(tag.image) != bool(tag.digest):
        fail("bento.base(name = \"{}\"): image and digest come together, so that nobody can change what is built on: digest = \"sha256:...\"".format(tag.name))
    if tag.digest and not (tag.digest.startswith("sha256:") and matches("sha256", tag.digest.removeprefix("sha256:"))):
        fail("bento.base(name = \"{}\"): digest is `sha256:` and 64 hexadecimal digits, not {}".format(tag.name, tag.digest))
    if tag.image and ("@" in tag.image or ":" in tag.image.rpartition("/")[2]):
        fail("bento.base(name = \"{}\"): image is `registry/repository` without a tag, not {}; the digest says which one is meant".format(tag.name, tag.image))
    for image in [tag.image] + tag.mirrors if tag.image else []:
        if not matches("image", image):
            fail("bento.base(name = \"{}\"): image and mirrors are `registry/repository`, not {}".format(tag.name, repr(image)))
    if tag.mirrors and not tag.image:
        fail("bento.base(name = \"{}\"): mirrors are for an image of a registry".format(tag.name))

def declare_base(tag):
    """Declares the repositories of a base image; they are fetched when a build asks for them.

    Args:
      tag: the tag `bento.base`.
    """
    _check(tag)
    common = {
        "base": tag.name,
        "glibc": tag.glibc,
        "python": tag.python,
        "python_version": tag.python_version,
    }
    if tag.image:
        declare_registry_base(tag, common)
    elif tag.layout:
        layout_base_repo(name = tag.name, layout = tag.layout, **common)
    else:
        archive_base_repo(name = tag.name, archive = tag.archive, **common)

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
    rctx.file(name + ".json", json.encode_indent(image["config"] | {"digest": image["digest"], "origin": origin}))
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

def _layout_base_repo_impl(rctx):
    index = rctx.path(rctx.attr.layout)
    if index.basename != "index.json" or not index.exists:
        fail("bento.base(name = \"{}\"): {} is not there; layout is the file index.json of an OCI layout, as `skopeo copy` writes it".format(rctx.attr.base, index))
    layout = index.dirname

    def blob(_platform, digest):
        path = "blobs/" + digest.replace(":", "/")

        # Images for several platforms may share it.
        if not rctx.path(path).exists:
            rctx.symlink(blob_path(layout, digest), path)
        return repr(path)

    write_base(rctx, images_by_platform(rctx, layout, ["--layers"]), blob)

layout_base_repo = repository_rule(
    implementation = _layout_base_repo_impl,
    doc = "A base image that lies on the disk as an OCI layout.",
    attrs = BASE_ATTRIBUTES | {
        "layout": attr.label(doc = "The file `index.json` of the layout.", mandatory = True),
    },
)

def _archive_base_repo_impl(rctx):
    place = "bento.base(name = \"{}\")".format(rctx.attr.base)
    if not rctx.path(rctx.attr.archive).exists:
        fail("{}: {} is not there; archive is a tar that `docker save` writes".format(place, rctx.path(rctx.attr.archive)))
    run_helper(rctx, place, "unpack_image", ["--archive", rctx.path(rctx.attr.archive), "--layout", "layout"])
    write_base(rctx, images_by_platform(rctx, "layout"), lambda _platform, digest: repr("layout/blobs/" + digest.replace(":", "/")))

archive_base_repo = repository_rule(
    implementation = _archive_base_repo_impl,
    doc = "A base image that lies on the disk as an archive of `docker save`.",
    attrs = BASE_ATTRIBUTES | {
        "archive": attr.label(doc = "The archive.", mandatory = True),
    },
)

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
