"""Defines bento_test, which tests a Bento with a BentoML server."""

load("//private:attributes.bzl", "check_interpreter")
load(
    "//private:installed_wheel_aspect.bzl",
    "PACKAGE",
    "check_layouts",
    "check_one_hub",
    "has_installed",
    "installed_wheel_aspect",
    "package_requirements",
)
load(
    "//private:launcher.bzl",
    "ENVIRONMENT_VALUES",
    "TEST_RUNTIME",
    "helper_launcher",
    "run_environment",
    "runfile_path",
    "runfiles_of_attributes",
    "runtime",
)
load("//private:providers.bzl", "BentoInstalledWheelInfo", "BentoSourcesInfo")
load("//private:py_info.bzl", "PYTHON")
load("//private:python_version.bzl", "OF_BENTO")
load("//private:sources_aspect.bzl", "first_party_imports", "sources_aspect")
load("//private:target.bzl", "target_cfg")
load("//private:wheels_flag.bzl", "bento_packages_cfg", "needs_packages")
load("//rules:providers.bzl", "BentoInfo")

def _modules(ctx, bento):
    """Returns a list of BentoWheelModulesInfo: the Bento's wheels, then the test's.

    Fails if a wheel is for another Python version.
    """
    requirements = [bento.requirements] + [
        depset([info])
        for info in package_requirements(ctx, ctx.attr.requirements)
    ] + [dep[BentoSourcesInfo].requirements for dep in ctx.attr.deps] + [
        dep[BentoInstalledWheelInfo].requirements
        for dep in ctx.attr.deps
    ]

    # Only a few dozen wheels, so the list is short.
    infos = depset(transitive = requirements, order = "preorder").to_list()
    check_one_hub(ctx, infos)
    if has_installed(infos):
        check_layouts(ctx, ctx.attr.deps)
    check_interpreter(ctx, runtime(ctx).python, infos)
    return depset(transitive = [info.modules for info in infos]).to_list()

def _tested(bento, packages):
    """Returns the BentoInfo of the Bento to test.

    A Bento for another platform can contain machine code that doesn't run in the test.
    """
    return bento if bento.platform == packages.platform else packages

def _bento_test_impl(ctx):
    packages = ctx.split_attr.bento["packages"][BentoInfo]
    modules = _modules(ctx, packages)
    bento = _tested(ctx.split_attr.bento["metadata"][BentoInfo], packages)
    settings = ctx.actions.declare_file(ctx.label.name + ".json")

    # Tests read the archive parts, so that they don't wait for an archive with all models.
    models = [(model.description, model.archive_part) for model in bento.models.to_list()]
    ctx.actions.write(settings, json.encode({
        "build_ctx": bento.build_ctx,
        "imports": [ctx.workspace_name] + first_party_imports(ctx.attr.deps),
        "models": [[runfile_path(ctx, file) for file in model] for model in models],
        "parts": [runfile_path(ctx, part) for part in bento.parts],
        "roots": [root for module in modules for root in module.imports],
        "tag": runfile_path(ctx, bento.tag),
        "tests": [runfile_path(ctx, file) for file in ctx.files.srcs],
    }))
    launcher = helper_launcher(
        ctx,
        "test",
        {"--settings": settings},
        files = depset(
            [bento.tag] + list(bento.parts) + [file for model in models for file in model] + ctx.files.srcs,
            transitive = [module.files for module in modules] + [dep[BentoSourcesInfo].files for dep in ctx.attr.deps],
        ),
        in_runfiles = True,
    )
    return [
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles.merge(runfiles_of_attributes(ctx))),
        run_environment(ctx, "env"),
        coverage_common.instrumented_files_info(
            ctx,
            dependency_attributes = ["bento", "deps"],
            extensions = ["py"],
            source_attributes = ["srcs"],
        ),
        testing.ExecutionInfo({"block-network": "1"}),
    ]

bento_test = rule(
    implementation = _bento_test_impl,
    doc = """Tests a Bento with pytest. The tests send requests to a BentoML server that runs the locked wheels.

```starlark
bento_test(
    name = "iris_test",
    srcs = ["iris_test.py"],
    bento = ":iris_bento",
    requirements = ["@pypi//pytest"],
)
```

Fixtures: `client` (a `bentoml.SyncHTTPClient`), `url`, `bento` (tag and directory), `server`, and `serve`, which starts
another server. The server starts on first use, on a free loopback port, without other network access. `bazel coverage`
measures the sources of the Bento and of `deps` ([more](../docs/testing.md)).""",
    attrs = {
        "env": attr.string_dict(doc = "Environment variables of `bazel test`. " + ENVIRONMENT_VALUES),
        "bento": attr.label(
            cfg = bento_packages_cfg,
            doc = "The Bento to test.",
            mandatory = True,
            providers = [BentoInfo],
        ),
        "data": attr.label_list(allow_files = True, doc = "Files and programs that the tests use."),
        "deps": attr.label_list(
            aspects = [installed_wheel_aspect, sources_aspect],
            doc = "Python libraries that the tests import.",
            providers = PYTHON,
        ),
        "requirements": attr.label_list(
            doc = "Packages that the tests import, including pytest, in addition to the Bento's packages.",
            **PACKAGE
        ),
        "srcs": attr.label_list(allow_files = [".py"], doc = "Python files with tests for pytest.", mandatory = True),
    } | OF_BENTO | TEST_RUNTIME | needs_packages("modules"),
    cfg = target_cfg,
    test = True,
)
