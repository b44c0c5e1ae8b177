"""Defines bento_package, which makes a Bento of a service, its sources, models and environment."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoEnvironmentInfo", "BentoInfo", "BentoModelInfo")
load("//rules/private:archive.bzl", "STAMPED_LABELS", "declare_metadata_archive", "write_archives")
load("//rules/private:attributes.bzl", "CREATION_TIME")
load("//rules/private:bento_command.bzl", "serve_program")
load("//rules/private:build_definition.bzl", "bento_inputs", "write_build_definition")
load("//rules/private:data_parts.bzl", "pack_data")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "run_steps")
load("//rules/private:interpreter.bzl", "minor_version")
load("//rules/private:launcher.bzl", "RUN_ENVIRONMENT", "RUN_RUNTIME", "run_environment", "runfiles_of_attributes")
load("//rules/private:lock_subset.bzl", "RESOLVER", "lock_subset", "hub_requirements")
load("//rules/private:metadata.bzl", "describe_metadata", "dependency_pins", "requirements_files")
load("//rules/private:option_groups.bzl", "OPTION_GROUPS")
load("//rules/private:providers.bzl", "BentoFlagInfo", "BentoServiceMetadataInfo", "BentoSourcesInfo")
load("//rules/private:reports.bzl", "write_bento_report", "write_summary")
load("//rules/private:resolve_aspect.bzl", "resolve_aspect")
load("//rules/private:service_metadata.bzl", "IMPORT", "SERVICE_METADATA", "check_service_metadata", "import_service", "service_metadata_info")
load("//rules/private:snapshot.bzl", "OWN_PACKAGE", "SECRETS", "build_ctx", "read_sources")
load("//rules/private:sources_aspect.bzl", "sources_aspect")
load("//rules/private:target.bzl", "PLATFORM", "bento_cfg", "platform_name")
load("//rules/private:transitions.bzl", "reset_cfg", "metadata_only_cfg")
load("//toolchains:versions.bzl", "PYTHON_VERSION")

def _check_envs(ctx):
    """Refuses envs as the keys of a dict, which Bazel takes for a list: its values would be lost."""
    for number, env in enumerate(ctx.attr.envs):
        if "=" not in env.partition(";stage=")[0]:
            # Somebody may have written a secret where the name belongs, so the message does not repeat the value.
            fail("{}: envs[{}] has no \"=\": write \"NAME=value\", or \"NAME=\" where the value is known only when it is deployed; of a dict only the keys would arrive here".format(ctx.label, number))

def _check(ctx):
    """Refuses attributes that contradict each other, before any action runs."""
    _check_envs(ctx)
    if not ctx.attr.service and not ctx.file.bentofile:
        fail("{}: set service, as \"module:Service\", or bentofile, which names it".format(ctx.label))
    if requirements_files(ctx) and hub_requirements(ctx.attr.requirements):
        fail("{}: requirements has packages of a hub and files; take all from the hub, or all from files".format(ctx.label))

def _locked(ctx):
    """Returns the packages of a hub that the Bento has, if the target itself requires some; else none."""
    own = hub_requirements(ctx.attr.requirements)

    # Libraries state a handful of packages each; what these depend on is not in this depset.
    return own + [info for dep in ctx.attr.deps for info in dep[BentoSourcesInfo].requirements.to_list()] if own else []

def _python_version(ctx, locked):
    """Returns the version of Python that the packages are locked for."""
    versions = [info.python_version for info in locked if info.python_version]
    version = minor_version(versions[0]) if versions else ctx.attr.python_version or PYTHON_VERSION
    if ctx.attr.python_version not in ("", version):
        fail("{0}: python_version is {1}, but the packages are locked for {2}: set more_python_versions = [\"{1}\"] of the bento.pypi that has them".format(
            ctx.label,
            ctx.attr.python_version,
            version,
        ))
    return version

def _read(ctx, *, data, locked, models, vendored):
    """Describes how the service is read, or imported; returns Files, and the steps that the Bento's own action begins with."""
    imported = ctx.attr.service_metadata == IMPORT
    read = read_sources(
        ctx,
        packed_data = data,
        report_packages = bool(locked),
        skip_analysis = imported,
        used = ctx.files.description_file + requirements_files(ctx),
        vendored = vendored,
    )
    contents = [read.part] + ([data.part] if data else [])
    if not imported:
        return struct(contents = contents, manifest = read.manifest, service = read.service, steps = [read.step])
    run_steps(ctx, mnemonic = "BentoSnapshot", progress_message = "Reading sources of %{label}", steps = [read.step])
    metadata = service_metadata_info(ctx, package_action = None, models = models, parts = contents, snapshot = read)
    service = import_service(ctx, metadata, locked, report_packages = True)
    return struct(contents = contents, manifest = read.manifest, service = service, steps = [])

def _lock(ctx, locked, stated):
    """Describes the slice of the lock, if the Bento has one."""
    return lock_subset(
        ctx,
        all_files = ctx.attr.lock_all_platforms,
        packages = ctx.attr.packages,
        pins = dependency_pins(ctx),
        requirements = locked,
        stated = stated,
    ) if locked else None

def _build_definition(ctx, *, described, lock, models, python_version):
    """Describes what the Bento is made of, for attestations."""
    return write_build_definition(
        ctx,
        bento = bento_inputs(described, models = models, platform = platform_name(ctx), python_version = python_version),
        locked = lock.locked if lock else None,
    )

def _launcher(ctx, archive, models):
    """Writes the program behind `bazel run`."""
    return serve_program(
        ctx,
        archive,
        build_ctx = build_ctx(ctx),
        import_roots = depset(transitive = [dep[BentoSourcesInfo].import_roots for dep in ctx.attr.deps]),
        models = [] if ctx.attr.bundle_models else models,
    )

def _bento_info(ctx, *, described, made, python_version):
    """Returns the BentoInfo of the target."""
    return BentoInfo(
        archive = made.archive,
        bento_yaml = described.bento_yaml,
        build_ctx = build_ctx(ctx),
        build_definition = made.build_definition,
        data_layers = made.data_layers,
        digest = described.digest,
        import_roots = depset(transitive = [dep[BentoSourcesInfo].import_roots for dep in ctx.attr.deps]),
        manifest = described.manifest,
        models = depset([model[BentoModelInfo] for model in ctx.attr.models]),
        requested_platform = ctx.attr.platform,
        parts = tuple(made.parts),
        platform = platform_name(ctx),
        python_version = python_version,
        requirements = depset(
            hub_requirements(ctx.attr.requirements),
            transitive = [dep[BentoSourcesInfo].requirements for dep in ctx.attr.deps],
        ),
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
        progress_message = "Making the Bento of %{label}",
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
    launcher = _launcher(ctx, archives.bento, models)
    build_definition = _build_definition(ctx, described = described, lock = lock, models = models, python_version = python_version)
    figures = {"--archive": archives.bento, "--manifest": described.manifest}
    return [
        _bento_info(
            ctx,
            described = described,
            made = struct(
                archive = archives.whole,
                build_definition = build_definition,
                data_layers = data.layers if data else {},
                parts = [metadata_part] + contents,
            ),
            python_version = python_version,
        ),
        service_metadata_info(ctx, package_action = described.package_action, models = models, parts = contents, snapshot = snapshot),
        coverage_common.instrumented_files_info(ctx, dependency_attributes = ["deps"], extensions = ["py"], source_attributes = ["srcs"]),
        DefaultInfo(files = depset([archives.bento]), executable = launcher.executable, runfiles = launcher.runfiles.merge(runfiles_of_attributes(ctx))),
        run_environment(ctx),
        OutputGroupInfo(
            bento_yaml = depset([described.bento_yaml]),
            build_definition = depset([build_definition]),
            digest = depset([described.digest]),
            manifest = depset([described.manifest]),
            report = depset(write_bento_report(
                ctx,
                archive = archives.bento,
                described = described,
                metadata = metadata_part,
                models = models,
                snapshot = snapshot,
            )),
            summary = depset([write_summary(ctx, tag = described.tag, digest = described.digest, files = figures, models = models)]),
            tag = depset([described.tag]),
            **{group: depset([file]) for group, file in archives.others.items()}
        ),
    ]

bento_package = rule(
    implementation = _bento_package_impl,
    doc = """A Bento: `bazel build` writes `<name>.bento`, which `bentoml import` takes; `bazel run` serves it, and
`bazel run … -- tree` shows what is in it.

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

The sources are read and not imported, unless `service_metadata` is `import`. The version is the digest of the content unless `version` is set, so the
same inputs have the same tag everywhere. What looks like a secret fails the build (`check_secrets`). Output groups: `bento_yaml`,
`build_definition` (SLSA's), `digest`, `manifest`, `tag`,
`summary` (sizes, for dashboards), `report` (what is in it, as JSON and as a page to look at), and the other forms that `bentoml import` takes, `tar`, `tar_gz`, `zip`; `folder` is
what an archive has, unpacked.

All options may stand in a bentofile, which an action reads; attributes win over it, option by option. What Bazel has to
know before any action runs is an attribute in any case: files that options name (`srcs`, `data`), packages of a hub
(`requirements`), models (`models`), and code from elsewhere (`deps`). Where the two disagree the build says so.""",
    attrs = {
        "arg_file": attr.label(allow_single_file = True, doc = "Arguments of the Bento as a YAML file of keys and values, as `bentoml build --arg-file` takes it."),
        "bento_args": attr.string_dict(doc = "Arguments of the Bento, as `args` of a bentofile; these win over `arg_file`."),
        "bento_name": attr.string(doc = "Name of the Bento. Default: that of the service, in BentoML's snake case."),
        "bentofile": attr.label(allow_single_file = [".toml", ".yaml", ".yml"], cfg = reset_cfg, doc = "A `bentofile.yaml`, or a `pyproject.toml` with `[tool.bentoml.build]`, from anywhere. Its paths begin in the build context."),
        "bentoml_version": attr.string(default = "1.4.39", doc = "The BentoML that serves it: pinned in its requirements unless they have one."),
        "build_ctx": attr.string(
            default = OWN_PACKAGE,
            doc = "The folder that becomes the Bento's `src/`: `.` for this package, else a path from the repository's root (`//` for the root itself).",
        ),
        "bundle_models": attr.bool(
            default = True,
            doc = "Whether the `.bento` and its other forms have the models in them. Without, `bento.yaml` names them all the same, and BentoML takes them from the model store where the Bento is served. Version, images, tests and `bazel run` are the same.",
        ),
        "data": attr.label_list(allow_files = True, cfg = reset_cfg, doc = "Further files of the build context, packed apart from `srcs`: what is large, or changes seldom, is then a part of the archive and a layer of images of its own."),
        "deps": attr.label_list(
            aspects = [sources_aspect],
            cfg = metadata_only_cfg,
            doc = "Python libraries, of any rule that provides PyInfo: what a py_binary over them has, sources, generated ones and data, comes along at its import path, from anywhere in the repository. Packages are locked instead.",
            providers = [PyInfo],
        ),
        "description": attr.string(doc = "The Bento's README, as text, or as `file:` and the path of a file in the build context."),
        "description_file": attr.label(allow_single_file = True, doc = "The Bento's README, as a file. Default: README.md of the build context."),
        "enable_features": attr.string_list(doc = "Extras of bentoml, as `bentoml containerize --enable-features` takes them: `grpc`, `io-image` and the like."),
        "envs": attr.string_list(doc = "Environment: `NAME=value`, or `NAME=` where the value is known only when it is deployed; either with `;stage=build`, `;stage=runtime` behind it."),
        "exclude": attr.string_list(doc = "Patterns, as in `.gitignore`, of files to leave out."),
        "environment": attr.label(doc = "The image that the service asks for, in the place of the one in its source: a `bento_environment`.", providers = [BentoEnvironmentInfo]),
        "include": attr.string_list(doc = "Patterns, as in `.gitignore`, of files to take. Default: the bentofile's, else all."),
        "labels": attr.string_dict(doc = "Labels; a label of the service's own decorator wins over one here, as in BentoML. The flag `--@rules_bento//rules:labels=KEY=VALUE` adds to all Bentos of a build."),
        "lock_all_platforms": attr.bool(doc = "Whether `env/python/requirements.lock.txt` has the hashes of all files of a release, not only of those for the platform."),
        "models": attr.label_list(cfg = reset_cfg, doc = "Models that the Bento needs, bundled unless `bundle_models` is off.", providers = [BentoModelInfo]),
        "packages": attr.string_list(doc = "Requirements (PEP 508), as `python.packages` of a bentofile. Beside packages of a hub they narrow these, such as `numpy<3`."),
        "python_version": attr.string(doc = "The Python that it is for, `X.Y`: of its lock, its image and its tests; the hub has it as its own or among `more_python_versions`. Default: that of the hub, else {}.".format(PYTHON_VERSION)),
        "report_against": attr.label(allow_single_file = [".json"], cfg = reset_cfg, doc = "The report of another build, from its output group `report`, to show what differs."),
        "requirements": attr.label_list(
            allow_files = True,
            aspects = [resolve_aspect],
            cfg = metadata_only_cfg,
            doc = "Packages of a hub, such as `@pypi//numpy`, of which the Bento locks the closure, and `bento_wheel` targets; or requirements files.",
        ),
        "service": attr.string(doc = "`module:Service` or `path/of/file.py:Service`, relative to the build context. Default: the bentofile's, else the one service of `service.py`."),
        "service_config": attr.string_dict(doc = "Where the source computes it: name of a service to its configuration, or the part that is computed: `service_config(workers = 4)`."),
        "service_models": attr.string_dict(doc = "Where the source computes it: `Service.attribute` to the tag of the model, one of `models`, that the attribute holds."),
        "services": attr.string_list_dict(doc = "Where the source does not say it plainly: name of each service to the names of those that it depends on. It states names and edges and nothing else."),
        "spec": attr.int(doc = "Format of `bento.yaml`, 1 or 2. Default: 2 where that can hold the options.", values = [0, 1, 2]),
        "complete_metadata": attr.string_list(doc = "Kinds of service metadata that the target declares completely, for a source that determines even their names at run time: `labels`, `envs`, `models` (with `service_models`), `image`, `description`."),
        "srcs": attr.label_list(allow_files = True, cfg = reset_cfg, doc = "Files of the build context; `include`, `exclude` and `.bentoignore` files select among them."),
        "ignore_libraries": attr.string_list(doc = "File names of shared libraries and programs among sources and data that may be for another machine than the Bento, such as what a service takes for data; others are refused. A name that no such file has is refused, too."),
        "version": attr.string(doc = "Version of the Bento. Default: the digest of its content."),
        "_labels": attr.label(default = "//rules:labels", providers = [BentoFlagInfo]),
    } | CREATION_TIME | SERVICE_METADATA | OPTION_GROUPS | PLATFORM | RESOLVER | RUN_ENVIRONMENT | RUN_RUNTIME | SECRETS | STAMPED_LABELS,
    cfg = bento_cfg,
    executable = True,
    provides = [BentoServiceMetadataInfo, BentoInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
