"""What is refused before any action runs: by rules, with target, attribute and remedy."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("//rules:defs.bzl", "bento_package")
load("//toolchains:python.bzl", "bento_python")

def _failure_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.expect_failure(env, ctx.attr.message)
    return analysistest.end(env)

_failure_test = analysistest.make(
    _failure_impl,
    attrs = {"message": attr.string(doc = "What the failure says.", mandatory = True)},
    expect_failure = True,
)

def _refuses(name, rule, message, **attributes):
    """Declares a target that cannot be analysed, and the test that it says so."""
    rule(name = name, tags = ["manual"], **attributes)
    _failure_test(name = name + "_test", message = message, target_under_test = ":" + name)

def failure_tests(name):
    """Declares the tests, and a suite of them.

    Args:
      name: of the suite.
    """
    _refuses(
        name = "mixed_requirements",
        rule = bento_package,
        message = "//tests/actions:mixed_requirements: requirements has packages of a hub and files; take all from",
        requirements = [
            "requirements.txt",
            "@pypi//bentoml",
        ],
        service = "service:Service",
    )
    _refuses(
        name = "two_interpreters",
        rule = bento_python,
        message = "//tests/actions:two_interpreters: set one of interpreter and interpreter_path",
        interpreter = "requirements.txt",
        interpreter_path = "/usr/bin/python3",
        version = "3.11.2",
    )
    _refuses(
        name = "no_interpreter",
        rule = bento_python,
        message = "//tests/actions:no_interpreter: set one of interpreter and interpreter_path",
        version = "3.11.2",
    )
    native.test_suite(
        name = name,
        tests = [
            ":mixed_requirements_test",
            ":no_interpreter_test",
            ":two_interpreters_test",
        ],
    )
