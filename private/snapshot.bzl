"""Defines read_sources, which describes the step that selects the sources of a Bento and analyzes its service."""

load(
    ":attributes.bzl",
    "add_strings",
    "describe_data",
    "describe_dependency",
    "describe_source",
    "describe_vendored",
    "directory_path",
    "label_string",
)
load(":helper.bzl", "DEFLATE", "arguments", "subcommand")
load(":providers.bzl", "BentoSourcesInfo")
load(":sources_aspect.bzl", "first_party_imports")

SECRETS = {
    "allowed_secrets": attr.string_list(
        doc = "Files in which suspected private keys and tokens are allowed ([detected " +
              "types](../docs/security.md#secrets-in-bentos)), or `*` for no search. Paths are relative to the " +
              "Bento (`src/fixtures/key.json`), or to `/app` in a `python_image` (`_main/fixtures/key.json`). " +
              "Alternatively, write the comment `# bento: allow-secret` on the line of the secret or above it.",
    ),
}

def add_secrets(ctx, args):
    """Adds the flags for the secret scan to the arguments, for a rule with the attributes `SECRETS`."""
    if ctx.attr.allowed_secrets != ["*"]:
        args.add("--scan-secrets")
        add_strings(args, "--allowed-secret", ctx.attr.allowed_secrets)

# Value of `build_ctx` that selects the package of the target.
OWN_PACKAGE = "."

def build_ctx(ctx):
    """Returns the short path of the directory whose files become the Bento's `src/`."""
    directory = ctx.label.package if ctx.attr.build_ctx == OWN_PACKAGE else ctx.attr.build_ctx.removeprefix("//")
    return directory_path(ctx.label, directory)

def bentofile_arguments(ctx):
    """Returns the arguments for the bentofile (flag, File, and short path), or an empty list without a bentofile."""
    file = ctx.file.bentofile
    return ["--bentofile", file, file.short_path] if file else []

def file_options(ctx):
    """Returns the options that can refer to files, as a dict with the structure of a bentofile."""
    return {"description": ctx.attr.description} if ctx.attr.description.startswith("file:") else {}

def add_selection(ctx, args, options):
    """Adds the flags that select files of the build context to the arguments.

    `options` is the result of `file_options`.
    """
    args.add("--target", label_string(ctx.label))
    args.add_all(bentofile_arguments(ctx))
    if options:
        args.add("--options", json.encode(options))
    args.add("--build-ctx", build_ctx(ctx))
    args.add_all(ctx.attr.include, before_each = "--include")
    args.add_all(ctx.attr.exclude, before_each = "--exclude")

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
    part = ctx.actions.declare_file(ctx.label.name + ".sources.part")
    manifest = ctx.actions.declare_file(ctx.label.name + ".sources.json")
    service = ctx.actions.declare_file(ctx.label.name + (".unread.json" if skip_analysis else ".service.json"))
    unused = ctx.actions.declare_file(ctx.label.name + ".unused")
    outputs = [manifest, service, part, unused]
    inputs = ctx.files.srcs + ctx.files.data + ctx.files.bentofile
    dependencies = depset(transitive = [dep[BentoSourcesInfo].files for dep in ctx.attr.deps])
    args = arguments(ctx)
    add_selection(ctx, args, file_options(ctx))
    add_secrets(ctx, args)
    if ctx.attr.service:
        args.add("--service", ctx.attr.service)
    if skip_analysis:
        args.add("--skip-service")
    elif report_packages:
        args.add("--output-packages")
    if ctx.attr.bento_args:
        args.add("--bento-args", json.encode(ctx.attr.bento_args))
    if packed_data:
        args.add("--packed-data", packed_data.manifest)
        inputs = inputs + [packed_data.manifest]
    args.add_all(first_party_imports(ctx.attr.deps), before_each = "--import-root")
    args.add_all(["--manifest", manifest, "--service-info", service, "--part", part, "--unused", unused])
    args.add_all(used, before_each = "--used")
    args.add_all(ctx.files.srcs, map_each = describe_source)
    args.add_all(ctx.files.data, map_each = describe_data)
    args.add_all(dependencies, map_each = describe_dependency)
    args.add_all(vendored, map_each = describe_vendored)
    step = struct(
        step_inputs = [],
        outputs = outputs,
        subcommand = subcommand(
            "snapshot",
            args,
            inputs = depset(inputs, transitive = [dependencies, vendored]),
            packages = ["blake3", "packaging", "pathspec", "tomli"] + DEFLATE +
                       (["pyyaml"] if ctx.file.bentofile else []),
            unused_inputs_list = unused,
        ),
    )
    return struct(manifest = manifest, part = part, service = service, step = step)
