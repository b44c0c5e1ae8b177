"""Declares the checks of an image as validation actions."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("//rules:providers.bzl", "BentoModelInfo")
load(":attributes.bzl", "json_strings")
load(":helper.bzl", "named_only", "run_leaf")
load(":image_base.bzl", "scan_layers")
load(":layers.bzl", "ENVIRONMENT")

def scan_added_layers(ctx, layers):
    """Returns whether all layers of the attribute `layers` are local, and the result of `scan_layers`.

    The result is None if a layer isn't local.
    """
    local = [(layer.description, layer.blob) for layer in layers if layer.blob]
    return len(local) == len(layers), (scan_layers(ctx, local, with_machines = True) if local else None)

def _file_in_program(file):
    """Returns the flag for the path of a file in the directory of a program, with a slash for a directory."""
    path = file.short_path
    path = path.removeprefix("../") if path.startswith("../") else "_main/" + path
    return ["--file", path + ("/" if file.is_directory else "")]

def _own_wheel(file):
    return ["--own", file.basename]

def _command_flags(ctx, process):
    """Returns the flags for the command of a container, unless other variables determine what the command runs."""
    if not process.entrypoint or "PATH" in ctx.attr.env or "PYTHONPATH" in ctx.attr.env:
        return {}
    flags = {
        "--command": process.entrypoint + ctx.attr.cmd,
        "--environment": ENVIRONMENT,
        "--working-dir": process.working_dir or None,
    }
    if process.files and not ctx.attr.layers:
        flags |= {"--directory": process.directory, "--file": named_only(process.files, _file_in_program)}
    return flags

def _imports(ctx, process):
    """Returns the File of the modules that packages must provide; None if something else might provide them."""
    is_open = ctx.attr.entrypoint or "PYTHONPATH" in ctx.attr.env
    return None if is_open or [layer for layer in ctx.attr.layers if BentoModelInfo not in layer] else process.imports

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
    below, index = [], None
    if all_local and (base.deb_index or base.libraries):  # otherwise, some libraries below the wheels are unknown
        below = ([base.libraries] if base.libraries else []) + ([contents.libraries] if contents else [])
        index = base.deb_index
    return run_leaf(
        ctx,
        "check_image",
        {
            "--allowed-glibc": {
                info.glibc: True
                for info in packages.requirements
                if info.glibc and not base.glibc
            }.keys(),
            "--base": base.name,
            "--base-config": base.config,
            "--base-libraries": below,
            "--glibc": base.glibc or None,
            "--gpu": ctx.attr._gpu[BuildSettingInfo].value,
            "--gpus": packages.gpus,
            "--hub": base.hub if base.deb_index else None,
            "--ignore-library": ctx.attr.ignore_libraries,
            "--imports": _imports(ctx, process),
            "--index": index,
            "--libraries": packages.libraries,
            "--machines": contents.machines if contents else None,
            "--own": named_only(depset(transitive = [info.vendored for info in packages.requirements]), _own_wheel),
            "--python-version": base.python_version,
            "--wheel": [part.wheel.file.basename for part in packages.parts],
        } | _command_flags(ctx, process),
        mnemonic = "BentoImageCheck",
        outputs = {"--output": (".early" if early else "") + ".libraries.txt"},
        progress_message = "Checking libraries of image %{label}",
    )[0]

def check_system(ctx, base, bento, parts):
    """Declares the check that an image satisfies the system requirements of a Bento: packages, distribution, and CUDA.

    Returns a list of its File, which lists the GPUs of the services.
    """
    return run_leaf(
        ctx,
        "check_system",
        {
            "--base": base.name,
            "--base-config": base.config,
            "--base-system": base.system,
            "--bento-yaml": bento.bento_yaml,
            "--hub": base.hub if base.deb_index else None,
            "--image": ctx.label.name,
            "--index": base.deb_index,
            "--lower": base.name if base.deb_index else None,
            "--provided": json_strings(ctx.attr.ignore_system_requirements),
            "--wheel": [(part.wheel.file.basename, str(part.wheel.size)) for part in parts],
        },
        mnemonic = "BentoSystemCheck",
        outputs = {"--output": ".system_checked"},
        packages = ["pyyaml"],
        progress_message = "Checking system requirements of image %{label}",
    )

def check_size(ctx, layers):
    """Declares the check that an image doesn't exceed `size_limit`.

    Returns a list of its File; empty without a limit.
    """
    if not ctx.attr.size_limit:
        return []
    return run_leaf(
        ctx,
        "check_size",
        {"--layer": [layer.description for layer in layers], "--size-limit": str(ctx.attr.size_limit * 1000000)},
        mnemonic = "BentoSizeCheck",
        outputs = {"--output": ".size_checked"},
        progress_message = "Checking size of image %{label}",
    )
