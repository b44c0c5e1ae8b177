"""Defines installed_wheel_aspect, which provides packages of hubs of rules_python in the same form as packages of
`bento.pypi`."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("//rules:providers.bzl", "BentoRequirementInfo", "BentoWheelInfo", "BentoWheelModulesInfo")
load(":attributes.bzl", "label_string", "minor_version")
load(":built_wheel.bzl", "describe_wheel", "wheel_file_name")
load(":helper.bzl", "TOOLCHAIN_TYPE", "read_files", "run_leaf")
load(":launcher.bzl", "runfile_path")
load(":providers.bzl", "BentoInstalledWheelInfo")
load(":py_info.bzl", "PYTHON", "py_info_of")
load(":sources_aspect.bzl", "SOURCE_EDGES", "edges_in", "pin_of")
load(":versions.bzl", "NEWEST_RULES_PYTHON", "OLDEST_RULES_PYTHON")
load(":wheel_groups.bzl", "ALONE")

# The sizes of files are unknown during the analysis. A package with machine code is a separate layer, another package
# with 32 files.
_FILE_SIZE = ALONE // 32

_SITE_PACKAGES = "site-packages"

def _describe_installed(file):
    return ["--file", file.short_path, file.path]

def _installed_files(files, metadata):
    """Returns the flags for installed files of a package with the file `metadata`."""
    return {
        "--file": read_files(files, _describe_installed),
        "--root": metadata.short_path.partition(_SITE_PACKAGES + "/")[0],
    }

def _has_machine_code(file):
    return ".so" in file.basename or file.extension == "dylib"

def _python_version(ctx):
    """Returns the Python version (`X.Y`) of the packages.

    Returns an empty string if neither rules_python nor the Bento or image sets a version.
    """
    version = minor_version(ctx.attr._rules_python[BuildSettingInfo].value)

    # Old versions of rules_python report 3.8 if nothing sets a version.
    is_set = version and int(version.split(".")[1]) > 8
    return version if is_set else ctx.attr._python_version[BuildSettingInfo].value

def _pack(ctx, pin, files, metadata):
    """Declares the action that packs the installed files of a package into a wheel. Returns a BentoWheelInfo."""
    name, _, version = pin.partition("==")
    python_version = _python_version(ctx)
    has_machine_code = [file for file in files if _has_machine_code(file)]
    platform = ctx.attr._platform[BuildSettingInfo].value if has_machine_code else ""
    wheel_name = wheel_file_name(name, version, platform = platform, python_version = python_version)
    [wheel] = run_leaf(
        ctx,
        "pack_installed",
        _installed_files(files, metadata) | {"--python-version": python_version},
        mnemonic = "BentoWheel",
        outputs = {"--output": ctx.actions.declare_file(wheel_name)},
        packages = ["packaging"],
        progress_message = "Packing installed package {}".format(pin),
    )
    return BentoWheelInfo(
        distribution = name,
        file = wheel,
        python_version = python_version,
        size = ALONE if has_machine_code else len(files) * _FILE_SIZE,
        version = version,
    )

def _describe(ctx, pin, wheel, files, metadata):
    """Declares the action that writes the lock entry of a package, and returns its File.

    For images, the entry contains the hash of the packed wheel. Otherwise, the entry has no hash, because packing a
    wheel takes time, and only the lock of rules_python contains the hashes of the files in the index. The action
    compares the files with the wheel's own list, because patches change them. Patches don't change machine code.
    """
    if ctx.attr._wheels[BuildSettingInfo].value == "files":
        return describe_wheel(ctx, wheel)
    return run_leaf(
        ctx,
        "describe_installed",
        _installed_files([file for file in files if not _has_machine_code(file)], metadata) | {
            "--metadata": metadata,
            "--other": [file.short_path for file in files if _has_machine_code(file)],
        },
        mnemonic = "BentoWheelMetadata",
        outputs = {"--output": ".installed.json"},
        progress_message = "Reading metadata of {}".format(pin),
    )[0]

def _modules(ctx, wheel, files, metadata):
    """Returns the BentoWheelModulesInfo of an installed package."""
    root = [
        path.partition(_SITE_PACKAGES + "/")[0] + _SITE_PACKAGES
        for path in (metadata.path, runfile_path(ctx, metadata))
    ]
    return BentoWheelModulesInfo(
        distribution = wheel.distribution,
        files = depset(files),
        import_roots = (root[0],),
        imports = (root[1],),
        version = wheel.version,
        wheel = wheel.file,
    )

def _installed_wheel_aspect_impl(target, ctx):
    edges = [edge[BentoInstalledWheelInfo] for edge in edges_in(target, ctx, _EDGES) if BentoInstalledWheelInfo in edge]
    below = depset(transitive = [edge.requirements for edge in edges])
    unknown = depset(transitive = [edge.unknown for edge in edges])
    pin = pin_of(ctx)
    if not pin or "==" not in pin:
        return [BentoInstalledWheelInfo(requirement = None, requirements = below, unknown = unknown, wheel = None)]

    # Newer versions of rules_python have two targets for each package, both with tags. Only one has the metadata.
    files = getattr(ctx.rule.files, "srcs", []) + getattr(ctx.rule.files, "data", [])
    metadata = [file for file in files if file.short_path.endswith(".dist-info/METADATA")]
    wheel = _pack(ctx, pin, files, metadata[0]) if metadata else None

    # The list is short: the direct dependencies of a package.
    infos = below.to_list()
    distribution = pin.partition("==")[0]
    if not wheel and distribution not in [info.distribution for info in infos]:
        # Bentos with packages of bento.pypi need only the tags.
        unknown = depset([target.label] if py_info_of(target) else [], transitive = [unknown])
        return [BentoInstalledWheelInfo(requirement = None, requirements = below, unknown = unknown, wheel = None)]
    requirement = BentoRequirementInfo(
        distribution = distribution,
        is_installed = True,
        modules = depset(
            [_modules(ctx, wheel, files, metadata[0])] if wheel else [],
            transitive = [info.modules for info in infos],
        ),
        packages = depset(
            [_describe(ctx, pin, wheel, files, metadata[0])] if wheel else [],
            transitive = [info.packages for info in infos],
        ),
        platform = ctx.attr._platform[BuildSettingInfo].value,
        python_version = _python_version(ctx),
        wheels = depset([wheel] if wheel else [], transitive = [info.wheels for info in infos]),
    )
    return [
        BentoInstalledWheelInfo(
            requirement = requirement,
            requirements = depset([requirement]),
            unknown = unknown,
            wheel = wheel,
        ),
    ]

_EDGES = SOURCE_EDGES + ["requirements"]

# Provides the packages in package hubs of rules_python: their modules, and wheels that actions build from their files.
# All targets share the wheels.
installed_wheel_aspect = aspect(
    implementation = _installed_wheel_aspect_impl,
    attr_aspects = ["*"],
    attrs = {
        "_platform": attr.label(default = "//rules:target_platform", providers = [BuildSettingInfo]),
        "_python_version": attr.label(default = "//rules:python_version", providers = [BuildSettingInfo]),
        "_wheels": attr.label(default = "//rules:wheels", providers = [BuildSettingInfo]),
        "_rules_python": attr.label(
            default = "@rules_python//python/config_settings:python_version",
            providers = [BuildSettingInfo],
        ),
    },
    provides = [BentoInstalledWheelInfo],
    toolchains = [TOOLCHAIN_TYPE],
)

# Attribute values of targets that are packages of either kind of package hub.
PACKAGE = {"aspects": [installed_wheel_aspect], "providers": [[BentoRequirementInfo]] + PYTHON}

def requirement_of(target):
    """Returns the BentoRequirementInfo of a package of `bento.pypi` or of rules_python, or None for other targets."""
    if BentoRequirementInfo in target:
        return target[BentoRequirementInfo]
    return target[BentoInstalledWheelInfo].requirement if BentoInstalledWheelInfo in target else None

def check_layouts(ctx, targets):
    """Fails if targets have the tags of packages of rules_python, but not their files in a known layout.

    Also checks libraries below the targets.
    """

    # The list is empty, or short: the direct and transitive packages of a target.
    unknown = depset(
        transitive = [
            target[BentoInstalledWheelInfo].unknown
            for target in targets
            if BentoInstalledWheelInfo in target
        ],
    ).to_list()
    if unknown:
        fail(("{}: {} has the tags pypi_name and pypi_version of a package of rules_python, but neither srcs nor " +
              "data has a file in site-packages/*.dist-info/METADATA. Use rules_python {} to {}. " +
              "`bazel mod explain rules_python` prints your version.").format(
            label_string(ctx.label),
            label_string(unknown[0]),
            OLDEST_RULES_PYTHON,
            NEWEST_RULES_PYTHON,
        ))

def has_installed(requirements):
    """Returns whether a list of BentoRequirementInfo contains packages of rules_python."""
    return any([info.is_installed for info in requirements])

def package_requirements(ctx, targets):
    """Returns the BentoRequirementInfo of packages in an attribute with the arguments `PACKAGE`.

    Fails for other targets.
    """
    check_layouts(ctx, targets)
    for target in targets:
        if not requirement_of(target):
            fail(
                ("{}: requirements contains {}, which isn't a package. Use packages from a package hub, such as " +
                 "@pypi//pytest, and move libraries to deps.").format(
                    label_string(ctx.label),
                    label_string(target.label),
                ),
            )
    return [requirement_of(target) for target in targets]

def check_one_hub(ctx, requirements):
    """Fails if packages come from both kinds of package hubs, because their versions and files can differ."""
    installed = [info.distribution for info in requirements if info.is_installed]
    locked = [info.distribution for info in requirements if info.platform and not info.is_installed]
    if installed and locked:
        fail(("{}: {} is from a package hub of rules_python (pip.parse), but {} is from a package hub of bento.pypi. " +
              "Keep one of them. Packages of rules_python need no further hub and no further lock; with packages of " +
              "bento.pypi, Bentos fetch no wheels.").format(
            label_string(ctx.label),
            installed[0],
            locked[0],
        ))
