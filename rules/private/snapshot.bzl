"""The step that reads the sources of a Bento."""

load("//rules:providers.bzl", "BentoEnvironmentInfo")
load(":attributes.bzl", "add_strings", "describe_data", "describe_dependency", "describe_source", "describe_vendored", "directory_path", "label_string")
load(":helper.bzl", "arguments", "verb")
load(":option_groups.bzl", "option_groups")
load(":providers.bzl", "BentoSourcesInfo")

SECRETS = {
    "allowed_secrets": attr.string_list(doc = "Files that may have what looks like secrets, as paths in the Bento (`src/fixtures/key.json`), where a comment `# bento: allow-secret` on the line, or the one before, is no way. One in which nothing is found is refused."),
    "check_secrets": attr.bool(default = True, doc = "Whether the build fails where sources, data or settings have what looks like private keys or tokens ([which](../docs/security.md#secrets-in-bentos))."),
}

def add_secrets(ctx, args):
    """Adds to the arguments what is looked for, and where it may be.

    Args:
      ctx: context of a rule with the attributes of `SECRETS`.
      args: an Args.
    """
    if ctx.attr.check_secrets:
        args.add("--look-for-secrets")
        add_strings(args, "--allowed-secret", ctx.attr.allowed_secrets)

# build_ctx of a target whose package is the context.
OWN_PACKAGE = "."

def build_ctx(ctx):
    """Returns the folder that becomes the Bento's `src/`.

    Args:
      ctx: context of bento_package.

    Returns:
      A path as short paths begin.
    """
    folder = ctx.label.package if ctx.attr.build_ctx == OWN_PACKAGE else ctx.attr.build_ctx.removeprefix("//")
    return directory_path(ctx.label, folder)

def bentofile_arguments(ctx):
    """Returns the arguments that name the bentofile to actions.

    Args:
      ctx: context of a rule with the attribute `bentofile`.

    Returns:
      A list of words: empty, or the flag, the File and its name in messages.
    """
    file = ctx.file.bentofile
    return ["--bentofile", file, file.short_path] if file else []

def requested_image(ctx):
    """Describes the image that the service of a target asks for.

    Args:
      ctx: context of bento_package.

    Returns:
      A struct of `files`, a depset of what its steps read, and of two lists that are empty without one: `arguments`, words
      of actions, and `inputs`, the Files in them.
    """
    if not ctx.attr.environment:
        return struct(arguments = [], files = depset(), inputs = [])
    info = ctx.attr.environment[BentoEnvironmentInfo]
    return struct(
        arguments = ["--image", info.image, label_string(ctx.attr.environment.label)],
        files = info.files,
        inputs = [info.image],
    )

def file_options(ctx):
    """Returns the options that may name files.

    Args:
      ctx: context of bento_package.

    Returns:
      A dict in the form of a bentofile.
    """
    options = option_groups(ctx)
    if ctx.attr.description.startswith("file:"):
        options["description"] = ctx.attr.description
    return options

def add_selection(ctx, args, options):
    """Adds to the arguments what selects among declared files.

    Args:
      ctx: context of bento_package.
      args: an Args.
      options: what `file_options` returned.
    """
    args.add("--target", label_string(ctx.label))
    args.add_all(bentofile_arguments(ctx))
    if options:
        args.add("--options", json.encode(options))
    args.add("--build-ctx", build_ctx(ctx))
    args.add_all(ctx.attr.include, before_each = "--include")
    args.add_all(ctx.attr.exclude, before_each = "--exclude")

def read_sources(ctx, *, packed_data, vendored, report_packages, skip_analysis, used):
    """Describes how sources are selected, placed and digested, and the service is read.

    Args:
      ctx: context of bento_package.
      packed_data: what `pack_data` returned.
      vendored: depset of wheels that the Bento carries.
      report_packages: whether `service` is to tell which packages bentofile and image ask for, which a lock has to give.
      skip_analysis: whether the service is imported by another action, which tells the packages, too.
      used: list of Files that later steps read: they are none of the inputs without influence, though patterns drop them.

    Returns:
      A struct of Files, manifest, part (of the archive) and service, and of `step`, for `run_steps`.
    """
    part = ctx.actions.declare_file(ctx.label.name + ".sources.part")
    manifest = ctx.actions.declare_file(ctx.label.name + ".sources.json")
    service = ctx.actions.declare_file(ctx.label.name + (".unread.json" if skip_analysis else ".service.json"))
    unused = ctx.actions.declare_file(ctx.label.name + ".unused")
    outputs = [manifest, service, part, unused]
    inputs = ctx.files.srcs + ctx.files.data + ctx.files.bentofile + ctx.files.arg_file
    dependencies = depset(transitive = [dep[BentoSourcesInfo].files for dep in ctx.attr.deps])
    args = arguments(ctx)
    add_selection(ctx, args, file_options(ctx))
    add_secrets(ctx, args)
    if ctx.attr.service:
        args.add("--service", ctx.attr.service)
    if skip_analysis:
        args.add("--unread")
    elif report_packages:
        args.add("--states-packages")
        args.add_all(requested_image(ctx).arguments)
        inputs = inputs + requested_image(ctx).inputs
    if ctx.attr.bento_args:
        args.add("--bento-args", json.encode(ctx.attr.bento_args))
    for file in ctx.files.arg_file:
        args.add_all(["--arg-file", file, file.short_path])
    if packed_data:
        args.add("--packed-data", packed_data.manifest)
        inputs = inputs + [packed_data.manifest]
    args.add_all(
        depset(transitive = [dep[BentoSourcesInfo].import_roots for dep in ctx.attr.deps]),
        before_each = "--import-root",
    )
    args.add("--manifest", manifest)
    args.add("--service-info", service)
    args.add("--part", part)
    args.add("--unused", unused)
    args.add_all(depset(used, transitive = [requested_image(ctx).files]), before_each = "--used")
    args.add_all(ctx.files.srcs, map_each = describe_source)
    args.add_all(ctx.files.data, map_each = describe_data)
    args.add_all(dependencies, map_each = describe_dependency)
    args.add_all(vendored, map_each = describe_vendored)
    step = struct(
        step_inputs = [],
        outputs = outputs,
        verb = verb(
            "snapshot",
            args,
            inputs = depset(inputs, transitive = [dependencies, vendored]),
            packages = ["blake3", "pathspec"] + (["pyyaml"] if ctx.file.bentofile or ctx.files.arg_file else []),
            unused_inputs_list = unused,
        ),
    )
    return struct(manifest = manifest, part = part, service = service, step = step)
