"""Defines python_image, which builds an OCI image from a Python program, its packages, and a base."""

load("//private:attributes.bzl", "label_string", "minor_version")
load("//private:helper.bzl", "TOOLCHAIN_TYPE", "subcommand")
load("//private:image.bzl", "IMAGE", "build_image", "image_packages")
load("//private:installed_wheel_aspect.bzl", "check_layouts", "installed_wheel_aspect")
load("//private:launcher.bzl", "runfile_path")
load("//private:layers.bzl", "ENVIRONMENT", "write_layer", "write_ztoc")
load("//private:program.bzl", "main_of")
load("//private:providers.bzl", "BentoInstalledWheelInfo", "BentoSourcesInfo")
load("//private:py_info.bzl", "PYTHON")
load("//private:snapshot.bzl", "SECRETS", "secret_flags")
load("//private:sources_aspect.bzl", "first_party_imports", "library_flags", "sources_aspect")
load("//private:target.bzl", "platform_name", "target_cfg")
load("//private:wheel_parts_aspect.bzl", "wheel_parts_aspect")
load("//private:wheels_flag.bzl", "bento_packages_cfg", "needs_packages")
load("//rules:providers.bzl", "BentoBaseInfo", "BentoImageInfo", "BentoLayerInfo")

# Directory of the program in the image, with the structure of its runfiles.
_APP = "/app"
_MAIN_REPOSITORY = "_main"

# Layers for large files, also in py/rules_bento/images/layers/members.py. Analysis doesn't know the sizes, so layers
# without such files have 0 bytes, and images omit them.
_LARGE_LAYERS = 12

_MainInfo = provider(
    doc = "What an executable rule starts.",
    fields = {"arguments": "list[str] - `args`.", "main": "struct | None - see `main_of`."},
)

def _main_aspect_impl(target, ctx):
    # As Bazel expands `args`: locations are runfiles paths.
    attributes = [getattr(ctx.rule.attr, name, []) for name in ("data", "deps", "srcs")]
    targets = {each.label: each for attribute in attributes if type(attribute) == "list" for each in attribute}.values()
    arguments = []
    for text in getattr(ctx.rule.attr, "args", []):
        text = ctx.expand_location(text.replace("$(location", "$(rootpath"), targets)
        arguments += ctx.tokenize(ctx.expand_make_variables("args", text, {}))
    return [_MainInfo(arguments = arguments, main = main_of(target, ctx))]

_main_aspect = aspect(implementation = _main_aspect_impl, doc = "Finds the main file of a program.")

def _entrypoint(ctx, program):
    """Returns the container's command as a list: `entrypoint`, or what `bazel run` starts.

    Fails if the program has no main file or module.
    """
    if ctx.attr.entrypoint:
        return ctx.attr.entrypoint
    main = program[_MainInfo].main
    if not main:
        fail(
            ("{}: {} has no main file. Set entrypoint to a command, such as [\"python\", \"-m\", \"uvicorn\", " +
             "\"server:app\"].").format(label_string(ctx.label), label_string(program.label)),
        )

    # In the image, without -I.
    start = ["-m", main.module] if main.module else ["{}/{}".format(_APP, runfile_path(ctx, main.file))]
    return [ENVIRONMENT + "/bin/python"] + list(main.options) + start + program[_MainInfo].arguments

def _environment(ctx, program, import_path):
    """Returns the variables of the program: as in `bazel run`, the import path, and `env`."""
    own = program[RunEnvironmentInfo].environment if RunEnvironmentInfo in program else {}
    paths = [import_path] + ([own["PYTHONPATH"]] if own.get("PYTHONPATH") else [])
    return own | {"PYTHONPATH": ":".join(paths), "RUNFILES_DIR": _APP} | ctx.attr.env

def _import_path(ctx, program, files):
    """Returns the value of PYTHONPATH in the order of rules_python.

    `imports` of libraries, followed by the repositories.
    """

    # The program's own files, without packages.
    repositories = [runfile_path(ctx, file).partition("/")[0] for file in files.to_list()]
    roots = first_party_imports([program]) + [_MAIN_REPOSITORY] + sorted(repositories)
    return ":".join({"{}/{}".format(_APP, root): True for root in roots})

def _check_packages(ctx, program, packages):
    """Fails if packages are locked for another Python version than the base's.

    Also fails for packages that have several different wheels, or no wheel.
    """
    base = ctx.attr.base[BentoBaseInfo]
    for info in packages.requirements:
        if info.is_installed and not info.python_version:
            fail(
                ("{}: {} is from a rules_python package hub, which doesn't specify the Python version. Set " +
                 "python_version on the python_image target, such as \"3.12\".").format(
                    label_string(ctx.label),
                    info.distribution,
                ),
            )
        if minor_version(info.python_version) not in ("", base.python_version):
            fail(("{}: base {} has Python {version}, but {} is locked for Python {}. Set python_version = " +
                  "\"{version}\"{}.").format(
                label_string(ctx.label),
                base.name,
                info.distribution,
                minor_version(info.python_version),
                " on the py_binary" if info.is_installed else ", and add the version to more_python_versions in " +
                                                              "bento.pypi",
                version = base.python_version,
            ))
    versions = {}
    for part in packages.parts:
        wheel = part.wheel
        other = versions.setdefault(wheel.distribution, wheel)
        if other.file != wheel.file:
            fail("{}: {} requires different wheels of {}: {} and {}. Use one package hub for all packages.".format(
                label_string(ctx.label),
                label_string(program.label),
                wheel.distribution,
                other.file.basename,
                wheel.file.basename,
            ))
    for pin in program[BentoSourcesInfo].pins.to_list():  # packages of other hubs, and imports of generated code
        name, _, version = pin.partition("==")
        if name not in versions or version not in ("", versions[name].version):
            fail(("{}: {} requires {}, but no dependency provides this package. " +
                  "Add the package from a bento.pypi or rules_python hub to deps.").format(
                label_string(ctx.label),
                label_string(program.label),
                pin,
            ))

def _program_layers(ctx, program, main):
    """Declares the layers of the program's own files.

    Returns a list of BentoLayerInfo, and a `subject` for `build_image`.
    """
    declare, compression, large = ctx.actions.declare_file, ctx.attr.compression, []
    for number in range(_LARGE_LAYERS):
        prefix = "{}.large-{}.layer.{}".format(ctx.label.name, number, compression)
        blob, description = declare(prefix), declare(prefix + ".json")
        ztoc = write_ztoc(ctx, prefix, compression, [description, blob]) if ctx.attr.soci else None
        large.append(BentoLayerInfo(blob = blob, description = description, ztoc = ztoc))
    step = subcommand(
        ctx,
        "program_layer",
        secret_flags(ctx) | library_flags([program], main = main, in_image = True) | {
            "--directory": _APP,
            "--ignore-library": ctx.attr.ignore_libraries,
            "--name": ctx.label.name,
            "--platform": platform_name(ctx),
        },
        outputs = {
            "--digest": ".program.digest",
            "--tag": ".program.tag",
            "--large": [(layer.blob, layer.description) for layer in large],
        },
        packages = ["blake3", "pathspec"],
    )
    layer = write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = ctx.label.name + ".program",
        progress_message = "Writing program layer of %{label}",
        subcommand = step,
    )
    digest, tag = step.outputs[:2]
    return large + [layer], struct(bento_yaml = None, digest = digest, tag = tag)

def _python_image_impl(ctx):
    program = ctx.split_attr.binary["metadata"]
    locked = ctx.split_attr.binary["packages"]
    check_layouts(ctx, [locked])

    # Only a few dozen packages, so the list is short.
    requirements = (
        locked[BentoSourcesInfo].requirements.to_list() +
        locked[BentoInstalledWheelInfo].requirements.to_list()
    )
    packages = image_packages(ctx.split_attr.binary, requirements)
    _check_packages(ctx, program, packages)
    main = program[_MainInfo].main.file if program[_MainInfo].main else None
    files = depset([main] if main else [], transitive = [program[BentoSourcesInfo].files])
    layers, subject = _program_layers(ctx, program, main)

    # Without the attribute or a module, the main file is one of the files.
    process_files = None if main and not ctx.attr.entrypoint else files
    return build_image(
        ctx,
        contents = struct(models = [], mounted = (), upper = layers),
        packages = packages,
        process = struct(
            directory = _APP,
            entrypoint = _entrypoint(ctx, program),
            env = _environment(ctx, program, _import_path(ctx, program, files)),
            files = process_files,
            imports = None,
            ignore_system_requirements = [],
            working_dir = ctx.attr.working_dir,
        ),
        subject = subject,
    )

python_image = rule(
    implementation = _python_image_impl,
    doc = """Builds an OCI image of a Python program that isn't a Bento: a FastAPI or MLflow server, or any other
`py_binary`.

```starlark
python_image(
    name = "server_image",
    base = "//examples/base:python",
    binary = ":server",
    ports = ["8000/tcp"],
)
```

The packages come from `bento.pypi`, or from `pip.parse` (set `python_version`). Images share the layers of packages.
The program's files are in the last layers, at their runfiles paths: `/app/_main/PATH`. They belong to root.
Files of 2 MiB or more have up to 12 layers of their own. `PYTHONPATH` contains the `imports` of libraries and the roots of the repositories. Output groups and checks: as for `bento_image`,
except for system requirements. Without Bazel, use `bento image`.""",
    attrs = {
        "binary": attr.label(
            aspects = [_main_aspect, sources_aspect, installed_wheel_aspect, wheel_parts_aspect],
            cfg = bento_packages_cfg,
            doc = "A `py_binary`, or another target that provides PyInfo. For a `py_library`, also set `entrypoint`.",
            mandatory = True,
            providers = PYTHON,
        ),
        "entrypoint": attr.string_list(
            doc = "Command of a container. Default: as `bazel run` of `binary`, with its `args`, `interpreter_args`, " +
                  "and `main_module`. `PATH` has console scripts of the packages: `[\"uvicorn\", \"server:app\"]`.",
        ),
        "env": attr.string_dict(
            doc = "Environment variables, in addition to variables of the base and `env` of the binary.",
        ),
        "labels": attr.string_dict(doc = "Labels of the config."),
        "ports": attr.string_list(doc = "Exposed ports. Default: none."),
        "python_version": attr.string(
            doc = "Python version (`X.Y`) of the packages, as for `bento_package`. Required for packages of " +
                  "`pip.parse`, which then have the same layers and bytecode as in images of Bentos.",
        ),
        "working_dir": attr.string(
            default = "{}/{}".format(_APP, _MAIN_REPOSITORY),
            doc = "Working directory. Default: the directory of this repository.",
        ),
    } | IMAGE | SECRETS | needs_packages("files"),
    cfg = target_cfg,
    provides = [BentoImageInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
