"""Debian packages."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "architecture": "str - as Debian and Go name it: `amd64`, `arm64`.",
    "files": "depset[File] - the .deb files of its closure, itself among them.",
    "glibc": "str - version of the C library in its closure, `X.Y`; empty for none.",
    "hub": "str - name of the hub of `bento.apt` that it is of.",
    "python_version": "str - version of Python in its closure, `X.Y`; empty for none.",
}

BentoDebInfo, _new_deb_info = provider(
    doc = "A locked Debian package with all that it depends on, for one architecture.",
    fields = _FIELDS,
    init = checked("BentoDebInfo", _FIELDS),
)
