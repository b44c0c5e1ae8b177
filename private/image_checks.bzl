"""Declares the checks of an image as validation actions."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load(":attributes.bzl", "add_strings")
load(":helper.bzl", "subcommand", "target_arguments", "write_output")
load(":image_base.bzl", "scan_layers")
load(":layers.bzl", "ENVIRONMENT")

def scan_added_layers(ctx, layers):
    """Returns whether all layers of the attribute `layers` are local, and the result of `scan_layers`.

    The result is None if a layer isn't local.
    """
    local = [(layer.description, layer.blob) for layer in layers if layer.blob]
    return len(local) == len(layers), (scan_layers(ctx, local, with_machines = True) if local else None)

def _arguments(ctx, base):
    args = target_arguments(ctx)
    args.add_all(["--base", base.name, "--base-config", base.config])
    return args

def _file_in_program(file):
    """Returns the path of a file in the directory of a program, and a slash for a directory."""
    path = file.short_path
    return (
        path.removeprefix("../") if path.startswith("../") else "_main/" +
                                                                path
    ) + ("/" if file.is_directory else "")

def _basename(file):
    return file.basename

def _command(ctx, args, process):
    """Adds the flags for the command of a container, unless other variables determine what the command runs."""
    if not process.entrypoint or "PATH" in ctx.attr.env or "PYTHONPATH" in ctx.attr.env:
        return
    args.add_all(process.entrypoint + ctx.attr.cmd, before_each = "--command")
    args.add_all(["--environment", ENVIRONMENT])
    if process.working_dir:
        args.add_all(["--working-dir", process.working_dir])
    if process.files and not ctx.attr.layers:
        args.add_all(["--directory", process.directory])
        args.add_all(process.files, before_each = "--file", expand_directories = False, map_each = _file_in_program)

def check_libraries(ctx, base, packages, added, process, *, early):
    """Declares the check that packages are compatible with the base and with each other.

    It also checks that they have what they need to run.

    Args:
      ctx: context of a rule with the attributes of `IMAGE`.
      base: BentoBaseInfo of the image base.
      packages: struct of the lists `requirements` (BentoRequirementInfo), `parts` (BentoWheelPartInfo), `libraries`
        (Files that list the shared libraries of the wheels), and `gpus` (outputs of `check_system`).
      added: result of `scan_added_layers`.
      process: argument of `build_image`.
      early: whether to declare the early variant of the check, which doesn't wait for the layers of packages.

    Returns:
      A File that lists the missing libraries of optional parts of packages.
    """
    all_local, contents = added
    machines = [contents.machines] if contents else []
    below, debs = [], []
    if all_local and (base.deb_index or base.libraries):  # otherwise, some libraries below the wheels are unknown
        below = ([base.libraries] if base.libraries else []) + ([contents.libraries] if contents else [])
        debs = [base.deb_index] if base.deb_index else []
    args = _arguments(ctx, base)
    args.add_all(["--python-version", base.python_version])
    if base.glibc:
        args.add_all(["--glibc", base.glibc])
    else:
        args.add_all(
            [info.glibc for info in packages.requirements if info.glibc],
            before_each = "--allowed-glibc",
            uniquify = True,
        )
    if base.deb_index:
        args.add_all(["--hub", base.hub])
    args.add_all(below, before_each = "--base-libraries")
    args.add_all(debs, before_each = "--index")
    args.add_all(packages.libraries, before_each = "--libraries")
    args.add_all(machines, before_each = "--machines")
    args.add_all(packages.gpus, before_each = "--gpus")
    args.add_all(ctx.attr._gpu[BuildSettingInfo].value, before_each = "--gpu")
    args.add_all([part.wheel.file.basename for part in packages.parts], before_each = "--wheel")
    args.add_all(
        depset(transitive = [info.vendored for info in packages.requirements]),
        before_each = "--own",
        map_each = _basename,
    )
    args.add_all(ctx.attr.ignore_libraries, before_each = "--ignore-library")
    _command(ctx, args, process)
    return write_output(
        ctx,
        ctx.actions.declare_file(ctx.label.name + (".early" if early else "") + ".libraries.txt"),
        mnemonic = "BentoImageCheck",
        progress_message = "Checking libraries of image %{label}",
        subcommand = subcommand(
            "check_image",
            args,
            inputs = depset([base.config] + below + debs + packages.libraries + machines + packages.gpus),
        ),
    )

def check_system(ctx, base, bento, parts):
    """Declares the check that an image satisfies the system requirements of a Bento: packages, distribution, and CUDA.

    Returns its File, which lists the GPUs of the services.
    """
    debs = [base.deb_index] if base.deb_index else []
    system = [base.system] if base.system else []
    args = _arguments(ctx, base)
    args.add_all(["--bento-yaml", bento.bento_yaml, "--image", ctx.label.name])
    args.add_all(system, before_each = "--base-system")
    args.add_all(debs, before_each = "--index")
    if base.deb_index:
        args.add_all(["--hub", base.hub, "--lower", base.name])
    add_strings(args, "--provided", ctx.attr.ignore_system_requirements)
    for part in parts:
        args.add_all(["--wheel", part.wheel.file.basename, str(part.wheel.size)])
    return write_output(
        ctx,
        ctx.actions.declare_file(ctx.label.name + ".system_checked"),
        mnemonic = "BentoSystemCheck",
        progress_message = "Checking system requirements of image %{label}",
        subcommand = subcommand(
            "check_system",
            args,
            inputs = depset([base.config, bento.bento_yaml] + debs + system),
            packages = ["pyyaml"],
        ),
    )

def check_size(ctx, layers):
    """Declares the check that an image doesn't exceed `size_limit`.

    Returns a list of its File; empty without a limit.
    """
    if not ctx.attr.size_limit:
        return []
    descriptions = [layer.description for layer in layers]
    args = target_arguments(ctx)
    args.add_all(["--size-limit", str(ctx.attr.size_limit * 1000000)])
    args.add_all(descriptions, before_each = "--layer")
    return [write_output(
        ctx,
        ctx.actions.declare_file(ctx.label.name + ".size_checked"),
        mnemonic = "BentoSizeCheck",
        progress_message = "Checking size of image %{label}",
        subcommand = subcommand("check_size", args, inputs = depset(descriptions)),
    )]
