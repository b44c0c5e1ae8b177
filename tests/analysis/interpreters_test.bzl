"""Which interpreter an action runs in: the packed one, but for code of users, which may import whatever there is."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("//private:interpreters.bzl", "bento_python")
load("//private:toolchain.bzl", "bento_toolchain")

_PACKED = "/packed/bin/python3"
_COMPLETE = "/complete/bin/python3"
_OF_USERS = ["BentoImportService", "BentoWheel"]

def _interpreters_impl(ctx):
    env = analysistest.begin(ctx)
    programs = {action.mnemonic: action.argv[0] for action in analysistest.target_actions(env) if action.mnemonic.startswith("Bento")}
    asserts.true(env, ctx.attr.mnemonic in programs, "there is no {}".format(ctx.attr.mnemonic))
    for mnemonic, program in programs.items():
        asserts.equals(env, _COMPLETE if mnemonic in _OF_USERS else _PACKED, program, mnemonic)
    return analysistest.end(env)

_interpreters_test = analysistest.make(
    _interpreters_impl,
    attrs = {"mnemonic": attr.string()},
    config_settings = {"//command_line_option:extra_toolchains": [str(Label("//tests/analysis:import_of_two_interpreters")), str(Label("//tests/analysis:toolchain_of_two_interpreters"))]},
)

def interpreters_tests(name, targets):
    """Declares the tests.

    Args:
      name: what the targets' names begin with.
      targets: dict of mnemonics to targets that have such an action, for the Python of this repository.
    """
    for python, path in {"complete_python": _COMPLETE, "packed_python": _PACKED}.items():
        bento_python(name = python, interpreter_path = path, tags = ["manual"], version = "3.13.1")
    bento_toolchain(
        name = "two_interpreters",
        complete_python = "complete_python",
        helper = "//toolchains:helper",
        packages = "//toolchains:helper_packages",
        python = "packed_python",
        tags = ["manual"],
        uv = "@bento_uv//:program",
        visibility = ["//visibility:public"],
    )
    for kind in ("import", "toolchain"):
        native.toolchain(
            name = kind + "_of_two_interpreters",
            toolchain = "two_interpreters",
            toolchain_type = "//toolchains:{}_type".format(kind),
            visibility = ["//visibility:public"],
        )
    for mnemonic, target in targets.items():
        _interpreters_test(name = "{}_{}".format(name, mnemonic), mnemonic = mnemonic, target_under_test = target)
