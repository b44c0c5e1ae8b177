"""Tests in Python: pytest in the toolchain's interpreter, over locked wheels, without anything of the host."""

load("//private:helper.bzl", "INTERPRETER_FLAGS")
load("//private:launcher.bzl", "TEST_RUNTIME", "runtime")
load("//rules:providers.bzl", "BentoRequirementInfo")
load(":bytecode.bzl", "CompiledModulesInfo", "bytecode_runfiles", "has_bytecode")

_LAUNCHER = """\
#!/bin/sh
cd "${{RUNFILES_DIR:-$0.runfiles}}/{workspace}" || exit 1
exec "{python}" {flags} tests/run_pytest.py {settings} "$@"
"""

def _pytest_test_impl(ctx):
    toolchain = runtime(ctx)
    python = toolchain.python
    modules = depset(transitive = [target[BentoRequirementInfo].modules for target in ctx.attr.requirements + ctx.attr._packages]).to_list()
    settings = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(settings, json.encode({
        "bytecode": has_bytecode(ctx),
        "files": [file.short_path for file in ctx.files.srcs],
        "roots": ["../" + root for module in modules for root in module.imports],
        "uv": toolchain.uv.short_path,
    }))
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        executable,
        _LAUNCHER.format(
            flags = " ".join(INTERPRETER_FLAGS),
            python = python.interpreter.short_path if python.interpreter else python.interpreter_path,
            settings = settings.short_path,
            workspace = ctx.workspace_name,
        ),
        is_executable = True,
    )
    files = depset(
        [settings, ctx.file._runner, toolchain.uv] + ctx.files.srcs + ctx.files.data + ctx.files._conftest + ctx.files._helper,
        transitive = [python.files] + [module.files for module in modules],
    )
    return [
        DefaultInfo(
            executable = executable,
            runfiles = ctx.runfiles(transitive_files = files).merge_all(
                [bytecode_runfiles(ctx, modules)] + [target[DefaultInfo].default_runfiles for target in ctx.attr.programs],
            ),
        ),
        testing.ExecutionInfo({"block-network": "1"}),
    ]

pytest_test = rule(
    implementation = _pytest_test_impl,
    doc = "Runs test files with pytest; the folder is the root of the repository's runfiles.",
    attrs = {
        "data": attr.label_list(allow_files = True, doc = "What the tests read."),
        "programs": attr.label_list(doc = "Targets that the tests start."),
        "requirements": attr.label_list(doc = "Packages that the tests import.", providers = [BentoRequirementInfo]),
        "srcs": attr.label_list(allow_files = [".py"], doc = "The test files.", mandatory = True),
        "_bytecode": attr.label(default = "//tests:bytecode", providers = [CompiledModulesInfo]),
        "_packages": attr.label_list(default = ["@bento_tools//tomli", "@bento_tools//zlib_ng"], providers = [BentoRequirementInfo]),
        "_helper": attr.label_list(allow_files = True, default = ["//py:main.py", "//py:sources", "//py/bento_cli:sources"]),
        "_conftest": attr.label_list(allow_files = True, default = ["//tests:__init__.py", "//tests/helpers:bentoml_commands.py", "//tests/helpers:loopback.py", "//tests/helpers:tar_files.py", "//tests:conftest.py"]),
        "_runner": attr.label(allow_single_file = True, default = "//tests:run_pytest.py"),
    } | TEST_RUNTIME,
    test = True,
)
