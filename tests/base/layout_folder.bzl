"""Creates OCI layouts like rules for images: a directory that is the only output of a target or output group."""

_COPY = """set -eu; out=$1; shift
for file; do
    path=$out/${file##*/layout/}
    mkdir -p "${path%/*}" && cp "$file" "$path"
done"""

# Links to files outside of the directory, like in rules_oci and rules_img.
_LINK = """set -eu; out=$1; shift
for file; do
    path=$out/${file##*/layout/}
    mkdir -p "${path%/*}"
    case $path in
        */blobs/*) ln -s "$(realpath --no-symlinks --canonicalize-missing --relative-to="${path%/*}" "$file")" "$path" ;;
        *) cp "$file" "$path" ;;
    esac
done"""

def _layout_folder_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.label.name + ".oci")
    args = ctx.actions.args()
    args.add_all([folder], expand_directories = False)
    args.add_all(ctx.files.srcs)
    ctx.actions.run_shell(
        arguments = [args],
        command = _LINK if ctx.attr.linked else _COPY,
        inputs = ctx.files.srcs,
        outputs = [folder],
    )
    return [
        DefaultInfo(
            files = depset(ctx.files.beside or [folder]),
            runfiles = ctx.runfiles(ctx.files.srcs if ctx.attr.linked else []),
        ),
        OutputGroupInfo(**({"oci_layout": depset([folder])} if ctx.attr.beside else {})),
    ]

layout_folder = rule(
    implementation = _layout_folder_impl,
    doc = "The files of a layout, in a folder that a rule makes.",
    attrs = {
        "beside": attr.label_list(allow_files = True, doc = "Default outputs, where the folder is that of an output group."),
        "linked": attr.bool(doc = "Whether blobs are links to the files, which are runfiles then."),
        "srcs": attr.label_list(allow_files = True, doc = "The files, below a folder `layout`.", mandatory = True),
    },
)
