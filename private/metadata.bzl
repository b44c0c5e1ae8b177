"""Defines describe_metadata, which describes the step that writes bento.yaml and all other files except sources, data,
and models."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoModelInfo")
load(":attributes.bzl", "creation_time", "label_string", "split_stamped")
load(":helper.bzl", "DEFLATE", "subcommand", "target_arguments")
load(":installed_wheel_aspect.bzl", "check_layouts", "requirement_of")
load(":providers.bzl", "BentoInstalledWheelInfo", "BentoSourcesInfo")
load(":snapshot.bzl", "add_secrets", "bentofile_arguments")
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
    if PyInfo in target:
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

def _add_requirements(ctx, args, pins, lock):
    """Adds the flags for the lock or, without a lock, for pins and requirements files, to the arguments.

    Returns the list of input Files.
    """
    if lock:
        args.add("--locked", lock.locked)
        return [lock.locked]
    files = requirements_files(ctx)
    args.add_all(pins, before_each = "--pin")
    if installed_python_version(ctx):
        args.add("--python-version-of-pins")
    args.add_all(files, before_each = "--requirements-file")
    return files

def _add_options(ctx, args, lock):
    """Adds the flags for the attributes of the Bento, and for files in attributes, to the arguments."""
    for flag, values in {"--options": _options(ctx, lock), "--attributes": _attributes(ctx)}.items():
        if values:
            args.add_all([flag, json.encode(values)])
    args.add_all(bentofile_arguments(ctx))

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
        None), and
        `contents` (list of the other parts in `archive`; empty without `archive`).
      python_version: Python version of the Bento, in the form `X.Y`.

    Returns:
      A struct of the Files `bento_yaml`, `digest`, `manifest`, and `tag`, of `step` (for `run_steps`), and of
      `package_action` (arguments,
      inputs, and packages of the step).
    """
    outputs = struct(
        bento_yaml = ctx.actions.declare_file(ctx.label.name + ".bento.yaml"),
        digest = ctx.actions.declare_file(ctx.label.name + ".digest"),
        manifest = ctx.actions.declare_file(ctx.label.name + ".manifest.json"),
        tag = ctx.actions.declare_file(ctx.label.name + ".tag"),
    )
    models = [model[BentoModelInfo] for model in ctx.attr.models]
    args = target_arguments(ctx)
    args.add_all([
        "--creation-time",
        creation_time(ctx),
        "--bentoml-version",
        BENTOML_VERSION,
        "--python-version",
        python_version,
    ])
    if platform_name(ctx):
        args.add("--platform", platform_name(ctx))
    args.add_all(ctx.attr.ignore_libraries, before_each = "--ignore-library")
    _add_options(ctx, args, lock)
    requirements = _add_requirements(ctx, args, dependency_pins(ctx), lock)
    for model in models:
        args.add_all(["--model", model.description, model.alias])
    args.add_all(["--sources", snapshot.manifest, "--service-info", snapshot.service, "--part", into.part])
    args.add_all([
        "--bento-yaml",
        outputs.bento_yaml,
        "--manifest",
        outputs.manifest,
        "--digest",
        outputs.digest,
        "--tag",
        outputs.tag,
    ])
    step_inputs = [snapshot.manifest, snapshot.service] + requirements
    inputs = depset([model.description for model in models] + ctx.files.bentofile)
    packages = _packages(ctx)
    add_secrets(ctx, args)
    if into.archive:
        args.add("--archive", into.archive)
    args.add_all(into.contents, before_each = "--contents")
    step = struct(
        step_inputs = step_inputs + into.contents,
        outputs = [
            into.part,
            outputs.bento_yaml,
            outputs.digest,
            outputs.manifest,
            outputs.tag,
        ] + ([into.archive] if into.archive else []),
        subcommand = subcommand("package", args, inputs = inputs, packages = packages),
    )
    return struct(
        bento_yaml = outputs.bento_yaml,
        digest = outputs.digest,
        manifest = outputs.manifest,
        tag = outputs.tag,
        package_action = struct(
            arguments = args,
            inputs = depset(step_inputs, transitive = [inputs]),
            packages = packages,
        ),
        step = step,
    )
