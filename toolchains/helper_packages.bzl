"""The packages that verbs of the helper import."""

load("//rules/private:helper.bzl", "INTERPRETER_FLAGS", "arguments")  # buildifier: disable=bzl-visibility
load("//rules/private:wheels.bzl", "always_modules")  # buildifier: disable=bzl-visibility
load("//rules/providers:helper_packages.bzl", "BentoHelperPackagesInfo")
load("//rules/providers:requirement.bzl", "BentoRequirementInfo")

_INTERPRETER_TYPE = "//toolchains:interpreter_type"

def _declare(ctx, args, module):
    """Declares the zips of a package, and a folder beside each where there is machine code."""

    # Some dozens of files, or one folder, of which nobody knows what is in it.
    compiled = [file for file in module.files.to_list() if file.is_directory or file.extension == "so"]
    zips, folders = [], []
    for number, root in enumerate(module.import_roots):
        name = "{}/{}{}".format(ctx.label.name, module.distribution, number or "")
        zips.append(ctx.actions.declare_file(name + ".zip"))
        folder = [ctx.actions.declare_directory(name)] if compiled else []
        folders += folder
        args.add_all(["--packed", root, zips[-1]] + (folder or [""]), expand_directories = False)
    return struct(files = zips + folders, import_roots = tuple(zips))

def _pack(ctx, modules):
    """Declares the action that packs modules; returns the structs of `packed` by distribution."""
    python = ctx.toolchains[_INTERPRETER_TYPE].python
    args = arguments(ctx)
    packed = {module.distribution: _declare(ctx, args, module) for module in modules}
    start = ctx.actions.args()
    start.add_all(INTERPRETER_FLAGS)
    start.add_all([ctx.file.helper, "pack_packages"])
    ctx.actions.run(
        mnemonic = "BentoHelperPackages",
        progress_message = "Packing packages of the helper of rules_bento",
        executable = python.interpreter or python.interpreter_path,
        arguments = [start, args],
        inputs = depset(transitive = [module.files for module in modules]),
        outputs = [file for one in packed.values() for file in one.files],
        tools = depset([ctx.file.helper], transitive = [python.files]),
        env = {},
        execution_requirements = {"block-network": "1", "supports-path-mapping": "1"},
        toolchain = _INTERPRETER_TYPE,
    )
    return packed

def _bento_helper_packages_impl(ctx):
    # Each is a few wheels.
    packages = {target.label.name: target[BentoRequirementInfo].modules.to_list() for target in ctx.attr.packages}
    packed = _pack(ctx, {module.distribution: module for modules in packages.values() for module in modules}.values())
    return BentoHelperPackagesInfo(
        packages = packages,
        packed = {name: [packed[module.distribution] for module in modules] for name, modules in packages.items()},
    )

bento_helper_packages = rule(
    implementation = _bento_helper_packages_impl,
    cfg = always_modules,
    doc = "The packages that verbs of the helper import, for one platform; a verb names which of them it needs.",
    attrs = {
        "helper": attr.label(allow_single_file = True, cfg = "exec", doc = "The helper, which packs them for actions.", mandatory = True),
        "packages": attr.label_list(doc = "The packages.", mandatory = True, providers = [BentoRequirementInfo]),
    },
    provides = [BentoHelperPackagesInfo],
    toolchains = [_INTERPRETER_TYPE],
)
