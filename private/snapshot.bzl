"""Declares the actions that select the sources and data of a Bento, and analyze its service."""

load(
    ":attributes.bzl",
    "describe_data",
    "describe_source",
    "describe_vendored",
    "directory_path",
    "json_strings",
)
load(":helper.bzl", "DEFLATE", "named_only", "read_files", "run_leaf", "subcommand")
load(":layers.bzl", "BENTO", "COMPRESSIONS", "USER", "write_layer")
load(":sources_aspect.bzl", "first_party_imports", "library_flags")

SECRETS = {
    "allowed_secrets": attr.string_list(
        doc = "Files in which suspected private keys and tokens are allowed ([detected " +
              "types](../docs/security.md#secrets-in-bentos)), or `*` for no search. Paths are relative to the " +
              "Bento (`src/fixtures/key.json`), or to `/app` in a `python_image` (`_main/fixtures/key.json`). " +
              "Alternatively, write the comment `# bento: allow-secret` on the line of the secret or above it.",
    ),
}

def secret_flags(ctx):
    """Returns the flags for the secret scan, for a rule with the attributes `SECRETS`."""
    if ctx.attr.allowed_secrets == ["*"]:
        return {}
    return {"--allowed-secret": json_strings(ctx.attr.allowed_secrets), "--scan-secrets": True}

# Value of `build_ctx` that selects the package of the target.
OWN_PACKAGE = "."

def build_ctx(ctx):
    """Returns the short path of the directory whose files become the Bento's `src/`."""
    directory = ctx.label.package if ctx.attr.build_ctx == OWN_PACKAGE else ctx.attr.build_ctx.removeprefix("//")
    return directory_path(ctx.label, directory)

def bentofile_flags(ctx):
    """Returns the flags for the bentofile."""
    file = ctx.file.bentofile
    return {"--bentofile": (file, file.short_path) if file else None}

def file_options(ctx):
    """Returns the options that can refer to files, as a dict with the structure of a bentofile."""
    return {"description": ctx.attr.description} if ctx.attr.description.startswith("file:") else {}

def selection_flags(ctx):
    """Returns the flags that select files of the build context."""
    options = file_options(ctx)
    return bentofile_flags(ctx) | {
        "--build-ctx": build_ctx(ctx),
        "--exclude": ctx.attr.exclude,
        "--include": ctx.attr.include,
        "--options": json.encode(options) if options else None,
    }

def read_sources(ctx, *, packed_data, vendored, report_packages, skip_analysis, used):
    """Describes the step that selects sources, writes their archive part and digests, and analyzes the service.

    Args:
      ctx: context of bento_package.
      packed_data: result of `pack_data`.
      vendored: depset of wheels that the Bento includes.
      report_packages: whether to report the packages that the bentofile and the image require, so that they are locked.
      skip_analysis: whether to skip the analysis of the service, because another action imports the service.
      used: list of Files that later steps read. These Files are never unused inputs, even if patterns exclude them.

    Returns:
      A struct of the Files `manifest`, `part` (archive part), and `service` (service metadata), and of `step` (for
      `run_steps`).
    """
    step = subcommand(
        ctx,
        "snapshot",
        selection_flags(ctx) | secret_flags(ctx) | library_flags(ctx.attr.deps) | {
            "--bento-args": json.encode(ctx.attr.bento_args) if ctx.attr.bento_args else None,
            "--data": read_files(ctx.files.data, describe_data),
            "--import-root": first_party_imports(ctx.attr.deps),
            "--output-packages": report_packages and not skip_analysis,
            "--packed-data": packed_data.manifest if packed_data else None,
            "--service": ctx.attr.service or None,
            "--skip-service": skip_analysis,
            "--source": read_files(ctx.files.srcs, describe_source),
            "--used": named_only(used),
            "--vendored": read_files(vendored, describe_vendored),
        },
        outputs = {
            "--manifest": ".sources.json",
            "--service-info": ".unread.json" if skip_analysis else ".service.json",
            "--part": ".sources.part",
            "--unused": ".unused",
        },
        packages = ["blake3", "packaging", "pathspec", "tomli"] + DEFLATE + (["pyyaml"] if ctx.file.bentofile else []),
    )
    manifest, service, part, _ = step.outputs
    return struct(manifest = manifest, part = part, service = service, step = step)

_IGNORE_FILE = ".bentoignore"

def pack_data(ctx):
    """Declares the archive `part`, the `manifest`, and the `layers` (compression to BentoLayerInfo) of `data`.

    Separate actions, so that a changed source doesn't pack the data again. Returns None without data.
    """
    if not ctx.files.data:
        return None
    ignore_files = [file for file in ctx.files.srcs if file.basename == _IGNORE_FILE]

    # With options, the names of all sources can affect the selection of data.
    sources = ctx.files.srcs if file_options(ctx) or ctx.file.bentofile else ignore_files
    flags = selection_flags(ctx) | {
        "--data": read_files(ctx.files.data, describe_data),
        "--source": read_files(sources, describe_source, inputs = depset(ignore_files)),
    }
    packages = ["blake3", "packaging", "pathspec"] + (["pyyaml", "tomli"] if ctx.file.bentofile else [])
    part, manifest = run_leaf(
        ctx,
        "data_part",
        flags | secret_flags(ctx),
        mnemonic = "BentoData",
        outputs = {"--part": ".data.part", "--manifest": ".data.json"},
        packages = packages + DEFLATE,
        progress_message = "Packing data of %{label}",
    )
    layers = {
        compression: write_layer(
            ctx,
            compression = compression,
            name = ctx.label.name + ".data",
            progress_message = "Writing data layer of %{label}",
            subcommand = subcommand(
                ctx,
                "data_layer",
                flags | {"--directory": BENTO, "--user": USER},
                packages = packages,
            ),
        )
        for compression in COMPRESSIONS
    }
    return struct(layers = layers, manifest = manifest, part = part)
