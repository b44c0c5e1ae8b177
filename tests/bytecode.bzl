"""Bytecode of the modules that tests import. Without it, each process that a test starts would compile them again."""

load("//private:helper.bzl", "COMPILER_FLAGS", "COMPILER_VARIABLES")
load("//private:launcher.bzl", "TEST_RUNTIME", "runfile_path", "runtime")
load("//rules:providers.bzl", "BentoRequirementInfo")

CompiledModulesInfo = provider(
    doc = "Bytecode, as directories `__pycache__` for the runfiles of tests.",
    fields = {
        "own": "depset of root symlinks, for modules of this repository",
        "wheels": "dict of import roots of wheels and depsets like `own`",
    },
)

def _compile(ctx, name, files):
    """Declares the action that compiles modules. Returns a depset of root symlinks to its directories."""
    python = runtime(ctx).python
    modules = {}
    for file in files:
        directory = runfile_path(ctx, file).rpartition("/")[0]
        if file.extension == "py" and "/tests/" not in directory + "/":
            modules.setdefault(directory, []).append(file)
    directories = {
        path: ctx.actions.declare_directory("{}/{}/__pycache__".format(ctx.label.name, path))
        for path in modules
    }
    args = ctx.actions.args().use_param_file("%s", use_always = True).set_param_file_format("multiline")
    for path, directory in directories.items():
        args.add_all([directory], expand_directories = False, format_each = ">%s")
        args.add_all(modules[path])
    start = ctx.actions.args()
    start.add_all(COMPILER_FLAGS + ["-W", "ignore"])
    start.add(ctx.file._program)
    ctx.actions.run(
        mnemonic = "CompileModules",
        progress_message = "Compiling {} for tests".format(name),
        executable = python.interpreter or python.interpreter_path,
        arguments = [start, args],
        inputs = [file for sources in modules.values() for file in sources],
        outputs = directories.values(),
        tools = depset([ctx.file._program], transitive = [python.files]),
        env = COMPILER_VARIABLES,
        execution_requirements = {"block-network": "1"},
    )
    return ctx.runfiles(
        root_symlinks = {path + "/__pycache__": directory for path, directory in directories.items()},
    ).root_symlinks

def _compiled_modules_impl(ctx):
    modules = depset(transitive = [target[BentoRequirementInfo].modules for target in ctx.attr.requirements])
    return [CompiledModulesInfo(
        own = _compile(ctx, "py", ctx.files.srcs),
        wheels = {
            root: _compile(ctx, module.distribution, module.files.to_list())
            for module in modules.to_list()
            for root in module.imports[:1]
        },
    )]

compiled_modules = rule(
    implementation = _compiled_modules_impl,
    doc = "Compiles modules of this repository and of packages, each once for all tests.",
    attrs = {
        "requirements": attr.label_list(doc = "Packages.", mandatory = True, providers = [BentoRequirementInfo]),
        "srcs": attr.label_list(allow_files = True, doc = "Modules of this repository.", mandatory = True),
        "_program": attr.label(allow_single_file = True, default = "//tests:compile_modules.py"),
    } | TEST_RUNTIME,
)

def has_bytecode(ctx):
    """Returns whether a test has bytecode.

    A test with `programs` has none: programs of two configurations have different files at one path, which Bazel
    reports as errors for runfiles with symlinks.
    """
    return not ctx.attr.programs

def bytecode_runfiles(ctx, modules):
    """Returns the runfiles with the bytecode of this repository's modules, and of a list of BentoWheelModulesInfo."""
    compiled = ctx.attr._bytecode[CompiledModulesInfo]
    wheels = [compiled.wheels[root] for module in modules for root in module.imports if root in compiled.wheels]
    return ctx.runfiles(root_symlinks = depset(transitive = [compiled.own] + wheels if has_bytecode(ctx) else []))
