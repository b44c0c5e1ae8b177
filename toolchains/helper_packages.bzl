"""The packages that the helper's verbs import."""

load("//rules:providers.bzl", "BentoRequirementInfo")
load("//rules/private:helper.bzl", "COMPILER_FLAGS", "COMPILER_VARIABLES", "arguments")  # buildifier: disable=bzl-visibility
load("//rules/private:launcher.bzl", "runfile_path")  # buildifier: disable=bzl-visibility
load("//rules/private:providers.bzl", "BentoHelperPackagesInfo")  # buildifier: disable=bzl-visibility
load("//rules/private:transitions.bzl", "wheels_cfg")  # buildifier: disable=bzl-visibility

_INTERPRETER_TYPE = "//toolchains:interpreter_type"

def _declare(ctx, args, wheel):
    """Declares the zip archive of a wheel, and a directory for the machine code of a platform wheel."""
    name = "{}/{}".format(ctx.label.name, wheel.distribution)
    packed = ctx.actions.declare_file(name + ".zip")
    folder = [] if wheel.file.basename.endswith("-any.whl") else [ctx.actions.declare_directory(name)]
    args.add_all(["--packed", wheel.file, packed] + (folder or [""]), expand_directories = False)
    return struct(all_files = [packed] + folder, files = depset([packed] + folder), import_roots = (packed,), imports = (runfile_path(ctx, packed),))

def _pack(ctx, wheels):
    """Declares the action that packs wheels; returns by distribution what `packages` has."""
    python = ctx.toolchains[_INTERPRETER_TYPE].python
    args = arguments(ctx)
    packed = {wheel.distribution: _declare(ctx, args, wheel) for wheel in wheels}
    start = ctx.actions.args()
    start.add_all(COMPILER_FLAGS)
    start.add_all([ctx.file.helper, "pack_packages"])
    ctx.actions.run(
        mnemonic = "BentoHelperPackages",
        progress_message = "Packing packages of the helper of rules_bento",
        executable = python.interpreter or python.interpreter_path,
        arguments = [start, args],
        inputs = [wheel.file for wheel in wheels],
        outputs = [file for one in packed.values() for file in one.all_files],
        tools = depset([ctx.file.helper], transitive = [python.files]),
        env = COMPILER_VARIABLES,
        execution_requirements = {"block-network": "1", "supports-path-mapping": "1"},
        toolchain = _INTERPRETER_TYPE,
    )
    return packed

def _bento_helper_packages_impl(ctx):
    # Each is a few wheels.
    wheels = {target.label.name: target[BentoRequirementInfo].wheels.to_list() for target in ctx.attr.packages}
    packed = _pack(ctx, {wheel.distribution: wheel for closure in wheels.values() for wheel in closure}.values())
    return BentoHelperPackagesInfo(
        packages = {name: [packed[wheel.distribution] for wheel in closure] for name, closure in wheels.items()},
    )

bento_helper_packages = rule(
    implementation = _bento_helper_packages_impl,
    cfg = wheels_cfg,
    doc = "The packages that the helper's verbs import, for one platform.",
    attrs = {
        "helper": attr.label(allow_single_file = True, cfg = "exec", doc = "The helper, which packs them.", mandatory = True),
        "packages": attr.label_list(doc = "The packages.", mandatory = True, providers = [BentoRequirementInfo]),
    },
    provides = [BentoHelperPackagesInfo],
    toolchains = [_INTERPRETER_TYPE],
)
