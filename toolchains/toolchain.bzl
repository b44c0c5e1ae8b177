"""The toolchain of rules_bento."""

load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "add_folders", "arguments", "run_helper", "verb")  # buildifier: disable=bzl-visibility
load("//rules/private:launcher.bzl", "runfile_path")  # buildifier: disable=bzl-visibility
load("//rules/private:wheels.bzl", "on_host")  # buildifier: disable=bzl-visibility
load("//rules/providers:flag.bzl", "BentoFlagInfo")
load("//rules/providers:helper_packages.bzl", "BentoHelperPackagesInfo")
load("//rules/providers:python.bzl", "BentoPythonInfo")

def _bento_toolchain_impl(ctx):
    packages = ctx.attr.packages[BentoHelperPackagesInfo].packed
    python, complete = ctx.attr.python[BentoPythonInfo], ctx.attr.complete_python[BentoPythonInfo]
    return [platform_common.ToolchainInfo(
        # For code of others, which may import whatever there is.
        complete = struct(
            python = complete,
            tools = depset([ctx.file.helper], transitive = [complete.files]),
        ),
        helper = ctx.file.helper,
        packages = packages,
        persistent_workers = bool(ctx.attr._persistent_workers[BentoFlagInfo].value),
        python = python,

        # Depsets that are made once and that all actions share: inputs of every action, and the few files of each package that some import.
        tools = depset([ctx.file.helper], transitive = [python.files]),
        tools_of_packages = {
            name: depset([file for module in modules for file in module.files])
            for name, modules in packages.items()
        },
        uv = ctx.file.uv,
    )]

bento_interpreter = rule(
    implementation = lambda ctx: [platform_common.ToolchainInfo(python = ctx.attr.python[BentoPythonInfo])],
    doc = "What compiles the helper, which the toolchain needs: the interpreter of actions alone.",
    attrs = {
        "python": attr.label(cfg = "exec", doc = "The interpreter; what it compiles is for those of all platforms.", mandatory = True, providers = [BentoPythonInfo]),
    },
)

bento_toolchain = rule(
    implementation = _bento_toolchain_impl,
    doc = "What actions run: the helper, its interpreter, and uv. All of it is for the machine that runs them.",
    attrs = {
        "complete_python": attr.label(cfg = "exec", doc = "The interpreter with all of its standard library.", mandatory = True, providers = [BentoPythonInfo]),
        "helper": attr.label(allow_single_file = True, cfg = "exec", doc = "The helper.", mandatory = True),
        "packages": attr.label(cfg = "exec", doc = "The packages that the helper's verbs import.", mandatory = True, providers = [BentoHelperPackagesInfo]),
        "python": attr.label(cfg = "exec", doc = "The interpreter, with what the helper imports.", mandatory = True, providers = [BentoPythonInfo]),
        "uv": attr.label(allow_single_file = True, cfg = "exec", doc = "The resolver.", mandatory = True),
        "_persistent_workers": attr.label(default = "//rules:persistent_workers", providers = [BentoFlagInfo]),
    },
)

# What the `bento` command imports: packages of many small files, and of few large ones.
_MANY_FILES = ["jinja2", "packaging", "pathspec", "pyyaml"]
_FEW_FILES = ["blake3", "zstandard"]

def _command_packages(ctx, packages):
    """Returns the packages that the `bento` command imports, those of many files in one folder.

    Args:
      ctx: context of bento_runtime.
      packages: dict of names to lists of BentoWheelModulesInfo.

    Returns:
      A list of structs of files and imports, as BentoWheelModulesInfo has them.
    """
    modules = {module.distribution: module for name in _MANY_FILES for module in packages[name]}.values()
    folder = ctx.actions.declare_directory(ctx.label.name + ".site-packages")
    args = arguments(ctx)
    add_folders(args, "--packages-folder", modules)
    args.add_all(["--output", folder], expand_directories = False)
    run_helper(
        ctx,
        mnemonic = "BentoCommandPackages",
        progress_message = "Gathering packages of the bento command",
        verb = verb("gather_packages", args, inputs = depset(transitive = [module.files for module in modules])),
        outputs = [folder],
    )
    gathered = struct(files = depset([folder]), imports = (runfile_path(ctx, folder),))
    return [gathered] + [module for name in _FEW_FILES for module in packages[name]]

def _bento_runtime_impl(ctx):
    packages = ctx.attr.packages[BentoHelperPackagesInfo].packages
    return [platform_common.ToolchainInfo(
        # A folder is one link for each program that has it, where its files would be 230.
        command_packages = _command_packages(ctx, packages),
        helper = ctx.file.helper,
        packages = packages,
        python = ctx.attr.python[BentoPythonInfo],
        uv = ctx.file.uv,
    )]

bento_runtime = rule(
    implementation = _bento_runtime_impl,
    doc = "What `bazel run` and `bazel test` start: the same, for the machine that they start it on.",
    attrs = {
        "helper": attr.label(allow_single_file = True, cfg = "exec", doc = "The helper; its byte code is for all machines.", mandatory = True),
        "packages": attr.label(doc = "The packages that the helper's verbs import.", mandatory = True, providers = [BentoHelperPackagesInfo]),
        "python": attr.label(doc = "The interpreter.", mandatory = True, providers = [BentoPythonInfo]),
        "uv": attr.label(allow_single_file = True, doc = "The resolver.", mandatory = True),
    },
    toolchains = [TOOLCHAIN_TYPE],
)

_RUNTIME_TYPE = "//toolchains:runtime_type"

def _bento_current_runtime_impl(ctx):
    return [ctx.toolchains[_RUNTIME_TYPE]]

# The runtime that toolchain resolution finds, as a target, so that attributes can name it.
bento_current_runtime = rule(
    implementation = _bento_current_runtime_impl,
    doc = "The runtime for the platform of the build.",
    toolchains = [_RUNTIME_TYPE],
)

bento_host_runtime = rule(
    implementation = _bento_current_runtime_impl,
    cfg = on_host,
    doc = "The runtime for the machine that builds.",
    toolchains = [_RUNTIME_TYPE],
)
