"""Defines bento_venv, a program that creates a virtual environment with the packages of a Bento."""

load("//private:attributes.bzl", "label_string")
load("//private:installed_wheel_aspect.bzl", "PACKAGE", "check_one_hub", "package_requirements")
load("//private:launcher.bzl", "PYTHON", "RUNFILES", "helper_launcher", "runfile_path", "runtime")
load("//private:python_version.bzl", "OF_BENTO")
load("//private:target.bzl", "target_cfg")
load("//private:wheels_flag.bzl", "bento_packages_cfg", "needs_packages", "packages_cfg")
load("//rules:providers.bzl", "BentoInfo")

def _modules(ctx, bento):
    """Returns a list of BentoWheelModulesInfo: the Bento's wheels, then the wheels in `requirements`.

    Fails if there are none.
    """
    requirements = [bento.requirements, depset(package_requirements(ctx, ctx.attr.requirements))]

    # Only a few dozen wheels, so the list is short.
    infos = depset(transitive = requirements, order = "preorder").to_list()
    check_one_hub(ctx, infos)
    if not infos:
        fail(("{}: {} has no packages from a package hub. Add packages, including bentoml, to the Bento's " +
              "requirements.").format(
            label_string(ctx.label),
            label_string(ctx.split_attr.bento["metadata"].label),
        ))
    return depset(transitive = [info.modules for info in infos]).to_list()

def _wheels(ctx, modules):
    """Returns the path of each wheel, relative to the runfiles directory, by package name.

    Fails if a package has two different wheels.
    """
    wheels = {}
    for module in modules:
        path = runfile_path(ctx, module.wheel)
        other = wheels.setdefault(module.distribution, path)
        if other != path:
            fail(("{}: bento and requirements include different wheels of {}: {} and {}. Remove one of the wheels, " +
                  "or use packages from a single package hub.").format(
                label_string(ctx.label),
                module.distribution,
                other,
                path,
            ))
    return wheels

def _bento_venv_impl(ctx):
    bento = ctx.split_attr.bento["metadata"][BentoInfo]
    modules = _modules(ctx, ctx.split_attr.bento["packages"][BentoInfo])
    if bento.build_ctx.startswith("../"):
        fail(
            ("{}: {} belongs to another repository, whose sources can't be edited. Use a " +
             "Bento from this repository.").format(
                label_string(ctx.label),
                label_string(ctx.split_attr.bento["metadata"].label),
            ),
        )
    settings = ctx.actions.declare_file(ctx.label.name + ".json")

    # The number of import roots is small, and doesn't depend on the number of files.
    import_roots = bento.import_roots.to_list()
    ctx.actions.write(settings, json.encode({
        "build_ctx": bento.build_ctx,
        "directory": "/".join([part for part in [ctx.label.package, ".venv"] if part]),
        "import_roots": import_roots,
        # The platform of the modules is the host platform, even if the Bento is for another platform.
        "platform": ctx.split_attr.bento["packages"][BentoInfo].platform,
        "python_version": bento.python_version,
        "repository": ctx.workspace_name,
        "wheels": _wheels(ctx, modules),
    }))
    launcher = helper_launcher(
        ctx,
        "venv",
        {"--runfiles": RUNFILES, "--settings": settings, "--uv": runtime(ctx).uv, "--python": PYTHON},
        files = depset([module.wheel for module in modules]),
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]

bento_venv = rule(
    implementation = _bento_venv_impl,
    doc = """Creates or updates a virtual environment with a Bento's packages, for editors and notebooks, with
`bazel run`.

```starlark
bento_venv(
    name = "venv",
    bento = ":iris_bento",
    requirements = ["@pypi//pytest"],
)
```

The environment is `.venv` in this package, or the directory in `-- --directory DIR`. It imports the Bento and its
`deps` from the source tree, so edits take effect immediately ([guide](../docs/development.md)). The program changes
only directories that it created.""",
    attrs = {
        "bento": attr.label(
            cfg = bento_packages_cfg,
            doc = "The Bento whose packages are installed.",
            mandatory = True,
            providers = [BentoInfo],
        ),
        "requirements": attr.label_list(
            cfg = packages_cfg,
            doc = "Additional packages, such as pytest and ipykernel.",
            **PACKAGE
        ),
        # In the Python version of the Bento.
        "_runtime": attr.label(
            default = "//toolchains:host_python_runtime",
            providers = [platform_common.ToolchainInfo],
        ),
    } | OF_BENTO | needs_packages("modules", on_host = True),
    cfg = target_cfg,
    executable = True,
)
