"""Declares the actions that write complete images: an OCI layout, or an archive for `docker load`."""

load(":helper.bzl", "run_leaf")

# Output group to the flag value of the form, the suffix of the output's name, and the mnemonic.
_FORMS = {
    "docker_archive": ("docker-archive", ".tar", "BentoDockerArchive"),
    "oci_layout": ("oci-layout", ".oci", "BentoOciLayout"),
}

def write_form(ctx, image, layers, group):
    """Declares the complete image for an output group, `docker_archive` or `oci_layout`. Returns the File."""
    form, suffix, mnemonic = _FORMS[group]
    declare = ctx.actions.declare_directory if group == "oci_layout" else ctx.actions.declare_file
    flags = {}
    if group == "oci_layout" and getattr(image, "soci", None):
        ztocs = [layer.ztoc for layer in layers if layer.ztoc]
        flags = {"--soci": (image.index, image.soci), "--ztoc": [(ztoc.description, ztoc.file) for ztoc in ztocs]}
    return run_leaf(
        ctx,
        "image_files",
        flags | {
            "--config": image.config,
            "--elsewhere": [(layer.description, layer.origin) for layer in layers if not layer.blob],
            "--form": form,
            "--layer": [(layer.description, layer.blob) for layer in layers if layer.blob],
            "--manifest": image.manifest,
            "--reference": ctx.label.name + ":latest",
        },
        mnemonic = mnemonic,
        outputs = {"--output": declare(ctx.label.name + suffix)},
        progress_message = "Writing %{label} as " + form,
    )[0]
