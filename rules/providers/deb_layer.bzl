"""A layer of Debian packages, and what lies below it."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "architecture": "str - as Debian and Go name it: `amd64`, `arm64`.",
    "glibc": "str - version of the C library, `X.Y`; empty for none.",
    "hub": "str - name of the hub of `bento.apt` that the lowest packages are of.",
    "index": "File - JSON: what a layer above has to know: packages, dpkg's status, paths.",
    "layers": "tuple[BentoLayerInfo] - from the lowest up.",
    "python_version": "str - version of Python, `X.Y`; empty for none.",
}

BentoDebLayerInfo, _new_deb_layer_info = provider(
    doc = "Debian packages that are installed in layers, from the lowest up.",
    fields = _FIELDS,
    init = checked("BentoDebLayerInfo", _FIELDS),
)
