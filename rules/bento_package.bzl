"""bento_package: a service, its sources, its models and its environment as a Bento."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules/private:attributes.bzl", "CREATION_TIME", "add_pairs", "creation_time", "describe_data", "describe_dependency", "describe_source", "folder_path", "label_text", "text_word")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper")
load("//rules/private:lock_slice.bzl", "RESOLVER", "lock_slice", "stated_requirements")
load("//rules/private:serve.bzl", "serve_launcher")
load("//rules/private:sources_aspect.bzl", "sources_aspect")
load("//rules/private:wheels.bzl", "as_elsewhere", "stated_only")
load("//rules/providers:bento.bzl", "BentoInfo")
load("//rules/providers:model.bzl", "BentoModelInfo")
load("//rules/providers:requirement.bzl", "BentoRequirementInfo")
load("//rules/providers:sources.bzl", "BentoSourcesInfo")

# build_ctx of a target whose package is the context.
_OWN_PACKAGE = "."
_DEFAULT_PYTHON = "3.11"

def _build_ctx(ctx):
    folder = ctx.label.package if ctx.attr.build_ctx == _OWN_PACKAGE else ctx.attr.build_ctx.removeprefix("//")
    return folder_path(ctx.label, folder)

def _snapshot(ctx, part):
    """Selects, places and digests the sources, and reads the service; returns what the next action needs."""
    manifest = ctx.actions.declare_file(ctx.label.name + ".sources.json")
    service = ctx.actions.declare_file(ctx.label.name + ".service.json")
    unused = ctx.actions.declare_file(ctx.label.name + ".unused")
    sources = depset(ctx.files.srcs + ctx.files.data)
    dependencies = depset(transitive = [dep[BentoSourcesInfo].files for dep in ctx.attr.deps])
    args = arguments(ctx)
    args.add_all(["--target", label_text(ctx.label)])
    args.add_all(["--service", ctx.attr.service])
    args.add_all(["--build-ctx", _build_ctx(ctx)])
    args.add_all(ctx.attr.include, before_each = "--include")
    args.add_all(ctx.attr.exclude, before_each = "--exclude")
    args.add_all(
        depset(transitive = [dep[BentoSourcesInfo].import_roots for dep in ctx.attr.deps]),
        before_each = "--import-root",
    )
    args.add_all(["--manifest", manifest])
    args.add_all(["--service-info", service])
    args.add_all(["--part", part])
    args.add_all(["--unused", unused])
    args.add_all(ctx.files.srcs, map_each = describe_source)
    args.add_all(ctx.files.data, map_each = describe_data)
    args.add_all(dependencies, map_each = describe_dependency)
    run_helper(
        ctx,
        mnemonic = "BentoSnapshot",
        progress_message = "Reading sources of %{label}",
        verb = "snapshot",
        args = args,
        inputs = depset(transitive = [sources, dependencies]),
        outputs = [manifest, service, part, unused],
        packages = ["blake3"],
        unused_inputs_list = unused,
    )
    return struct(manifest = manifest, service = service)

def _requirements_files(ctx):
    return [file for target in ctx.attr.requirements if BentoRequirementInfo not in target for file in target[DefaultInfo].files.to_list()]

def _python_version(ctx):
    """Of the Bento's image: the attribute's, else that of the lock."""
    locked = [".".join(info.python_version.split(".")[:2]) for info in stated_requirements(ctx.attr.requirements)]
    return ctx.attr.python_version or (locked + [_DEFAULT_PYTHON])[0]

def _pins(ctx):
    """What the libraries take from hubs of rules_python, `name==version` each."""
    return depset(transitive = [dep[BentoSourcesInfo].pins for dep in ctx.attr.deps])

def _lock(ctx):
    """The slice of the lock, where the target takes packages of a hub; else None."""
    requirements = stated_requirements(ctx.attr.requirements)
    if not requirements:
        return None
    if _requirements_files(ctx):
        fail("{}: requirements has packages of a hub and files; take all from the hub, or all from files".format(ctx.label))
    requirements += [info for dep in ctx.attr.deps for info in dep[BentoSourcesInfo].requirements.to_list()]
    return lock_slice(ctx, requirements, ctx.attr.packages, _pins(ctx), ctx.attr.lock_all_platforms)

def _describe(ctx, snapshot, models, lock, part):
    """Writes bento.yaml and what else tells of the Bento; returns those files."""
    outputs = struct(
        bento_yaml = ctx.actions.declare_file(ctx.label.name + ".bento.yaml"),
        digest = ctx.actions.declare_file(ctx.label.name + ".digest"),
        manifest = ctx.actions.declare_file(ctx.label.name + ".manifest.json"),
        tag = ctx.actions.declare_file(ctx.label.name + ".tag"),
    )
    args = arguments(ctx)
    args.add_all(["--target", label_text(ctx.label)])
    args.add_all(["--service", ctx.attr.service])
    args.add_all(["--creation-time", creation_time(ctx)])
    args.add_all(["--bentoml-version", ctx.attr.bentoml_version])
    for flag, value in {
        "--name": ctx.attr.bento_name,
        "--python-version": _python_version(ctx),
        "--version": ctx.attr.version,
    }.items():
        if value:
            args.add_all([flag, value])
    if ctx.attr.description:
        args.add_all(["--description", text_word(ctx.attr.description)])
    add_pairs(args, "--label", ctx.attr.labels)
    args.add_all([text_word(env) for env in ctx.attr.envs], before_each = "--env")
    requirements_files = _requirements_files(ctx)
    if lock:
        requirements_files = [lock.roots, lock.locked, lock.locked_with_hashes]
        args.add_all(["--locked"] + requirements_files)
    else:
        args.add_all(ctx.attr.packages, before_each = "--requirement")
        args.add_all(_pins(ctx), before_each = "--requirement")
        args.add_all(requirements_files, before_each = "--requirements-file")
    for name, dependencies in ctx.attr.services.items():
        args.add_all(["--declared-service", name, json.encode(dependencies)])
    for model in models:
        args.add_all(["--model", model.description, model.alias])
    args.add_all(ctx.files.description_file, before_each = "--description-file")
    args.add_all(["--sources", snapshot.manifest])
    args.add_all(["--service-info", snapshot.service])
    args.add_all(["--part", part])
    args.add_all(["--bento-yaml", outputs.bento_yaml])
    args.add_all(["--manifest", outputs.manifest])
    args.add_all(["--digest", outputs.digest])
    args.add_all(["--tag", outputs.tag])
    run_helper(
        ctx,
        mnemonic = "BentoPackage",
        progress_message = "Writing bento.yaml of %{label}",
        verb = "package",
        args = args,
        inputs = depset(
            [snapshot.manifest, snapshot.service] + [model.description for model in models] +
            requirements_files + ctx.files.description_file,
        ),
        outputs = [part, outputs.bento_yaml, outputs.digest, outputs.manifest, outputs.tag],
        packages = ["blake3", "pyyaml"],
    )
    return outputs

def _archive(ctx, parts, models):
    archive = ctx.actions.declare_file(ctx.label.name + ".bento")
    args = arguments(ctx)
    args.add_all(["--output", archive])
    args.add_all(parts, before_each = "--part")
    for model in models:
        args.add_all(["--model", model.description, model.archive_part])
    run_helper(
        ctx,
        mnemonic = "BentoArchive",
        progress_message = "Archiving %{label}",
        verb = "archive",
        args = args,
        inputs = depset(parts + [model.description for model in models] + [model.archive_part for model in models]),
        outputs = [archive],
    )
    return archive

def _bento_package_impl(ctx):
    models = [model[BentoModelInfo] for model in ctx.attr.models]
    sources_part = ctx.actions.declare_file(ctx.label.name + ".sources.part")
    metadata_part = ctx.actions.declare_file(ctx.label.name + ".metadata.part")
    snapshot = _snapshot(ctx, sources_part)
    lock = _lock(ctx)
    described = _describe(ctx, snapshot, models, lock, metadata_part)
    parts = [metadata_part, sources_part]
    archive = _archive(ctx, parts, models)
    launcher = serve_launcher(ctx, archive)
    return [
        BentoInfo(
            archive = archive,
            bento_yaml = described.bento_yaml,
            digest = described.digest,
            locked_requirements = lock.locked_with_hashes if lock else None,
            manifest = described.manifest,
            models = depset(models),
            parts = tuple(parts),
            requirements = depset(
                stated_requirements(ctx.attr.requirements),
                transitive = [dep[BentoSourcesInfo].requirements for dep in ctx.attr.deps],
            ),
            tag = described.tag,
        ),
        DefaultInfo(files = depset([archive]), executable = launcher.executable, runfiles = launcher.runfiles),
        OutputGroupInfo(
            bento_yaml = depset([described.bento_yaml]),
            digest = depset([described.digest]),
            manifest = depset([described.manifest]),
            tag = depset([described.tag]),
        ),
    ]

bento_package = rule(
    implementation = _bento_package_impl,
    doc = """A Bento: `bazel build` writes `<name>.bento`, which `bentoml import` takes; `bazel run` serves it.

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

The sources are read, never imported. The version is the digest of the content unless `version` is set, so the
same inputs have the same tag everywhere. Output groups: `bento_yaml`, `digest`, `manifest`, `tag`.""",
    attrs = {
        "bento_name": attr.string(doc = "Name of the Bento. Default: that of the service, in BentoML's snake case."),
        "bentoml_version": attr.string(default = "1.4.39", doc = "The BentoML that serves it: pinned in its requirements unless they have one."),
        "build_ctx": attr.string(
            default = _OWN_PACKAGE,
            doc = "The folder that becomes the Bento's `src/`: `.` for this package, else a path from the repository's root (`//` for the root itself).",
        ),
        "data": attr.label_list(allow_files = True, cfg = as_elsewhere, doc = "Further files of the build context."),
        "deps": attr.label_list(
            aspects = [sources_aspect],
            cfg = stated_only,
            doc = "Python libraries: their first-party sources come along at their import path, from anywhere in the repository.",
            providers = [PyInfo],
        ),
        "description": attr.string(doc = "The Bento's README, as text."),
        "description_file": attr.label(allow_single_file = True, doc = "The Bento's README, as a file. Default: README.md of the build context."),
        "envs": attr.string_list(doc = "Environment: `NAME`, `NAME=value`, or either with `;stage=build`, `;stage=runtime` behind it."),
        "exclude": attr.string_list(doc = "Patterns, as in `.gitignore`, of files to leave out."),
        "include": attr.string_list(default = ["*"], doc = "Patterns, as in `.gitignore`, of files to take."),
        "labels": attr.string_dict(doc = "Labels; a label of the service's own decorator wins over one here, as in BentoML."),
        "lock_all_platforms": attr.bool(doc = "Whether `env/python/requirements.lock.txt` has the hashes of all files of a release, not only of those for the platform."),
        "models": attr.label_list(cfg = as_elsewhere, doc = "Models that are bundled.", providers = [BentoModelInfo]),
        "packages": attr.string_list(doc = "Requirements (PEP 508), as `python.packages` of a bentofile. Beside packages of a hub they narrow these, such as `numpy<3`."),
        "python_version": attr.string(doc = "Version of Python in the Bento's image, `X.Y`. Default: that of the hub, else 3.11."),
        "requirements": attr.label_list(
            allow_files = True,
            cfg = stated_only,
            doc = "Packages of a hub, such as `@pypi//numpy`, of which the Bento locks the closure; or requirements files.",
        ),
        "service": attr.string(doc = "`module:Service` or `path/of/file.py:Service`, relative to the build context.", mandatory = True),
        "services": attr.string_list_dict(doc = "Where the source does not say it plainly: name of each service to the names of those that it depends on."),
        "srcs": attr.label_list(allow_files = True, cfg = as_elsewhere, doc = "Files of the build context; `include`, `exclude` and `.bentoignore` files select among them."),
        "version": attr.string(doc = "Version of the Bento. Default: the digest of its content."),
    } | CREATION_TIME | RESOLVER,
    executable = True,
    provides = [BentoInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
