"""Declares the actions that join the parts of a Bento into archives, and that add labels in stamped builds."""

load(":attributes.bzl", "add_pairs", "is_stamped", "split_stamped", "status_files")
load(":helper.bzl", "DEFLATE", "arguments", "run_helper", "subcommand", "target_arguments", "write_output")

# Output group to the format of the archive and the file suffix. BentoML detects formats by the suffix.
_OTHERS = {"folder": ("folder", ".folder"), "tar": ("tar", ".tar"), "tar_gz": ("gz", ".tar.gz"), "zip": ("zip", ".zip")}

def _stamped(ctx, part):
    """Returns the metadata part `part`, or a copy with stamped labels.

    The copy exists if the build is stamped, and labels have keys of the workspace status.
    """
    stamped_labels = split_stamped(ctx.attr.labels)[1]
    if not stamped_labels or not is_stamped(ctx):
        return part
    status = status_files(ctx, stamped_labels.values())
    args = target_arguments(ctx)
    add_pairs(args, "--label", stamped_labels)
    args.add_all(status, before_each = "--status")
    args.add_all(["--part", part])
    return write_output(
        ctx,
        ctx.actions.declare_file(ctx.label.name + ".stamped.part"),
        mnemonic = "BentoStamp",
        progress_message = "Stamping labels of %{label}",
        subcommand = subcommand("stamp", args, inputs = depset([part] + status), packages = ["pyyaml"] + DEFLATE),
    )

def _bundle(parts, models):
    """Returns a struct of parts, models, and a depset of their Files, which the actions for all formats share."""
    files = [model.description for model in models] + [model.archive_part for model in models]
    return struct(inputs = depset(parts + files), models = models, parts = parts)

def _join(ctx, output, bundle, form = ""):
    """Declares the action that joins a result of `_bundle` into `output`.

    The output is an archive or directory in the format `form` (default: `.bento`).
    """
    args = arguments(ctx)
    args.add_all(["--output", output], expand_directories = False)
    if form:
        args.add("--form", form)
    args.add_all(bundle.parts, before_each = "--part")
    for model in bundle.models:
        args.add_all(["--model", model.description, model.archive_part])
    run_helper(
        ctx,
        mnemonic = "BentoExport" if form else "BentoArchive",
        progress_message = "Writing %{output}" if form else "Archiving %{label}",
        subcommand = subcommand("archive", args, inputs = bundle.inputs, packages = DEFLATE),
        outputs = [output],
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
    parts = [_stamped(ctx, metadata)] + contents
    name = ctx.label.name
    bento = archive or ctx.actions.declare_file(name + ".bento")
    whole = bento
    bundled = _bundle(parts, models)
    if models and not bundle:
        whole = ctx.actions.declare_file(name + ".whole.bento")
        _join(ctx, whole, bundled)
        bundled = _bundle(parts, [])
    if not archive:
        _join(ctx, bento, bundled)
    other_formats = {}
    for group, (form, suffix) in _OTHERS.items():
        declare = ctx.actions.declare_directory if form == "folder" else ctx.actions.declare_file
        other_formats[group] = declare(name + suffix)
        _join(ctx, other_formats[group], bundled, form)
    return struct(bento = bento, other_formats = other_formats, whole = whole)
