"""Base images that lie on the disk: an OCI layout, whose blobs are never copied, or what `docker save` writes."""

load(":base_files.bzl", "BASE_ATTRIBUTES", "blob_path", "images_by_platform", "write_base")
load(":helper.bzl", "run_helper")

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
