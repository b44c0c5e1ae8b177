"""Defines bento_package, which builds a Bento from the sources, models, and packages of a service."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("//private:archive.bzl", "declare_metadata_archive", "write_archives")
load("//private:attributes.bzl", "CREATION_TIME", "STAMP", "STAMPED_VALUES", "label_string", "minor_version")
load("//private:bento_command.bzl", "SERVING_PYTHON", "serve_program")
load("//private:helper.bzl", "IMPORT_GROUP", "TOOLCHAIN_TYPE", "run_steps")
load("//private:installed_wheel_aspect.bzl", "check_one_hub", "has_installed", "installed_wheel_aspect")
load("//private:launcher.bzl", "ENVIRONMENT_VALUES", "RUN_RUNTIME", "run_environment", "runfiles_of_attributes")
load("//private:lock_subset.bzl", "RESOLVER", "hub_requirements", "lock_subset", "requested_packages", "resolve_aspect")
load("//private:metadata.bzl", "dependency_pins", "describe_metadata", "installed_python_version", "requirements_files")
load("//private:py_info.bzl", "PYTHON", "py_info_of")
load("//private:reports.bzl", "write_bento_report", "write_build_definition", "write_summary")
load(
    "//private:service_metadata.bzl",
    "IMPORT",
    "IMPORT_PERMISSION",
    "SERVICE_METADATA",
    "check_service_metadata",
    "import_service",
)
load("//private:snapshot.bzl", "OWN_PACKAGE", "SECRETS", "build_ctx", "pack_data", "read_sources")
load("//private:sources_aspect.bzl", "first_party_imports", "sources_aspect")
load("//private:target.bzl", "PLATFORM", "platform_name", "target_cfg")
load("//private:versions.bzl", "PYTHON_VERSION")
load("//private:wheels_flag.bzl", "common_cfg", "metadata_cfg")
load("//rules:providers.bzl", "BentoInfo", "BentoModelInfo")

def _check_programs(ctx):
    """Fails if `srcs` or `data` contains a Python program, whose executable needs its runfiles."""
    for target in ctx.attr.srcs + ctx.attr.data:
        if py_info_of(target) and target[DefaultInfo].files_to_run.executable:
            fail(("{}: {} is a Python program, which can't start without its runfiles. Add the program to data of a " +
                  "py_library in deps: a Bento then has a program at the same path.").format(
                label_string(ctx.label),
                label_string(target.label),
            ))

def _check_bento_env(ctx):
    """Fails if an item of `bento_env` has no "=".

    This also detects a dict, which Bazel converts to the list of its keys.
    """
    for number, env in enumerate(ctx.attr.bento_env):
        if "=" not in env.partition(";stage=")[0]:
            # The value might be a secret, so the message doesn't repeat it.
            fail(
                ("{}: bento_env[{}] has no \"=\". Set bento_env to a list (not a dict) of strings: \"NAME=value\", " +
                 "or \"NAME=\" if the deployment sets the value.").format(label_string(ctx.label), number),
            )

def _check(ctx):
    """Fails if neither `service` nor `bentofile` is set, or an attribute is invalid.

    Checks `bento_env`, and `requirements`, which can't contain packages and unusable files.
    """
    _check_programs(ctx)
    _check_bento_env(ctx)
    if not ctx.attr.service and not ctx.file.bentofile:
        fail(
            ("{}: neither service nor bentofile is set. Set service to " +
             "\"module:Service\", or set bentofile.").format(label_string(ctx.label)),
        )
    files, own = requirements_files(ctx), hub_requirements(ctx.attr.requirements)
    if has_installed(own):
        if len(files) != 1:
            fail(("{}: requirements contains {}, which is from a package hub of rules_python (pip.parse), and {} " +
                  "requirements files. Add the file in requirements_lock of pip.parse to requirements, because only " +
                  "this file has the hashes.").format(
                label_string(ctx.label),
                own[0].distribution,
                len(files),
            ))
    elif own and files:
        fail(
            ("{}: the requirements attribute contains both requirements files and packages from a package hub. Use " +
             "only files or only packages.").format(label_string(ctx.label)),
        )

def _locked(ctx):
    """Returns the packages in `requirements` and `deps` that the Bento locks.

    Empty if `requirements` contains no packages.
    """
    own, below = requested_packages(ctx)

    # The lists are short. A library declares only a few packages, without transitive dependencies.
    locked = own + [info for infos in below for info in infos.to_list()] if own else []
    check_one_hub(ctx, locked)
    return locked

def _python_version(ctx, locked):
    """Returns the Python version (`X.Y`).

    It is the version of the lock, `python_version`, the version of packages in `deps`, or the default. Fails if lock
    and attribute differ.
    """
    versions = [info.python_version for info in locked if info.python_version]
    if has_installed(locked) and not versions:
        fail(
            ("{}: rules_python doesn't report the Python version of {}. Set " +
             "python_version, for example to \"{}\".").format(
                label_string(ctx.label),
                locked[0].distribution,
                PYTHON_VERSION,
            ),
        )
    version = minor_version(
        versions[0],
    ) if versions else ctx.attr.python_version or installed_python_version(ctx) or PYTHON_VERSION
    if ctx.attr.python_version not in ("", version):
        where = "\"{}\" to more_python_versions of bento.pypi"
        if has_installed(locked):
            where = "pip.parse(python_version = \"{0}\") and python.toolchain(python_version = \"{0}\") to MODULE.bazel"
        fail("{}: python_version is {}, but the packages are locked for Python {}. Add {}.".format(
            label_string(ctx.label),
            ctx.attr.python_version,
            version,
            where.format(ctx.attr.python_version),
        ))
    return version

def _read(ctx, *, data, locked, models, vendored):
    """Declares the analysis or import of the service.

    Returns a struct of Files, of `openapi` (a dict of the output group of an import, or empty), and of `steps` to run
    first in the Bento's action.
    """
    imported = ctx.attr.service_metadata == IMPORT
    read = read_sources(
        ctx,
        packed_data = data,
        report_packages = bool(locked),
        skip_analysis = imported,
        used = requirements_files(ctx),
        vendored = vendored,
    )
    contents = [read.part] + ([data.part] if data else [])
    if not imported:
        return struct(
            contents = contents,
            manifest = read.manifest,
            openapi = {},
            service = read.service,
            steps = [read.step],
        )
    run_steps(ctx, mnemonic = "BentoSnapshot", progress_message = "Packing sources of %{label}", steps = [read.step])
    service, openapi = import_service(ctx, models = models, parts = contents, snapshot = read)
    groups = {"openapi": openapi}
    return struct(contents = contents, manifest = read.manifest, openapi = groups, service = service, steps = [])

def _lock(ctx, locked, service):
    """Returns the result of `lock_subset` for the Bento, or None without packages to lock."""
    return lock_subset(
        ctx,
        hashes = requirements_files(ctx)[0] if has_installed(locked) else None,
        specifiers = ctx.attr.requirement_specifiers,
        pins = dependency_pins(ctx),
        requirements = locked,
        service = service,
    ) if locked else None

def _bento_info(ctx, *, described, outputs, python_version):
    """Returns the BentoInfo of the target."""
    own, below = requested_packages(ctx)
    return BentoInfo(
        archive = outputs.archive,
        bento_yaml = described.bento_yaml,
        build_ctx = build_ctx(ctx),
        build_definition = outputs.build_definition,
        data_layers = outputs.data_layers,
        digest = described.digest,
        imports = described.imports,
        import_roots = depset(first_party_imports(ctx.attr.deps)),
        manifest = described.manifest,
        models = depset([model[BentoModelInfo] for model in ctx.attr.models]),
        requested_platform = ctx.attr.platform,
        parts = tuple(outputs.parts),
        platform = platform_name(ctx),
        python_version = python_version,
        requirements = depset(own, transitive = below),
        tag = described.tag,
    )

def _bento_package_impl(ctx):
    _check(ctx)
    models = [model[BentoModelInfo] for model in ctx.attr.models]
    locked = _locked(ctx)
    python_version = _python_version(ctx, locked)
    check_service_metadata(ctx, locked)
    metadata_part = ctx.actions.declare_file(ctx.label.name + ".metadata.part")
    data = pack_data(ctx)
    vendored = depset(transitive = [info.vendored for info in locked])
    snapshot = _read(ctx, data = data, locked = locked, models = models, vendored = vendored)
    contents = snapshot.contents
    archive = declare_metadata_archive(ctx, data = data, models = models, vendored = vendored)
    lock = _lock(ctx, locked, snapshot.service)
    described = describe_metadata(
        ctx,
        into = struct(archive = archive, contents = contents if archive else [], part = metadata_part),
        lock = lock,
        python_version = python_version,
        snapshot = snapshot,
    )
    run_steps(
        ctx,
        mnemonic = "BentoPackage",
        progress_message = "Building Bento %{label}",
        steps = snapshot.steps + ([lock.step] if lock else []) + [described.step],
    )
    archives = write_archives(
        ctx,
        archive = archive,
        bundle = ctx.attr.bundle_models,
        contents = contents,
        metadata = metadata_part,
        models = models,
    )
    build_definition = write_build_definition(
        ctx,
        bento = described,
        locked = lock.locked if lock else None,
        models = models,
        python_version = python_version,
    )
    bento = _bento_info(
        ctx,
        described = described,
        outputs = struct(
            archive = archives.whole,
            build_definition = build_definition,
            data_layers = data.layers if data else {},
            parts = [metadata_part] + contents,
        ),
        python_version = python_version,
    )
    launcher = serve_program(ctx, archives.bento, bento, [] if ctx.attr.bundle_models else models)
    figures = {"--archive": archives.bento, "--manifest": described.manifest}
    files = depset([archives.bento])
    return [
        bento,
        coverage_common.instrumented_files_info(
            ctx,
            dependency_attributes = ["deps"],
            extensions = ["py"],
            source_attributes = ["srcs"],
        ),
        DefaultInfo(
            files = files,
            executable = launcher.executable,
            runfiles = launcher.runfiles.merge(runfiles_of_attributes(ctx)),
        ),
        run_environment(ctx, "run_env"),
        OutputGroupInfo(
            archive = files,
            bento_yaml = depset([described.bento_yaml]),
            build_definition = depset([build_definition]),
            digest = depset([described.digest]),
            manifest = depset([described.manifest]),
            report = depset(write_bento_report(
                ctx,
                bento,
                archive = archives.bento,
                metadata = metadata_part,
                models = models,
                snapshot = snapshot,
            )),
            summary = depset(
                write_summary(ctx, tag = described.tag, digest = described.digest, files = figures, models = models),
            ),
            tag = depset([described.tag]),
            **{group: depset([file]) for group, file in (archives.other_formats | snapshot.openapi).items()}
        ),
    ]

_OF_METADATA = CREATION_TIME | IMPORT_PERMISSION | SERVICE_METADATA | STAMP
_SHARED_ATTRIBUTES = _OF_METADATA | PLATFORM | RESOLVER | RUN_RUNTIME | SECRETS | SERVING_PYTHON

bento_package = rule(
    implementation = _bento_package_impl,
    doc = """Builds a Bento. `bazel build` writes the archive `<name>.bento` for `bentoml import`, `bazel run` serves
the Bento, and `bazel run … -- tree` lists its contents.

```starlark
bento_package(
    name = "iris_bento",
    srcs = ["service.py"],
    models = [":iris_clf"],
    requirements = ["@pypi//bentoml", "@pypi//scikit_learn"],
    service = "service:IrisClassifier",
    deps = ["//examples/features"],
)
```

The build fails if it finds suspected secrets (`allowed_secrets`).

| output group | content |
|---|---|
| `archive` | only the archive, for `$(location)` of a `filegroup` with this `output_group` |
| `bento_yaml`, `digest`, `manifest`, `tag` | metadata of the Bento |
| `tar`, `tar_gz`, `zip`, `folder` | other formats for `bentoml import` |
| `build_definition` | inputs of the Bento, for SLSA provenance |
| `openapi` | with `service_metadata = "import"`: `apis/openapi.yaml` ([comparison](../docs/testing.md#api-changes)) |
| `report` | contents, in JSON and HTML |
| `summary` | sizes of the Bento, for dashboards |

With `bentofile`, the build reads options from the bentofile, and attributes override them. The service must match.
Bazel needs all inputs before actions run, so also set the files that options refer to (`srcs`, `data`), `requirements`,
`models`, and `deps`. The build fails if one is missing.""",
    attrs = {
        "bento_args": attr.string_dict(doc = "Build arguments (`args` in a bentofile)."),
        "bento_env": attr.string_list(
            doc = "Environment variables of the Bento (`envs` in a bentofile): `NAME=value`, or `NAME=` if the " +
                  "deployment sets the value. `;stage=build` or `;stage=runtime` limits a variable to a stage.",
        ),
        "bento_name": attr.string(doc = "Name of the Bento. Default: the service's name in snake case, as in BentoML."),
        "bentofile": attr.label(
            allow_single_file = [".toml", ".yaml", ".yml"],
            cfg = common_cfg,
            doc = "A `bentofile.yaml`, or a `pyproject.toml` with `[tool.bentoml.build]`, in any package. Its " +
                  "paths are relative to the build context.",
        ),
        "build_ctx": attr.string(
            default = OWN_PACKAGE,
            doc = "Directory that becomes the Bento's `src/`: `.` (this package), `//` (the repository root), or a " +
                  "path relative to the root.",
        ),
        "bundle_models": attr.bool(
            default = True,
            doc = "Whether archives include the models. If `False`, BentoML loads them from the model store of the " +
                  "machine. Images, tests, and `bazel run` are unaffected.",
        ),
        "data": attr.label_list(
            allow_files = True,
            cfg = common_cfg,
            doc = "Files of the build context that are large or rarely change, in a separate archive part and " +
                  "image layer.",
        ),
        "deps": attr.label_list(
            aspects = [installed_wheel_aspect, sources_aspect],
            cfg = metadata_cfg,
            doc = "Python libraries (PyInfo), whose transitive sources and data the Bento includes at their import " +
                  "paths. Packages are only added to its lock.",
            providers = PYTHON,
        ),
        "description": attr.string(
            doc = "Description: a string, or `file:PATH` in the build context. Default: README.md in the build " +
                  "context.",
        ),
        "exclude": attr.string_list(doc = "Patterns of files to exclude, as in `.gitignore`."),
        "include": attr.string_list(
            doc = "Patterns of files to include, as in `.gitignore`. Default: the patterns in the bentofile, " +
                  "otherwise all files.",
        ),
        "labels": attr.string_dict(
            doc = (
                "Labels of the Bento. Labels in the service decorator override them, as in BentoML. " +
                STAMPED_VALUES +
                " Only the archive has stamped labels."
            ),
        ),
        "models": attr.label_list(
            cfg = common_cfg,
            doc = "Models that the service uses.",
            providers = [BentoModelInfo],
        ),
        "python_version": attr.string(
            doc = ("Python version (`X.Y`) of the lock and the image, if the package hub has several " +
                   "(`more_python_versions` of `bento.pypi`, or several `pip.parse`). Also set it on tests of the " +
                   "Bento. Default: the version of the package hub, otherwise {}.").format(PYTHON_VERSION),
        ),
        "requirement_specifiers": attr.string_list(
            doc = "Requirements (PEP 508), such as `numpy<3` (`python.packages` in a bentofile). They only limit " +
                  "versions if `requirements` contains packages.",
        ),
        "requirements": attr.label_list(
            allow_files = True,
            aspects = [installed_wheel_aspect, resolve_aspect],
            cfg = metadata_cfg,
            doc = "Either packages (`@pypi//numpy`, `bento_wheel` targets), whose transitive dependencies are " +
                  "locked, or requirements files. For packages of `pip.parse`, also add the file in " +
                  "`requirements_lock` of `pip.parse`.",
        ),
        "run_env": attr.string_dict(doc = "Environment variables of `bazel run`. " + ENVIRONMENT_VALUES),
        "service": attr.string(
            doc = "`module:Service` or `path/of/file.py:Service`, relative to the build context. Default: the " +
                  "service in the bentofile.",
        ),
        "spec": attr.int(
            doc = "Format version of `bento.yaml`. Default: `2` if it supports the options, otherwise `1`.",
            values = [0, 1, 2],
        ),
        "srcs": attr.label_list(
            allow_files = True,
            cfg = common_cfg,
            doc = "Files of the build context, from which `include`, `exclude`, and `.bentoignore` files select.",
        ),
        "ignore_libraries": attr.string_list(
            doc = "File names that the platform check ignores. The check rejects machine code for other platforms.",
        ),
        "version": attr.string(doc = "Version of the Bento. Default: the digest of the content."),
        "_labels": attr.label(default = "//rules:labels", providers = [BuildSettingInfo]),
    } | _SHARED_ATTRIBUTES,
    cfg = target_cfg,
    executable = True,
    exec_groups = IMPORT_GROUP,
    provides = [BentoInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
