"""Declares the actions that write complete images: an OCI layout, or an archive for `docker load`."""

load(":helper.bzl", "subcommand", "target_arguments", "write_output")

# Output group to the flag value of the form, the suffix of the output's name, and the mnemonic.
_FORMS = {
    "docker_archive": ("docker-archive", ".tar", "BentoDockerArchive"),
    "oci_layout": ("oci-layout", ".oci", "BentoOciLayout"),
}

def write_form(ctx, image, layers, group):
    """Declares the complete image for an output group, `docker_archive` or `oci_layout`. Returns the File."""
    form, suffix, mnemonic = _FORMS[group]
    declare = ctx.actions.declare_directory if group == "oci_layout" else ctx.actions.declare_file
    args = target_arguments(ctx)
    args.add_all(["--form", form, "--reference", ctx.label.name + ":latest"])
    args.add_all(["--config", image.config, "--manifest", image.manifest])
    for layer in layers:
        if layer.blob:
            args.add_all(["--layer", layer.description, layer.blob])
        else:
            args.add_all(["--elsewhere", layer.description, layer.origin])
    soci_files = []
    if group == "oci_layout" and getattr(image, "soci", None):
        ztocs = [layer.ztoc for layer in layers if layer.ztoc]
        args.add_all(["--soci", image.index, image.soci])
        for ztoc in ztocs:
            args.add_all(["--ztoc", ztoc.description, ztoc.file])
        soci_files = [image.index, image.soci] + [file for ztoc in ztocs for file in (ztoc.description, ztoc.file)]
    return write_output(
        ctx,
        declare(ctx.label.name + suffix),
        mnemonic = mnemonic,
        progress_message = "Writing %{label} as " + form,
        subcommand = subcommand(
            "image_files",
            args,
            inputs = depset(
                [image.config, image.manifest] + soci_files + [
                    file
                    for layer in layers
                    for file in (layer.description, layer.blob)
                    if file
                ],
            ),
        ),
    )
