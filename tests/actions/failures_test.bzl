"""What is refused before any action runs: by rules, with target, attribute and remedy."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("//rules:defs.bzl", "bento_docker_options", "bento_environment", "bento_package", "bento_python_options")
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

_flag_test = analysistest.make(
    _failure_impl,
    attrs = {"message": attr.string(doc = "What the failure says.", mandatory = True)},
    config_settings = {str(Label("//rules:labels")): ["owner"]},
    expect_failure = True,
)

def _refuses(name, rule, message, test = _failure_test, **attributes):
    """Declares a target that cannot be analysed, and the test that it says so."""
    rule(name = name, tags = ["manual"], **attributes)
    test(name = name + "_test", message = message, target_under_test = ":" + name)

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
        name = "import_without_packages",
        rule = bento_package,
        facts = "import",
        message = "//tests/actions:import_without_packages: facts = \"import\" imports the service with the packages of a hub",
        service = "service:Service",
    )
    _refuses(
        name = "import_and_services",
        rule = bento_package,
        facts = "import",
        message = "//tests/actions:import_and_services: services is for a service that is read",
        requirements = ["@pypi//bentoml"],
        service = "service:Service",
        services = {"Service": []},
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
    _refuses(
        name = "no_service",
        rule = bento_package,
        message = "//tests/actions:no_service: set service, as \"module:Service\", or bentofile, which names it",
    )
    _refuses(
        name = "docker_of_another_group",
        rule = bento_package,
        message = "//tests/actions:docker_of_another_group: docker is @@//tests/actions:some_python_options, a bento_python_options. Set python = ",
        docker = ":some_python_options",
        service = "service:Service",
    )
    bento_python_options(
        name = "some_python_options",
        no_index = 1,
        tags = ["manual"],
    )
    _refuses(
        name = "two_environments_of_docker",
        rule = bento_docker_options,
        message = "//tests/actions:two_environments_of_docker: set env or env_file, not both",
        env = {"A": "b"},
        env_file = "env.txt",
    )
    _refuses(
        name = "step_as_text",
        rule = bento_environment,
        message = "//tests/actions:step_as_text: steps has \"apt-get install curl\", which is no step. Write one such as environment_step.run(",
        steps = ["apt-get install curl"],
    )
    _refuses(
        name = "flag_without_a_value",
        rule = bento_package,
        message = "//tests/actions:flag_without_a_value: the flag labels is \"owner\". Write KEY=VALUE",
        service = "service:Service",
        test = _flag_test,
    )
    native.test_suite(
        name = name,
        tests = [":{}_test".format(refused) for refused in native.existing_rules() if refused + "_test" in native.existing_rules()],
    )
