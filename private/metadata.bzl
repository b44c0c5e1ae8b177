"""Defines describe_metadata, which describes the step that writes bento.yaml and all other files except sources, data,
and models."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("//rules:providers.bzl", "BentoModelInfo")
load(":attributes.bzl", "creation_time", "label_string", "split_stamped")
load(":helper.bzl", "DEFLATE", "named_only", "subcommand")
load(":installed_wheel_aspect.bzl", "check_layouts", "requirement_of")
load(":providers.bzl", "BentoInstalledWheelInfo", "BentoSourcesInfo")
load(":py_info.bzl", "py_info_of")
load(":snapshot.bzl", "bentofile_flags", "secret_flags")
load(":target.bzl", "platform_name")

# Version of bentoml that a Bento requires without a requirement for bentoml.
BENTOML_VERSION = "1.4.39"
_REQUIREMENTS = ["in", "txt"]

def requirements_files(ctx):
    """Returns the requirements files in the attribute `requirements`."""
    return [
        file
        for target in ctx.attr.requirements
        if not requirement_of(target)
        for file in _checked_requirements(ctx, target)
    ]

def _checked_requirements(ctx, target):
    """Returns the requirements files of a target. Fails if the target is a Python library or contains other files."""
    if py_info_of(target):
        check_layouts(ctx, [target])
        fail(("{}: the requirements attribute contains the Python library {}. Move the library to deps, or use " +
              "the package from a package hub, such as @pypi//numpy.").format(
            label_string(ctx.label),
            label_string(target.label),
        ))

    # A label usually has only one file.
    files = target[DefaultInfo].files.to_list()
    for file in files:
        if file.extension == "whl" and file.owner.workspace_root:
            fail(
                ("{}: requirements contains the wheel file {} of a package hub. Remove `:whl` from the label to " +
                 "require the package.").format(label_string(ctx.label), file.basename),
            )
        if file.extension == "whl":
            fail(
                "{}: requirements can't contain a wheel file: {}. Declare a bento_wheel for the file.".format(
                    label_string(ctx.label),
                    file.short_path,
                ),
            )
        if not file.extension:
            fail(("{}: the requirements attribute contains {}, which isn't a requirements file (.txt or .in). For a " +
                  "package, use its label in a package hub, such as @pypi//{}.").format(
                label_string(ctx.label),
                file.short_path,
                file.basename.lower().replace("-", "_"),
            ))
        if file.extension not in _REQUIREMENTS:
            fail(("{}: the requirements attribute contains {}, which isn't a requirements file (.txt or .in). Use " +
                  "requirements_lock of pip.parse (from uv.lock: `uv export --no-emit-project -o " +
                  "requirements.txt`), or set bento.pypi(lock = ...) in " +
                  "MODULE.bazel, and use its packages.").format(label_string(ctx.label), file.short_path))
    return files

def _options(ctx, lock):
    """Returns the options that the target sets, as a dict with the structure of a bentofile."""
    return _non_empty({
        "args": ctx.attr.bento_args,
        "description": ctx.attr.description,
        "docker": _non_empty({"python_version": ctx.attr.python_version}),
        "exclude": ctx.attr.exclude,
        "include": ctx.attr.include,
        "name": ctx.attr.bento_name,
        "python": _non_empty({"packages": ctx.attr.requirement_specifiers if not lock else []}),
        "service": ctx.attr.service,
    })

def _attributes(ctx):
    """Returns the nonempty attributes that `_options` doesn't contain.

    Dicts with a significant order are lists of pairs: JSON objects get sorted.
    """
    return _non_empty({
        "bento_env": ctx.attr.bento_env,
        "labels": _labels(ctx).items(),
        "spec": ctx.attr.spec,
        "version": ctx.attr.version,
    })

def _non_empty(values):
    return {name: value for name, value in values.items() if value}

def _labels(ctx):
    """Returns the labels of the Bento.

    Labels from the command line override labels in the attribute, and must have the form KEY=VALUE.
    """
    labels = split_stamped(ctx.attr.labels)[0]
    for text in ctx.attr._labels[BuildSettingInfo].value:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            fail("--@rules_bento//rules:labels: expected KEY=VALUE, got {}.".format(repr(text)))
        labels[key] = value
    return labels

def _requirement_flags(ctx, lock):
    """Returns the flags for the lock or, without a lock, for pins and requirements files."""
    return {"--locked": lock.locked} if lock else {
        "--pin": named_only(dependency_pins(ctx)),
        "--python-version-of-pins": bool(installed_python_version(ctx)),
        "--requirements-file": requirements_files(ctx),
    }

def _packages(ctx):
    """Returns the names of the third-party packages that the subcommand `package` imports."""

    # jinja2 renders docker.dockerfile_template, which the bentofile can set.
    return ["blake3", "packaging", "pyyaml"] + DEFLATE + (["jinja2", "tomli"] if ctx.file.bentofile else [])

def installed_python_version(ctx):
    """Returns the Python version (`X.Y`) of the packages of rules_python in `deps`.

    Returns an empty string if it is unknown or there are none.
    """
    installed = depset(transitive = [dep[BentoInstalledWheelInfo].requirements for dep in ctx.attr.deps])

    # The list is short: only a few dozen packages.
    return ([info.python_version for info in installed.to_list() if info.python_version] + [""])[0]

def dependency_pins(ctx):
    """Returns a depset of the pins (`name==version` or `name`) of packages from hubs of rules_python.

    It also contains packages that generated code imports.
    """
    return depset(transitive = [dep[BentoSourcesInfo].pins for dep in ctx.attr.deps])

def describe_metadata(ctx, *, snapshot, lock, into, python_version):
    """Declares bento.yaml and the other metadata of the Bento, and describes the step that writes the metadata.

    Args:
      ctx: context of bento_package.
      snapshot: struct of the Files `manifest` and `service`, such as the result of `read_sources`.
      lock: result of `lock_subset`, or None.
      into: a struct of `part` (File, the metadata part), `archive` (File, the `.bento` to write in the same action, or
        None), and `contents` (list of the other parts in `archive`; empty without `archive`).
      python_version: Python version of the Bento, in the form `X.Y`.

    Returns:
      A struct of the Files `bento_yaml`, `digest`, `imports`, `manifest`, and `tag`, and of `step` (for `run_steps`).
    """
    options, attributes = _options(ctx, lock), _attributes(ctx)
    flags = bentofile_flags(ctx) | secret_flags(ctx) | _requirement_flags(ctx, lock) | {
        "--attributes": json.encode(attributes) if attributes else None,
        "--bentoml-version": BENTOML_VERSION,
        "--creation-time": creation_time(ctx),
        "--ignore-library": ctx.attr.ignore_libraries,
        "--model": [(target[BentoModelInfo].description, target[BentoModelInfo].alias) for target in ctx.attr.models],
        "--options": json.encode(options) if options else None,
        "--platform": platform_name(ctx) or None,
        "--python-version": python_version,
        "--service-info": snapshot.service,
        "--sources": snapshot.manifest,
    }
    outputs = {
        "--bento-yaml": ".bento.yaml",
        "--digest": ".digest",
        "--imports": ".imports.json",
        "--manifest": ".manifest.json",
        "--tag": ".tag",
        "--part": into.part,
    } | ({"--archive": into.archive} if into.archive else {})
    step = subcommand(
        ctx,
        "package",
        flags | {"--contents": into.contents},
        outputs = outputs,
        packages = _packages(ctx),
    )
    bento_yaml, digest, imports, manifest, tag = step.outputs[:5]
    return struct(
        bento_yaml = bento_yaml,
        digest = digest,
        imports = imports,
        manifest = manifest,
        tag = tag,
        step = step,
    )
