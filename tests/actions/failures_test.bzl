"""Tests errors of rules before any action runs: each has the target, the attribute, and a remedy."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("//private:interpreters.bzl", "bento_python")
load("//rules:defs.bzl", "bento_package")
load("//tests/analysis:descriptions.bzl", "refusals_test")

def _failure_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.expect_failure(env, ctx.attr.message)
    return analysistest.end(env)

_flag_test = analysistest.make(
    _failure_impl,
    attrs = {"message": attr.string(doc = "What the failure says.", mandatory = True)},
    config_settings = {str(Label("//rules:labels")): ["owner"]},
    expect_failure = True,
)

# Target to its rule, the message after its label, and attributes.
_REFUSED = {
    "import_without_packages": (bento_package, "service_metadata = \"import\" requires packages from a package hub", {
        "service_metadata": "import",
        "service": "service:Service",
    }),
    "mixed_requirements": (bento_package, "the requirements attribute contains both requirements files and packages from a package hub", {
        "requirements": ["requirements.txt", "@pypi//bentoml"],
        "service": "service:Service",
    }),
    "no_interpreter": (bento_python, "expected either interpreter or interpreter_path", {
        "version": "3.11.2",
    }),
    "no_service": (bento_package, "neither service nor bentofile is set", {}),
    "two_interpreters": (bento_python, "expected either interpreter or interpreter_path", {
        "interpreter": "requirements.txt",
        "interpreter_path": "/usr/bin/python3",
        "version": "3.11.2",
    }),
}

def failure_tests(name):
    """Declares targets that cannot be analysed, and the tests that they say so.

    Args:
      name: of the test of all of them, but for what a flag of the command line is wrong about.
    """
    for target, (rule, _, attributes) in _REFUSED.items():
        rule(name = target, tags = ["manual"], **attributes)
    refusals_test(
        name = name,
        targets = {
            ":" + target: "//{}:{}: {}".format(native.package_name(), target, message)
            for target, (_, message, _) in _REFUSED.items()
        },
    )
    bento_package(
        name = "flag_without_a_value",
        service = "service:Service",
        tags = ["manual"],
    )
    _flag_test(
        name = "flag_without_a_value_test",
        message = "--@rules_bento//rules:labels: expected KEY=VALUE, got \"owner\"",
        target_under_test = ":flag_without_a_value",
    )
