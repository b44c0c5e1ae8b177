"""Rules of the repositories that package hubs generate."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoDebInfo", "BentoRequirementInfo", "BentoWheelInfo", "BentoWheelModulesInfo")

def _locked_wheel_impl(ctx):
    return [
        BentoWheelInfo(
            distribution = ctx.attr.distribution,
            exclude = tuple(ctx.attr.exclude),
            exclude_preset = tuple(ctx.attr.exclude_preset),
            file = ctx.file.file,
            python_version = ctx.attr.python_version,
            allow_record_mismatch = ctx.attr.allow_record_mismatch,
            sha256 = ctx.attr.sha256,
            size = ctx.attr.size,
            version = ctx.attr.version,
        ),
        DefaultInfo(files = depset([ctx.file.file])),
    ]

locked_wheel = rule(
    implementation = _locked_wheel_impl,
    doc = "A wheel.",
    attrs = {
        "distribution": attr.string(doc = "Normalized package name.", mandatory = True),
        "exclude": attr.string_list(doc = "Patterns of files that images exclude."),
        "exclude_preset": attr.string_list(doc = "Exclude patterns from presets, which may match nothing."),
        "file": attr.label(allow_single_file = [".whl"], doc = "The wheel file.", mandatory = True),
        "python_version": attr.string(doc = "Target Python version, `X.Y`.", mandatory = True),
        "allow_record_mismatch": attr.bool(doc = "Whether to accept the wheel although its RECORD is wrong."),
        "sha256": attr.string(doc = "SHA-256 of the file.", mandatory = True),
        "size": attr.int(doc = "Size in bytes.", mandatory = True),
        "version": attr.string(doc = "Package version.", mandatory = True),
    },
    provides = [BentoWheelInfo],
)

locked_package = rule(
    implementation = lambda ctx: DefaultInfo(files = depset([ctx.file.description])),
    doc = "Version, dependencies, and files of a package, as JSON.",
    attrs = {"description": attr.label(allow_single_file = [".json"], doc = "The JSON file.", mandatory = True)},
)

def _wheel_modules_impl(ctx):
    files = depset(ctx.files.srcs)
    return [
        BentoWheelModulesInfo(
            distribution = ctx.attr.distribution,
            files = files,
            import_roots = tuple([ctx.label.workspace_root + "/" + root for root in ctx.attr.import_roots]),
            imports = tuple([ctx.label.workspace_root.removeprefix("external/") + "/" + root for root in ctx.attr.import_roots]),
            version = ctx.attr.version,
            wheel = ctx.file.wheel,
        ),
        DefaultInfo(files = files),
    ]

wheel_modules = rule(
    implementation = _wheel_modules_impl,
    doc = "The unpacked modules of a wheel.",
    attrs = {
        "distribution": attr.string(doc = "Normalized name of the package.", mandatory = True),
        "import_roots": attr.string_list(doc = "Directories of the repository to import from.", mandatory = True),
        "srcs": attr.label_list(allow_files = True, doc = "The files."),
        "version": attr.string(doc = "Version of the package.", mandatory = True),
        "wheel": attr.label(allow_single_file = [".whl"], doc = "The wheel file.", mandatory = True),
    },
    provides = [BentoWheelModulesInfo],
)

def _requirement_impl(ctx):
    modules = [target[BentoWheelModulesInfo] for target in ctx.attr.modules]
    files = depset(transitive = [module.files for module in modules])
    extra = "[{}]".format(ctx.attr.extra) if ctx.attr.extra else ""
    return [
        BentoRequirementInfo(
            distribution = ctx.attr.distribution + extra,
            glibc = ctx.attr.glibc,
            modules = depset(modules),
            packages = depset(ctx.files.packages),
            platform = ctx.attr.platform,
            python_version = ctx.attr.python_version,
            vendored = depset(),
            wheels = depset([target[BentoWheelInfo] for target in ctx.attr.wheels]),
        ),
        PyInfo(
            imports = depset([root for module in modules for root in module.imports]),
            transitive_sources = files,
        ),
        DefaultInfo(files = files, runfiles = ctx.runfiles(transitive_files = files)),
    ]

requirement = rule(
    implementation = _requirement_impl,
    doc = "A locked package with its transitive dependencies; usable in the `deps` of py_library, py_binary, and py_test.",
    attrs = {
        "distribution": attr.string(doc = "Normalized name of the package.", mandatory = True),
        "extra": attr.string(doc = "The requested extra."),
        "glibc": attr.string(doc = "Newest glibc that a wheel may require.", mandatory = True),
        "modules": attr.label_list(doc = "Modules of the package and its transitive dependencies.", mandatory = True, providers = [BentoWheelModulesInfo]),
        "packages": attr.label_list(doc = "Lock entries of the package and its transitive dependencies.", mandatory = True),
        "platform": attr.string(doc = "`<os>_<machine>`.", mandatory = True),
        "python_version": attr.string(doc = "`X.Y[.Z]`.", mandatory = True),
        "wheels": attr.label_list(doc = "Wheels of the package and its transitive dependencies.", mandatory = True, providers = [BentoWheelInfo]),
    },
    provides = [BentoRequirementInfo, PyInfo],
)

def _deb_package_impl(ctx):
    files = depset(ctx.files.files)
    return [
        BentoDebInfo(architecture = ctx.attr.architecture, files = files, glibc = ctx.attr.glibc, hub = ctx.attr.hub, python_version = ctx.attr.python_version),
        DefaultInfo(files = files),
    ]

deb_package = rule(
    implementation = _deb_package_impl,
    doc = "A Debian package with its transitive dependencies.",
    attrs = {
        "architecture": attr.string(doc = "Architecture, by Debian's names.", mandatory = True),
        "files": attr.label_list(allow_files = [".deb"], doc = "Files of the package and its transitive dependencies.", mandatory = True),
        "glibc": attr.string(doc = "Version of the C library in the transitive dependencies."),
        "hub": attr.string(doc = "Name of the package hub.", mandatory = True),
        "python_version": attr.string(doc = "Version of Python in the transitive dependencies."),
    },
    provides = [BentoDebInfo],
)
