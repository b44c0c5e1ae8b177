"""An OCI layout as rules for images make one: a folder that is the one output of a target."""

def _layout_folder_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.label.name + ".oci")
    args = ctx.actions.args()
    args.add_all([folder], expand_directories = False)
    args.add_all(ctx.files.srcs)
    ctx.actions.run_shell(
        arguments = [args],
        command = """set -eu; out=$1; shift
for file; do
    path=$out/${file##*/layout/}
    mkdir -p "${path%/*}" && cp "$file" "$path"
done""",
        inputs = ctx.files.srcs,
        outputs = [folder],
    )
    return [DefaultInfo(files = depset([folder]))]

layout_folder = rule(
    implementation = _layout_folder_impl,
    doc = "The files of a layout, in a folder that a rule makes.",
    attrs = {"srcs": attr.label_list(allow_files = True, doc = "The files, below a folder `layout`.", mandatory = True)},
)
