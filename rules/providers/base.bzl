"""What an image is built on."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "config": "File - JSON: architecture, os, variant, env (object); of an image history, digest and origin (`registry/repository`), too.",
    "deb_index": "File - JSON: the Debian packages in it, as in BentoDebLayerInfo.index; None if they are not known.",
    "glibc": "str - version of its C library, `X.Y`; empty if not known.",
    "layers": "tuple[BentoLayerInfo] - from the lowest up.",
    "libraries": "File - JSON: file names of the shared libraries in it; None where `deb_index` knows them, or nobody does.",
    "name": "str - what people know it by: a label.",
    "python": "str - absolute path of its interpreter.",
    "python_version": "str - `X.Y`.",
    "system": "File - JSON: distribution and packages of an image of others; None where `deb_index` knows them, or nobody does.",
}

BentoBaseInfo, _new_base_info = provider(
    doc = "A base image: layers in order, and what a Python service has to know of them.",
    fields = _FIELDS,
    init = checked("BentoBaseInfo", _FIELDS),
)
