"""Defines bento_venv, a program that makes a virtual environment of a Bento's packages, for editors and notebooks."""

load("//rules:providers.bzl", "BentoInfo", "BentoRequirementInfo")
load("//rules/private:attributes.bzl", "in_package", "label_string")
load("//rules/private:launcher.bzl", "PYTHON", "RUNFILES", "RUN_RUNTIME", "helper_launcher", "runfile", "runfile_path", "runtime")
load("//rules/private:transitions.bzl", "metadata_plus_modules_cfg")

def _modules(ctx, bento):
    """Returns the wheels of the Bento and of `requirements`; those of the Bento come first."""
    requirements = [bento.requirements, depset([target[BentoRequirementInfo] for target in ctx.attr.requirements])]

    # The closure of a service is some dozens of wheels.
    infos = depset(transitive = requirements, order = "preorder").to_list()
    if not infos:
        fail("{}: {} has no packages of a hub. Name them in its requirements, bentoml among them".format(
            label_string(ctx.label),
            label_string(ctx.split_attr.bento["metadata"].label),
        ))
    return depset(transitive = [info.modules for info in infos]).to_list()

def _wheels(ctx, modules):
    """Returns the path of each wheel in the runfiles, by the name of its package."""
    wheels = {}
    for module in modules:
        path = runfile_path(ctx, module.wheel)
        other = wheels.setdefault(module.distribution, path)
        if other != path:
            fail("{}: bento and requirements have two wheels of {}: {} and {}. Leave one of them out, or take all packages from one hub".format(
                label_string(ctx.label),
                module.distribution,
                other,
                path,
            ))
    return wheels

def _bento_venv_impl(ctx):
    bento = ctx.split_attr.bento["metadata"][BentoInfo]
    modules = _modules(ctx, ctx.split_attr.bento["packages"][BentoInfo])
    uv = runtime(ctx).uv
    if bento.build_ctx.startswith("../"):
        fail("{}: {} is of another repository, whose sources are not here to be edited".format(label_string(ctx.label), label_string(ctx.split_attr.bento["metadata"].label)))
    settings = ctx.actions.declare_file(ctx.label.name + ".json")

    # Folders that are imported from are few, whatever lies in them.
    import_roots = bento.import_roots.to_list()
    ctx.actions.write(settings, json.encode({
        "build_ctx": bento.build_ctx,
        "folder": in_package(ctx.label, ctx.attr.directory),
        "import_roots": import_roots,
        # The platform of the modules, which are for the machine that runs them, even if the Bento is for another one.
        "platform": ctx.split_attr.bento["packages"][BentoInfo].platform,
        "python_version": bento.python_version,
        "repository": ctx.workspace_name,
        "wheels": _wheels(ctx, modules),
    }))
    launcher = helper_launcher(
        ctx,
        arguments = ["--target", label_string(ctx.label), "--runfiles", RUNFILES, "--settings", runfile(ctx, settings), "--uv", runfile(ctx, uv), "--python", PYTHON],
        files = depset([settings, uv] + [module.wheel for module in modules]),
        verb = "venv",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]

bento_venv = rule(
    implementation = _bento_venv_impl,
    doc = """A program, for `bazel run`, that makes or refreshes a virtual environment of a Bento's packages, for editors and notebooks.

```starlark
bento_venv(
    name = "venv",
    bento = ":iris_bento",
    requirements = ["@pypi//pytest"],
)
```

The packages are installed from the wheels that the lock names, without a network; modules of the Bento and of its `deps` are
imported from the source tree, so an edit is seen at once. A second run changes what has changed. A folder that it has
not made is left alone ([more](../docs/development.md)).""",
    attrs = {
        "bento": attr.label(cfg = metadata_plus_modules_cfg, doc = "The Bento.", mandatory = True, providers = [BentoInfo]),
        "directory": attr.string(default = ".venv", doc = "Where, relative to this package in the source tree. Behind `--`, `--folder` takes its place."),
        "requirements": attr.label_list(doc = "Packages beside those of the Bento: pytest, ipykernel and the like.", providers = [BentoRequirementInfo]),
    } | RUN_RUNTIME,
    executable = True,
)
