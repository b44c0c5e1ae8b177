"""Declares the action that imports a service to determine its metadata."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load(":attributes.bzl", "check_interpreter", "json_pairs", "label_string")
load(":helper.bzl", "import_roots", "native_python", "read_files", "run_helper", "subcommand")
load(":installed_wheel_aspect.bzl", "PACKAGE", "package_requirements")
load(":lock_subset.bzl", "requested_packages")
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

def import_service(ctx, *, snapshot, models, parts):
    """Declares the action that imports the service of a bento_package.

    Fails if packages are locked for another Python version than the target's.

    Args:
      ctx: context of bento_package, with `IMPORT_GROUP` among its execution groups.
      snapshot: result of `read_sources`.
      models: list of BentoModelInfo.
      parts: list of Files, the parts with sources and data.

    Returns:
      The output Files: the service metadata, and the OpenAPI document.
    """
    options = file_options(ctx)
    if ctx.attr.bento_args:
        options["args"] = ctx.attr.bento_args
    own, below = requested_packages(ctx)

    # The lists are short: the transitive dependencies of bentoml and of import_requirements.
    requirements = depset(
        own + package_requirements(ctx, ctx.attr.import_requirements),
        transitive = below,
    ).to_list()
    check_interpreter(ctx, native_python(ctx), requirements)
    modules = depset(transitive = [info.modules for info in requirements]).to_list()
    run = subcommand(
        ctx,
        "import_service",
        bentofile_flags(ctx) | {
            "--allow-unprotected": ctx.attr._allow_unprotected_import[BuildSettingInfo].value,
            "--hub": _hub(requirements),
            "--locked": read_files(depset(transitive = [info.packages for info in requirements])),
            "--model": [(model.description, model.archive_part, model.alias) for model in models],
            "--options": json.encode(options) if options else None,
            "--part": parts,
            "--platform": {info.platform: True for info in requirements if info.platform}.keys(),
            "--root": import_roots(modules),
            "--service-info": snapshot.service,
            "--variable": json_pairs(ctx.attr.import_env),
        },
        outputs = {"--openapi": ".openapi.yaml", "--output": ".service.json"},
        packages = ["packaging", "pyyaml", "tomli"],
        sandboxed = True,
    )
    openapi, service = run_helper(
        ctx,
        mnemonic = "BentoImportService",
        progress_message = "Importing service of %{label}",
        subcommand = run,
    )
    return service, openapi
