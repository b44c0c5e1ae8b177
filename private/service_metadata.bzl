"""Declares the action that imports a service to determine its metadata."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load(":attributes.bzl", "check_interpreter", "json_pairs", "label_string")
load(":helper.bzl", "import_roots", "native_python", "read_files", "run_helper", "subcommand")
load(":installed_wheel_aspect.bzl", "PACKAGE", "package_requirements")
load(":lock_subset.bzl", "requested_packages")
load(":providers.bzl", "BentoServiceMetadataInfo")
load(":snapshot.bzl", "bentofile_flags", "file_options")
load(":wheels_flag.bzl", "packages_cfg")

IMPORT = "import"
STATIC = "static"

# Attributes of rules that analyze or import a service.
SERVICE_METADATA = {
    "service_metadata": attr.string(
        default = STATIC,
        doc = "How the build determines metadata: `static` analyzes the source. `import` imports the service in the " +
              "sandbox, for metadata that decorators determine at run time, and adds `schema` and `apis/` of BentoML.",
        values = [IMPORT, STATIC],
    ),
    "import_requirements": attr.label_list(
        cfg = packages_cfg,
        doc = "Packages to install for an import of the service, in addition to BentoML and FastAPI. Stand-ins " +
              "replace all others; if the import uses their values, the error has the line to add.",
        **PACKAGE
    ),
    "import_env": attr.string_dict(doc = "Environment variables for an import of the service. It has no others."),
}

# Attributes of rules that call `import_service`.
IMPORT_PERMISSION = {
    "_allow_unprotected_import": attr.label(
        default = "//rules:allow_unprotected_import",
        providers = [BuildSettingInfo],
    ),
}

def check_service_metadata(ctx, locked):
    """Fails if a Bento that imports its service has no packages of a package hub."""
    if ctx.attr.service_metadata == IMPORT and not locked:
        fail(
            ("{}: service_metadata = \"import\" requires packages from a package hub. Add packages, including " +
             "bentoml, to requirements.").format(label_string(ctx.label)),
        )

def service_metadata_info(ctx, *, snapshot, models, parts, package_action):
    """Describes the import of a service for `import_service`. Before `describe_metadata`, `package_action` is None."""
    options = file_options(ctx)
    own, below = requested_packages(ctx)
    if ctx.attr.bento_args:
        options["args"] = ctx.attr.bento_args
    return BentoServiceMetadataInfo(
        import_flags = bentofile_flags(ctx) | {
            "--model": [(model.description, model.archive_part, model.alias) for model in models],
            "--options": json.encode(options) if options else None,
            "--part": parts,
            "--service-info": snapshot.service,
            "--variable": json_pairs(ctx.attr.import_env),
        },
        import_requirements = depset(own + package_requirements(ctx, ctx.attr.import_requirements), transitive = below),
        package_flags = package_action.flags if package_action else None,
        package_packages = package_action.packages if package_action else None,
    )

def _hub(requirements):
    """Returns the label prefix of the requirements' package hub for error messages.

    Returns `@pypi//` if the package hub is unknown.
    """
    for info in requirements:
        # The repository name of a package contains the name of the package hub.
        for file in info.packages.to_list():
            name, _, package = file.owner.repo_name.replace("~", "+").rpartition("+")[2].partition("__")
            if package:
                return "@{}//".format(name)
    return "@pypi//"

def import_service(ctx, metadata, requirements, *, api = None, report_packages = False):
    """Declares the action that imports a service.

    Fails if packages are locked for another Python version than the target's.

    Args:
      ctx: context of a rule with `IMPORT_GROUP` among its execution groups, and the attributes `IMPORT_PERMISSION`.
      metadata: BentoServiceMetadataInfo of the Bento.
      requirements: list of BentoRequirementInfo, with the modules of BentoML and of `import_requirements`.
      api: a struct with the output Files `openapi` and `schema` (the files of BentoML's apis/), or None.
      report_packages: whether to report the packages that the bentofile and the image require, so that they are locked.

    Returns:
      The output File with the service metadata.
    """
    check_interpreter(ctx, native_python(ctx), requirements)

    # Only a few dozen wheels, so the list is short.
    modules = depset(transitive = [info.modules for info in requirements]).to_list()
    run = subcommand(
        ctx,
        "import_service",
        metadata.import_flags | {
            "--allow-unprotected": ctx.attr._allow_unprotected_import[BuildSettingInfo].value,
            "--hub": _hub(requirements),
            "--locked": read_files(depset(transitive = [info.packages for info in requirements])),
            "--output-packages": report_packages,
            "--platform": {info.platform: True for info in requirements if info.platform}.keys(),
            "--root": import_roots(modules),
        },
        outputs = {"--output": ".service.json"} | ({"--api": (api.openapi, api.schema)} if api else {}),
        packages = ["packaging", "pyyaml", "tomli"],
        sandboxed = True,
    )
    return run_helper(
        ctx,
        mnemonic = "BentoApi" if api else "BentoImportService",
        progress_message = "Importing service of %{label}",
        subcommand = run,
    )[0]
