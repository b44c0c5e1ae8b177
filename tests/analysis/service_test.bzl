"""Tests bento_service: common attributes reach all its targets, as lists and as `select`, and attributes of tests and images their targets."""

load("@bazel_skylib//lib:unittest.bzl", "loadingtest")
load("//rules:bento_service.bzl", "bento_service")
load(":descriptions.bzl", "report")

_LINUX = "@platforms//os:linux"
_PARTS = ["bento", "test", "venv", "image", "images", "push"]

# Attributes of all targets, by the name of a service.
_SHARED = {
    "of_lists": {
        "compatible_with": ["//tests/analysis:production"],
        "deprecation": "Use another service.",
        "exec_compatible_with": [_LINUX],
        "exec_properties": {"Pool": "large", "test.Pool": "small"},
        "features": ["-layering_check"],
        "target_compatible_with": [_LINUX],
        "visibility": ["//visibility:private"],
    },
    "of_selects": {
        "exec_properties": select({"//conditions:default": {"Pool": "large"}}),
        "features": select({"//conditions:default": ["-layering_check"]}),
        "restricted_to": ["//tests/analysis:production"],
        "target_compatible_with": select({
            _LINUX: [_LINUX],
            "//conditions:default": ["@platforms//:incompatible"],
        }),
    },
    "of_selects_with_lists": {
        "target_compatible_with": ["@platforms//cpu:x86_64"] + select({"//conditions:default": [_LINUX]}),
    },
}

# Attributes that the alias of a Bento doesn't have: it has the compatibility of its target, and no actions.
_NOT_OF_ALIAS = ["exec_compatible_with", "exec_properties", "features", "target_compatible_with"]

# Attributes of some targets.
_OF_PARTS = {
    "bento": {"platform": "linux_amd64", "tags": ["manual"]},
    "image": {"platform": "linux_amd64", "tags": ["manual"]},
    "images": {"tags": ["manual"]},
    "push": {"tags": ["manual"]},
    "test": {"env": {"MODE": "ci"}, "flaky": True, "size": "small", "tags": ["exclusive", "manual"], "timeout": "long"},
    "venv": {"tags": ["manual"]},
}

def _analyzed_test_impl(ctx):
    return report(ctx, [])

_analyzed_test = rule(
    implementation = _analyzed_test_impl,
    doc = "Passes if all targets can be analyzed.",
    # A private attribute, because Bazel runs the validations of the targets in other attributes.
    attrs = {"_targets": attr.label_list(default = [
        "//tests/analysis:service_{}{}".format(service, part)
        for service in _SHARED
        for part in [""] + ["_" + part for part in _PARTS]
    ])},
    test = True,
)

def _value(rule, key):
    """Returns the value of an attribute of a target with labels as in the arguments of `service_tests`."""
    value = rule.get(key)
    if type(value) != "tuple" and type(value) != "list":
        return value
    values = [each.replace(":", "//tests/analysis:", 1) if each.startswith(":") else each.replace("@@", "@") for each in value]
    return sorted(values) if key == "tags" else values

def service_tests(name):
    """Declares services with each common attribute, and the tests.

    Args:
      name: name of the test that analyzes the services.
    """
    for service, shared in _SHARED.items():
        bento_service(
            name = "service_" + service,
            testonly = True,
            srcs = ["service.py"],
            base = "//examples/base:python",
            test_env = {"MODE": "ci"} if service == "of_lists" else select({"//conditions:default": {"MODE": "ci"}}),
            flaky = True,
            platform = "linux_amd64",
            platforms = ["//toolchains/platforms:linux_amd64"],
            repositories = ["registry.example.com/clf"],
            requirements = ["@pypi//bentoml"],
            service = "service:Service",
            size = "small",
            tags = ["manual"],
            test_requirements = ["@pypi//pytest"],
            test_srcs = ["service.py"],
            test_tags = ["exclusive"],
            timeout = "long",
            **shared
        )
    tests = loadingtest.make(name)
    shared = _SHARED["of_lists"]
    for part in [""] + _PARTS:
        rule = native.existing_rule("service_of_lists" + ("_" + part if part else ""))
        expected = {"tags": ["manual"], "testonly": True} | _OF_PARTS.get(part, {})
        expected |= {key: value for key, value in shared.items() if part or key not in _NOT_OF_ALIAS}
        if not part.endswith("test") and "exec_properties" in expected:
            expected["exec_properties"] = {"Pool": "large"}  # "test." is the prefix of properties of tests
        if part == "image":
            expected["target_compatible_with"] = expected["target_compatible_with"] + ["//toolchains/platforms:linux"]
        restricted = native.existing_rule("service_of_selects" + ("_" + part if part else ""))
        loadingtest.equals(tests, (part or "alias") + "_restricted_to", _SHARED["of_selects"]["restricted_to"], _value(restricted, "restricted_to"))
        loadingtest.equals(tests, part or "alias", expected, {key: _value(rule, key) for key in expected})
    _analyzed_test(name = name + "_analyzed", testonly = True)
