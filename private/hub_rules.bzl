"""Defines the rules of targets in the repositories of package hubs."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoDebInfo", "BentoRequirementInfo", "BentoWheelInfo", "BentoWheelModulesInfo")
load(":deferred.bzl", "DEFERRED_EDGE", "deferred_target", "end_of_deferred", _deferred = "deferred")
load(":helper.bzl", "INTERPRETER_FLAGS")
load(":launcher.bzl", "runfile_path")
load(":providers.bzl", "BentoCompilersInfo", "BentoRequirementFilesInfo")
load(":wheels_flag.bzl", "locked_wheel_cfg")

# Repositories load it from this file, as the rules.
deferred = _deferred

# Attributes of rules that provide a wheel.
WHEEL = {
    "compilers": attr.label(
        doc = "Compiler of bytecode for images. Default: for the Python version of the configuration, which is empty " +
              "in the version of the package hub.",
        providers = [BentoCompilersInfo],
    ),
    "distribution": attr.string(doc = "Normalized name of the package (PEP 503).", mandatory = True),
    "exclude": attr.string_list(
        doc = "Patterns of the wheel's files that images exclude. Each pattern must match a file.",
    ),
    "exclude_preset": attr.string_list(
        doc = "Patterns of the wheel's files that images exclude, from the presets of the package hub. A pattern " +
              "can match no file.",
    ),
    "python_version": attr.string(doc = "Target Python version (`X.Y`).", mandatory = True),
    "version": attr.string(doc = "Version of the package.", mandatory = True),
}

def provide_wheel(ctx, file, **fields):
    """Returns the providers of a rule with the attributes `WHEEL` and `size`.

    `fields` are additional fields of BentoWheelInfo.
    """
    wheel = BentoWheelInfo(
        distribution = ctx.attr.distribution,
        exclude = tuple(ctx.attr.exclude),
        exclude_preset = tuple(ctx.attr.exclude_preset),
        file = file,
        python_version = ctx.attr.python_version,
        size = ctx.attr.size,
        version = ctx.attr.version,
        **fields
    )
    return [wheel, DefaultInfo(files = depset([file]))]

locked_wheel = rule(
    implementation = lambda ctx: provide_wheel(
        ctx,
        ctx.file.file,
        allow_record_mismatch = ctx.attr.allow_record_mismatch,
        sha256 = ctx.attr.sha256,
    ),
    cfg = locked_wheel_cfg,
    doc = "Provides a locked wheel.",
    attrs = WHEEL | {
        "allow_record_mismatch": attr.bool(
            doc = "Whether the wheel can be installed in images even if its RECORD file is incorrect.",
        ),
        "file": attr.label(allow_single_file = [".whl"], doc = "Wheel file.", mandatory = True),
        "sha256": attr.string(doc = "SHA-256 digest of the file, in hexadecimal.", mandatory = True),
        "size": attr.int(doc = "Size of the file in bytes.", mandatory = True),
    },
    provides = [BentoWheelInfo],
)

locked_package = rule(
    implementation = lambda ctx: DefaultInfo(files = depset([ctx.file.description])),
    doc = "Provides the lock entry of a package: version, dependencies, and files.",
    attrs = {
        "description": attr.label(
            allow_single_file = [".json"],
            doc = "JSON file with the lock entry.",
            mandatory = True,
        ),
    },
)

def _wheel_modules_impl(ctx):
    files = depset(ctx.files.srcs)
    return [
        BentoWheelModulesInfo(
            distribution = ctx.attr.distribution,
            files = files,
            import_roots = tuple([ctx.label.workspace_root + "/" + root for root in ctx.attr.import_roots]),
            imports = tuple([
                ctx.label.workspace_root.removeprefix("external/") + "/" + root
                for root in ctx.attr.import_roots
            ]),
            version = ctx.attr.version,
            wheel = ctx.file.wheel,
        ),
        PyInfo(transitive_sources = depset([file for file in ctx.files.srcs if file.extension == "py"])),
        DefaultInfo(files = files),
    ]

wheel_modules = rule(
    implementation = _wheel_modules_impl,
    doc = "Provides the unpacked modules of a wheel.",
    attrs = {
        "distribution": attr.string(doc = "Normalized name of the package (PEP 503).", mandatory = True),
        "import_roots": attr.string_list(
            doc = "Directories in the repository to add to the Python import path.",
            mandatory = True,
        ),
        "srcs": attr.label_list(allow_files = True, doc = "Unpacked files of the wheel."),
        "version": attr.string(doc = "Version of the package.", mandatory = True),
        "wheel": attr.label(allow_single_file = [".whl"], doc = "Wheel file.", mandatory = True),
    },
    provides = [BentoWheelModulesInfo],
)

_INTERPRETER_TYPE = Label("//toolchains:interpreter_type")

def _tool_modules_impl(ctx):
    wheel = ctx.attr.wheel[BentoWheelInfo]
    python = ctx.toolchains[_INTERPRETER_TYPE].python
    directory = ctx.actions.declare_directory("site-packages")
    args = ctx.actions.args()
    args.add_all(INTERPRETER_FLAGS)
    args.add_all([ctx.file._program, wheel.file, directory], expand_directories = False)
    ctx.actions.run(
        mnemonic = "BentoToolModules",
        progress_message = "Unpacking wheel of {}".format(wheel.distribution),
        executable = python.interpreter or python.interpreter_path,
        arguments = [args],
        inputs = [wheel.file],
        outputs = [directory],
        tools = depset([ctx.file._program], transitive = [python.files]),
        env = {},
        # A cache would store each file of the wheel, and send the files to each machine that runs the tool.
        execution_requirements = {"block-network": "1", "no-cache": "1", "supports-path-mapping": "1"},
        toolchain = _INTERPRETER_TYPE,
    )
    files = depset([directory])
    return [
        BentoWheelModulesInfo(
            distribution = wheel.distribution,
            files = files,
            import_roots = (directory,),
            imports = (runfile_path(ctx, directory),),
            version = wheel.version,
            wheel = wheel.file,
        ),
        DefaultInfo(files = files),
    ]

tool_modules = rule(
    implementation = _tool_modules_impl,
    doc = "Provides the modules of a wheel to tools of actions, in one directory that an action unpacks.",
    attrs = {
        "wheel": attr.label(doc = "The wheel.", mandatory = True, providers = [BentoWheelInfo]),
        "_program": attr.label(allow_single_file = True, default = "//toolchains/programs:unpack_wheel.py"),
    },
    provides = [BentoWheelModulesInfo],
    toolchains = [_INTERPRETER_TYPE],
)

def _requirement_files_impl(ctx):
    # A wheel that an action unpacks is one directory, without files that the analysis knows.
    sources = [target[PyInfo].transitive_sources for target in ctx.attr.modules if PyInfo in target]
    return [BentoRequirementFilesInfo(
        modules = depset([target[BentoWheelModulesInfo] for target in ctx.attr.modules]),
        sources = depset(transitive = sources),
        wheels = depset([target[BentoWheelInfo] for target in ctx.attr.wheels]),
    )]

_requirement_files = rule(
    implementation = _requirement_files_impl,
    doc = "Provides the files of a locked package and its transitive dependencies.",
    attrs = {
        "modules": attr.label_list(doc = "Unpacked modules.", mandatory = True, providers = [BentoWheelModulesInfo]),
        "wheels": attr.label_list(doc = "Wheels.", mandatory = True, providers = [BentoWheelInfo]),
    },
    provides = [BentoRequirementFilesInfo],
)

_NO_FILES = BentoRequirementFilesInfo(modules = depset(), sources = depset(), wheels = depset())

def _requirement_impl(ctx):
    target = deferred_target(ctx)
    files = target[BentoRequirementFilesInfo] if BentoRequirementFilesInfo in target else _NO_FILES

    # One provider for each package of a closure, which are a few dozen.
    modules = files.modules.to_list()
    module_files = depset(transitive = [module.files for module in modules])
    extra = "[{}]".format(ctx.attr.extra) if ctx.attr.extra else ""
    return [
        BentoRequirementInfo(
            distribution = ctx.attr.distribution + extra,
            glibc = ctx.attr.glibc,
            modules = files.modules,
            packages = depset(ctx.files.packages),
            platform = ctx.attr.platform,
            python_version = ctx.attr.python_version,
            wheels = files.wheels,
        ),
        PyInfo(
            imports = depset([root for module in modules for root in module.imports]),
            transitive_sources = files.sources,
        ),
        DefaultInfo(files = module_files, runfiles = ctx.runfiles(transitive_files = module_files)),
    ]

_requirement = rule(
    implementation = _requirement_impl,
    doc = "Provides a locked package and its transitive dependencies. Targets of py_library, py_binary, and " +
          "py_test can use the package in `deps`.",
    attrs = DEFERRED_EDGE | {
        "distribution": attr.string(doc = "Normalized name of the package (PEP 503).", mandatory = True),
        "extra": attr.string(
            doc = "Name of an extra of the package. The target also includes the dependencies of the extra. " +
                  "Default: no extra.",
        ),
        "glibc": attr.string(doc = "Newest glibc version that wheels can require (`X.Y`).", mandatory = True),
        "packages": attr.label_list(
            doc = "Lock entries of the package and its transitive dependencies.",
            mandatory = True,
        ),
        "platform": attr.string(doc = "Target platform (`<os>_<machine>`).", mandatory = True),
        "python_version": attr.string(doc = "Target Python version (`X.Y[.Z]`).", mandatory = True),
    },
    provides = [BentoRequirementInfo, PyInfo],
)

def requirement(name, modules, wheels, **kwargs):
    """Declares a target for a package, and the other end of its deferred edge.

    Args:
      name: name of the target.
      modules: unpacked modules of the package and its transitive dependencies.
      wheels: wheels of the package and its transitive dependencies.
      **kwargs: attributes of the target.
    """
    files, end = "_{}_files".format(name), "_{}_end".format(name)
    _requirement_files(name = files, modules = modules, wheels = wheels)
    end_of_deferred(name = end, target = files)
    label = str(native.package_relative_label(end))
    _requirement(
        name = name,
        label = select({Label("//toolchains/platforms:only_declared"): "", "//conditions:default": label}),
        **kwargs
    )

failing_target = rule(
    implementation = lambda ctx: fail(ctx.attr.problem),
    doc = "Fails with an error of a repository.",
    attrs = {"problem": attr.string(doc = "The error message.", mandatory = True)},
)

def _other_python_impl(ctx):
    fail(("@{0} is for Python {1}, but a target that requires its packages is for Python {2}. Set python_version = " +
          "\"{3}\" on the target, or add \"{2}\" to more_python_versions of bento.pypi(name = \"{0}\").").format(
        ctx.attr.hub,
        ", ".join(ctx.attr.python_versions),
        ctx.attr._python_version[config_common.FeatureFlagInfo].value,
        ctx.attr.python_versions[0],
    ))

other_python = rule(
    implementation = _other_python_impl,
    doc = "Replaces the packages of a package hub in configurations for a Python version that the package hub lacks.",
    attrs = {
        "hub": attr.string(doc = "Name of the package hub.", mandatory = True),
        "python_versions": attr.string_list(doc = "Python versions of the package hub.", mandatory = True),
        "_python_version": attr.label(default = "//toolchains/platforms:python_version"),
    },
)

def _deb_package_impl(ctx):
    files = depset(ctx.files.files)
    return [
        BentoDebInfo(
            architecture = ctx.attr.architecture,
            files = files,
            glibc = ctx.attr.glibc,
            hub = ctx.attr.hub,
            python_version = ctx.attr.python_version,
        ),
        DefaultInfo(files = files),
    ] + ([ctx.attr.compilers[BentoCompilersInfo]] if ctx.attr.compilers else [])

deb_package = rule(
    implementation = _deb_package_impl,
    doc = "Provides a locked Debian package and its transitive dependencies.",
    attrs = {
        "architecture": attr.string(doc = "Debian architecture, such as `amd64`.", mandatory = True),
        "compilers": attr.label(
            doc = "Compiler of bytecode for the Python among the packages.",
            providers = [BentoCompilersInfo],
        ),
        "files": attr.label_list(
            allow_files = [".deb"],
            doc = "Debian packages (.deb files) of the package and its transitive dependencies.",
            mandatory = True,
        ),
        "glibc": attr.string(doc = "Version of the glibc package (`X.Y`); empty if the packages don't include glibc."),
        "hub": attr.string(doc = "Name of the package hub and of its repository.", mandatory = True),
        "python_version": attr.string(
            doc = "Version of the interpreter (`X.Y.Z`); empty if the packages don't include Python.",
        ),
    },
    provides = [BentoDebInfo],
)
