"""The interpreter of rules_python's toolchains, for actions of rules_bento."""

load("//rules/private:providers.bzl", "BentoPythonInfo")  # buildifier: disable=bzl-visibility

_TYPE = "@rules_python//python:toolchain_type"
_VERSION = "@rules_python//python/config_settings:python_version"

def _bento_toolchain_python_impl(ctx):
    version = ctx.attr.python_version
    runtime = ctx.toolchains[_TYPE].py3_runtime
    if not runtime.interpreter or runtime.interpreter.extension == "sh":
        fail(("actions require a hermetic Python {version} of rules_python, but the registered toolchain uses the host's ({found}). " +
              "Add python.toolchain(python_version = \"{version}\") to MODULE.bazel before it, or set bento_tools.python(interpreter = \"python3\") " +
              "to use the host's").format(
            found = runtime.interpreter_path or runtime.interpreter.short_path,
            version = version,
        ))
    found = getattr(runtime, "interpreter_version_info", None)
    if found and getattr(found, "minor", None) and version != "{}.{}".format(found.major, found.minor):
        fail("rules_python's toolchain for Python {} has Python {}.{}. Set bento_tools.python(version = \"{}.{}\") in MODULE.bazel".format(
            version,
            found.major,
            found.minor,
            found.major,
            found.minor,
        ))
    return [
        BentoPythonInfo(
            files = depset([runtime.interpreter], transitive = [runtime.files]),
            interpreter = runtime.interpreter,
            interpreter_path = "",
            version = version,
        ),
        DefaultInfo(files = runtime.files),
    ]

bento_toolchain_python = rule(
    implementation = _bento_toolchain_python_impl,
    cfg = transition(
        implementation = lambda _settings, attr: {_VERSION: attr.python_version},
        inputs = [],
        outputs = [_VERSION],
    ),
    doc = "The CPython that rules_python has for the platform of the build, as a file of the build.",
    attrs = {
        "python_version": attr.string(doc = "Version of the interpreter, `X.Y`.", mandatory = True),
    },
    provides = [BentoPythonInfo],
    toolchains = [_TYPE],
)
