"""The tag `bento.base`: an image that others are built on."""

load(":base_layout.bzl", "archive_base_repo", "layout_base_repo")
load(":base_registry.bzl", "declare_registry_base")
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
