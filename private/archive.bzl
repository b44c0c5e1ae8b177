"""Declares the actions that join the parts of a Bento into archives, and that add labels in stamped builds."""

load(":attributes.bzl", "is_stamped", "json_pairs", "split_stamped", "status_files")
load(":helper.bzl", "DEFLATE", "run_leaf")

# Output group to the format of the archive and the file suffix. BentoML detects formats by the suffix.
_OTHERS = {"folder": ("folder", ".folder"), "tar": ("tar", ".tar"), "tar_gz": ("gz", ".tar.gz"), "zip": ("zip", ".zip")}

def _stamped(ctx, part):
    """Returns the metadata part `part`, or a copy with stamped labels.

    The copy exists if the build is stamped, and labels have keys of the workspace status.
    """
    stamped_labels = split_stamped(ctx.attr.labels)[1]
    if not stamped_labels or not is_stamped(ctx):
        return part
    return run_leaf(
        ctx,
        "stamp",
        {"--label": json_pairs(stamped_labels), "--part": part, "--status": status_files(ctx, stamped_labels.values())},
        mnemonic = "BentoStamp",
        outputs = {"--output": ".stamped.part"},
        packages = ["pyyaml"] + DEFLATE,
        progress_message = "Stamping labels of %{label}",
    )[0]

def _join(ctx, output, flags, form = None):
    """Declares the action that joins the parts and models in `flags` into `output`.

    The output is an archive or directory in the format `form` (default: `.bento`).
    """
    run_leaf(
        ctx,
        "archive",
        flags | {"--form": form, "--target": None},
        mnemonic = "BentoExport" if form else "BentoArchive",
        outputs = {"--output": output},
        packages = DEFLATE,
        progress_message = "Writing %{output}" if form else "Archiving %{label}",
    )

def declare_metadata_archive(ctx, *, data, models, vendored):
    """Declares the `.bento` file that the metadata action writes.

    Returns None if another action must write the file.
    """

    # A copy of data, models, wheels, or stamped labels would delay tests and images, which need only the metadata.
    if data or models or vendored or split_stamped(ctx.attr.labels)[1]:
        return None
    return ctx.actions.declare_file(ctx.label.name + ".bento")

def write_archives(ctx, *, archive, metadata, contents, models, bundle):
    """Declares all archives of a Bento.

    Returns a struct of `bento`, `whole` (with models), and `other_formats` (output group to File).
    """
    parts = {"--part": [_stamped(ctx, metadata)] + contents}
    name = ctx.label.name
    bento = archive or ctx.actions.declare_file(name + ".bento")
    whole = bento
    bundled = parts | {"--model": [(model.description, model.archive_part) for model in models]}
    if models and not bundle:
        whole = ctx.actions.declare_file(name + ".whole.bento")
        _join(ctx, whole, bundled)
        bundled = parts
    if not archive:
        _join(ctx, bento, bundled)
    other_formats = {}
    for group, (form, suffix) in _OTHERS.items():
        declare = ctx.actions.declare_directory if form == "folder" else ctx.actions.declare_file
        other_formats[group] = declare(name + suffix)
        _join(ctx, other_formats[group], bundled, form)
    return struct(bento = bento, other_formats = other_formats, whole = whole)
