"""Declares the base images of `bento_files.base`, from a registry, an OCI layout, or an archive that `docker save`
wrote."""

load(
    ":build_text.bzl",
    "PUBLIC",
    "build_text",
    "failing_text",
    "load_text",
    "metadata_text",
    "select_text",
    "target_text",
)
load(":fetch.bzl", "helper_packages", "helper_problem", "probe_cache", "run_helper")
load(":lock_shapes.bzl", "matches")

# Attributes of `bento_files.base`, and of the repository rule with the targets of a base image.
_ATTRIBUTES = {
    "archive": attr.label(doc = "Uncompressed archive of `docker save` with one image."),
    "digest": attr.string(doc = "Digest of `image` (`sha256:<hex>`); for several platforms, of an index."),
    "glibc": attr.string(
        doc = "Version of glibc in the image (`X.Y`). Default: wheels are checked against the `glibc` of the " +
              "package hub.",
    ),
    "image": attr.string(
        doc = "`registry/repository`; requires `digest`. Credentials come from docker's configuration and " +
              "credential helpers.",
    ),
    "layout": attr.label(doc = "`index.json` of an OCI layout, also for several platforms."),
    "mirrors": attr.string_list(doc = "Mirrors (`registry/repository`), tried before `image`."),
    "package_metadata_bzl": attr.label(doc = "As for `bento.pypi`, for each image."),
    "python": attr.string(
        default = "/usr/local/bin/python3",
        doc = "Absolute path to the Python interpreter in the image.",
    ),
    "python_version": attr.string(
        doc = "Version of the interpreter (`X.Y`). Default: the version in the image's variable `PYTHON_VERSION`, " +
              "which images of Docker's library have.",
    ),
}

base_tag = tag_class(
    doc = "Declares a base image, `@<name>`, for `base` of `bento_image`. Set exactly one of `image` (with " +
          "`digest`), `layout`, and `archive`.",
    attrs = _ATTRIBUTES | {"name": attr.string(doc = "Name of the repository.", mandatory = True)},
)

def _where(name):
    """Returns the beginning of an error message about a tag."""
    return "bento_files.base(name = \"{}\")".format(name)

def _tag_problem(tag):
    """Returns an error if an attribute of a `bento_files.base` tag is invalid, or None."""
    sources = [attribute for attribute in ("archive", "image", "layout") if getattr(tag, attribute)]
    if len(sources) != 1:
        return "expected one of archive, image, or layout, got {}. Set exactly one of these attributes.".format(
            " and ".join(sources) or "none",
        )
    if bool(tag.image) != bool(tag.digest):
        return ("image and digest must be set together. Set both: image = \"registry/repository\", digest = " +
                "\"sha256:...\".")
    if tag.digest and not (tag.digest.startswith("sha256:") and matches("sha256", tag.digest.removeprefix("sha256:"))):
        return ("invalid digest {}. Use sha256: and 64 hexadecimal digits. `crane " +
                "digest {}:TAG` prints them.").format(repr(tag.digest), tag.image)
    if tag.image and ("@" in tag.image or ":" in tag.image.rpartition("/")[2]):
        return ("image {} contains a tag or digest. Use registry/repository, and set " +
                "digest = \"sha256:...\".").format(repr(tag.image))
    for image in [tag.image] + tag.mirrors if tag.image else []:
        if not matches("image", image):
            return "invalid {} {}. Use registry/repository, without a tag or digest.".format(
                "image" if image == tag.image else "mirror",
                repr(image),
            )
    if tag.mirrors and not tag.image:
        return "mirrors is supported only with image. Set image, or remove mirrors."
    return None

def declare_base(tag):
    """Declares the repositories of a `bento_files.base` tag, without fetching them. Returns an error, or None."""
    problem = _tag_problem(tag)
    if problem:
        return problem
    _base_repo(name = tag.name, base = tag.name, **{name: getattr(tag, name) for name in _ATTRIBUTES})
    for platform in _PLATFORMS if tag.image else []:
        _layers_repo(
            name = _layers_repo_name(tag.name, _platform_name(platform)),
            base = tag.name,
            image = tag.image,
            images = "@{}//:images.json".format(tag.name),
            mirrors = tag.mirrors,
            platform = platform,
        )
    return None

_PLATFORMS = ["linux/amd64", "linux/arm64"]

# Flags that select the images of these platforms.
_PLATFORM_FLAGS = [word for platform in _PLATFORMS for word in ("--platform", platform)]

# Suffix of the name of the target with an image's package metadata.
_METADATA = ".metadata"

_NO_MATCH = ("the base image is for {}, but the build is for another platform. Set platform on the bento_image and " +
             "on the Bento, or omit --platforms.")

def _platform_name(platform):
    """Returns a platform (`os/architecture`) as part of a target name or repository name."""
    return platform.replace("/", "_")

def _targets(rctx, name, image, blob, origin):
    """Writes the files of an image, and returns the text of its targets for a BUILD file."""
    text = ""
    layers = []
    for number, layer in enumerate(image["layers"]):
        layers.append("{}.{}".format(name, number))
        rctx.file(layers[-1] + ".json", json.encode_indent(layer))
        text += target_text(
            "image_layer",
            {"blob": blob(layers[-1], layer["digest"])},
            description = layers[-1] + ".json",
            name = layers[-1],
            origin = origin,
        )
    rctx.file(name + ".json", json.encode_indent(image["config"] | {"digest": image["digest"], "origin": origin}))
    return text + target_text(
        "image_base",
        applicable_licenses = [":" + name + _METADATA] if rctx.attr.package_metadata_bzl else [],
        base = "@" + rctx.attr.base,
        config = name + ".json",
        name = name,
        glibc = rctx.attr.glibc,
        layers = [":" + layer for layer in layers],
        python = rctx.attr.python,
        python_release = _python_release(image),
        python_version = _python_version(rctx, image),
        visibility = PUBLIC,
    )

def _python_release(image):
    """Returns the image's variable `PYTHON_VERSION`, or an empty string if it isn't `X.Y.Z`."""
    version = image["config"].get("env", {}).get("PYTHON_VERSION", "")
    parts = version.split(".")
    return version if len(parts) == 3 and all([part.isdigit() for part in parts]) else ""

def _python_version(rctx, image):
    """Returns the Python version (`X.Y`) of an image: the attribute, or the image's variable.

    Empty if neither is set.
    """
    parts = image["config"].get("env", {}).get("PYTHON_VERSION", "").split(".")
    is_version = len(parts) > 1 and all([part.isdigit() for part in parts[:2]])
    return rctx.attr.python_version or (".".join(parts[:2]) if is_version else "")

def _purl(rctx, platform, digest, origin):
    """Returns the package URL of an image.

    `origin` is `registry/repository`, or empty for a local image, which is named for its base.
    """
    qualifiers = ["arch=" + platform.partition("/")[2]] + (
        ["repository_url=" + origin.replace("/", "%2F")] if origin else []
    )
    name = origin.rpartition("/")[2] or rctx.attr.base.lower()
    return "pkg:oci/{}@{}?{}".format(name, digest, "&".join(qualifiers))

def _write_base(rctx, layout, blob, origin = ""):
    """Verifies the images in a layout, and writes the BUILD file of a base image.

    The file has a target for each platform, and an alias that selects one.

    Args:
      rctx: repository context.
      layout: directory of the layout, which lacks the layers if `origin` is set.
      blob: function that returns an expression for the attribute `blob`. Arguments: name of the layer's target, digest
        of the layer.
      origin: repository of the image, in the form `registry/repository`; empty for a local image.

    Returns:
      An error of the images, or None.
    """
    layers = ["--layers"] if rctx.attr.layout else []
    problem = helper_problem(
        rctx,
        "base_images",
        ["--layout", layout, "--output", "images.json"] + layers + _PLATFORM_FLAGS,
    )
    if problem:
        return problem

    # A dict of platform (`os/architecture`) to a dict with `digest`, `config`, and `layers`.
    images = json.decode(rctx.read("images.json"))
    cases, purls, text = {}, {}, load_text("private:image_base.bzl", "fetched_blob", "image_base", "image_layer")
    for platform, image in images.items():
        if not _python_version(rctx, image):
            return ("the image for {} doesn't specify its Python in the variable " +
                    "PYTHON_VERSION. Set python_version.").format(platform)
        name = _platform_name(platform)
        purls[name + _METADATA] = _purl(rctx, platform, image["digest"], origin)
        text += _targets(rctx, name, image, blob, origin)
        cases[platform.replace("/", "_")] = ":" + name
    text += target_text(
        "alias",
        {"actual": select_text(cases, _NO_MATCH.format(" and ".join(images)))},
        name = rctx.attr.base,
        visibility = PUBLIC,
    )
    rctx.file("BUILD.bazel", metadata_text(rctx, purls) + text)
    return None

def _write_layout_base(rctx):
    """Declares the targets of an OCI layout.

    The repository contains links to the blobs, not copies. Returns an error, or None.
    """
    index = rctx.path(rctx.attr.layout)
    if index.basename != "index.json" or not index.exists:
        rctx.watch(index)
        return ("layout must be an existing index.json file, got {}. Specify the index.json file of an OCI layout, " +
                "such as a layout that `skopeo copy` created.").format(index)
    layout = index.dirname

    def blob(_layer, digest):
        path = "blobs/" + digest.replace(":", "/")

        # Images for several platforms can share a blob, so a link might already exist.
        if not rctx.path(path).exists:
            rctx.symlink(layout.get_child(path), path)
        return repr(path)

    problem = _write_base(rctx, layout, blob)
    if problem:
        rctx.watch_tree(layout)
    return problem

def _write_archive_base(rctx):
    """Declares the targets of an archive that `docker save` created. Returns an error, or None."""
    archive = rctx.path(rctx.attr.archive)
    rctx.watch(archive)
    if not archive.exists:
        return "archive {} doesn't exist. Correct the path, or create the archive with `docker save`.".format(archive)
    problem = helper_problem(rctx, "unpack_image", ["--archive", archive, "--layout", "layout"])
    return problem or _write_base(
        rctx,
        "layout",
        lambda _layer, digest: repr("layout/blobs/" + digest.replace(":", "/")),
    )

def _pull(rctx, digest, more):
    image = "{}@{}".format(rctx.attr.image, digest)
    arguments = ["--image", image, "--layout", "layout"]
    for mirror in rctx.attr.mirrors:
        arguments += ["--mirror", mirror]
    rctx.report_progress("pulling {}".format(image))
    run_helper(rctx, _where(rctx.attr.base), "pull", arguments + more, helper_packages(rctx))

def _layers_repo_name(base, platform):
    """Returns the name of the repository with the layers for a platform."""
    return "{}__layers_{}".format(base, platform)

def _write_registry_base(rctx):
    """Declares the targets of an image in a registry, and fetches only the manifest and the config.

    Returns an error, or None.
    """
    _pull(rctx, rctx.attr.digest, ["--shallow", "--lenient"] + _PLATFORM_FLAGS)

    def blob(layer, digest):
        label = "@{}//:layout/blobs/{}".format(
            _layers_repo_name(rctx.attr.base, layer.partition(".")[0]),
            digest.replace(":", "/"),
        )
        return build_text("fetched_blob({name}, {label})", label = label, name = layer + ".blob")

    return _write_base(rctx, "layout", blob, origin = rctx.attr.image)

def _base_repo_impl(rctx):
    write = _write_registry_base if rctx.attr.image else _write_layout_base if rctx.attr.layout else _write_archive_base
    problem = write(rctx)
    if problem:
        rctx.file("BUILD.bazel", failing_text([rctx.attr.base], "{}: {}".format(_where(rctx.attr.base), problem)))

# Declares a base image. For an image in a registry, fetches only the manifest and the config. A build fetches the
# layers only if an action on this machine needs the layers. `base` is the attribute `name` of `bento_files.base`.
_base_repo = repository_rule(
    implementation = _base_repo_impl,
    attrs = _ATTRIBUTES | {
        "base": attr.string(mandatory = True),
    },
)

def _layers_repo_impl(rctx):
    image = json.decode(rctx.read(rctx.path(rctx.attr.images)))[rctx.attr.platform]
    layers = {layer["digest"]: "layout/blobs/" + layer["digest"].replace(":", "/") for layer in image["layers"]}
    rctx.file("layout/oci-layout", json.encode({"imageLayoutVersion": "1.0.0"}))
    rctx.file("layout/index.json", json.encode({"manifests": [], "schemaVersion": 2}))
    cached = [probe_cache(rctx, path, digest.removeprefix("sha256:")) for digest, path in layers.items()]
    if not all(cached):
        _pull(rctx, image["digest"], [])

        # Adds the layers to the repository cache, so that `probe_cache` finds the layers in other checkouts.
        for (digest, path), was_cached in zip(layers.items(), cached):
            if not was_cached:
                rctx.download(
                    url = "file://{}".format(rctx.path(path)),
                    output = "cached",
                    sha256 = digest.removeprefix("sha256:"),
                )
    rctx.delete("cached")
    rctx.file("BUILD.bazel", "exports_files({})\n".format(repr(layers.values())))

# Fetches the layers of a base image for one platform (`os/architecture`) from a registry. `images` is the file
# `images.json` in the base image's repository, which lists the layers for each platform.
_layers_repo = repository_rule(
    implementation = _layers_repo_impl,
    attrs = {
        "base": attr.string(mandatory = True),
        "image": attr.string(mandatory = True),
        "images": attr.label(mandatory = True),
        "mirrors": attr.string_list(),
        "platform": attr.string(mandatory = True),
    },
)
