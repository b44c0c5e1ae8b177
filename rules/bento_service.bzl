"""Defines bento_service, a macro that declares the targets that most services need: Bento, test, image, and push."""

load("//rules:bento_image.bzl", "bento_image")
load("//rules:bento_image_index.bzl", "bento_image_index")
load("//rules:bento_package.bzl", "bento_package")
load("//rules:bento_push.bzl", "bento_push")
load("//rules:bento_test.bzl", "bento_test")
load("//rules:bento_venv.bzl", "bento_venv")

# Attributes of bento_package that apply to all targets. An alias has the compatibility of its target.
_OF_ALIAS = ["compatible_with", "deprecation", "restricted_to", "tags", "testonly", "visibility"]
_SHARED = _OF_ALIAS + ["exec_compatible_with", "exec_properties", "features", "target_compatible_with"]

# Prefix of the keys of exec_properties for the action of a test.
_OF_TEST_ACTION = "test."

# Builds for macOS skip images, and targets that use images. An alias of the constraint, which users can also set.
_LINUX = Label("//toolchains/platforms:linux")

def _common_attributes(attributes):
    """Returns the attributes of all targets, of all tests, and of the Bento.

    Only tests have `exec_properties` of the action of a test.
    """
    shared = {key: attributes[key] for key in _SHARED if attributes.get(key) != None}
    properties = shared.get("exec_properties")
    if type(properties) != "dict":
        return shared, shared, attributes
    others = {
        "exec_properties": {key: value for key, value in properties.items() if not key.startswith(_OF_TEST_ACTION)},
    }
    return shared | others, shared, attributes | others

def bento_service(
        name,
        *,
        base = None,
        flaky = None,
        platform = None,
        platforms = [],
        remote_tags = [],
        repositories = [],
        size = None,
        test_env = None,
        test_requirements = [],
        test_srcs = [],
        test_tags = [],
        timeout = None,
        **kwargs):
    """Declares the targets that most services need: a Bento, a test, a development environment, images, and a push.

    ```starlark
    bento_service(
        name = "iris",
        srcs = ["service.py"],
        base = "//base:python",
        repositories = ["registry.example.com/iris"],
        requirements = ["@pypi//bentoml", "@pypi//scikit_learn"],
        service = "service:IrisClassifier",
        test_requirements = ["@pypi//pytest"],
        test_srcs = ["iris_test.py"],
    )
    ```

    For other attributes of a target, or other targets, declare the rule, and refer to `:<name>_bento`,
    `:<name>_image`, or `:<name>_images`.

    Args:
      name: name of an alias of `<name>_bento`, and prefix of the names of all targets.
      base: image base. Declares `<name>_image` for Linux.
      flaky: whether Bazel repeats failed tests.
      platform: target platform of the Bento and the image.
      platforms: platforms, such as `@rules_bento//toolchains/platforms:linux_amd64`. Declares `<name>_images`.
      remote_tags: tags that `<name>_push` sets.
      repositories: repositories in registries. Declares `<name>_push` of the index, the image, or the Bento: the first
        that exists.
      size: size of the tests, such as `small`.
      test_env: environment variables of `<name>_test`.
      test_requirements: packages of the tests, such as `@pypi//pytest`.
      test_srcs: files of the tests. Declares `<name>_test`, and `<name>_venv` with the packages of service and tests.
      test_tags: tags of the tests, in addition to `tags`.
      timeout: timeout of the tests, such as `long`.
      **kwargs: attributes of `<name>_bento`. Common attributes, such as `tags` and `exec_properties`, apply to all
        targets.
    """
    if platforms and not base:
        fail("bento_service(name = \"{}\"): platforms requires an image. Set base.".format(name))
    if (test_env or test_requirements) and not test_srcs:
        fail(
            "bento_service(name = \"{}\"): {} requires tests. Set test_srcs.".format(
                name,
                "test_requirements" if test_requirements else "test_env",
            ),
        )
    if type(base) == "string" and ":" in base and base[0] not in ":/@":
        fail(("bento_service(name = \"{}\"): base is the label of a target, not the name of an image ({}). Pull the " +
              "image with bento_files.base, or declare a bento_base (docs/base-images.md).").format(name, base))
    of_tests = {
        key: value
        for key, value in {"flaky": flaky, "size": size, "timeout": timeout}.items()
        if value != None
    }
    if (of_tests or test_tags) and not test_srcs:
        fail(
            "bento_service(name = \"{}\"): {} requires tests. Set test_srcs.".format(
                name,
                (list(of_tests) + ["test_tags"])[0],
            ),
        )
    if remote_tags and not repositories:
        fail("bento_service(name = \"{}\"): remote_tags requires a push. Set repositories.".format(name))
    shared, shared_by_tests, kwargs = _common_attributes(kwargs)
    of_tests |= shared_by_tests | {"python_version": kwargs.get("python_version")} | (
        {"tags": shared.get("tags", []) + test_tags} if test_tags else {}
    )
    bento, delivered = [":{}_bento".format(name)] * 2
    bento_package(name = name + "_bento", platform = platform, **kwargs)
    native.alias(name = name, actual = bento, **{key: value for key, value in shared.items() if key in _OF_ALIAS})
    if test_srcs:
        bento_test(
            name = name + "_test",
            srcs = test_srcs,
            bento = bento,
            env = test_env,
            requirements = test_requirements,
            **of_tests
        )
        bento_venv(
            name = name + "_venv",
            bento = bento,
            python_version = kwargs.get("python_version"),
            requirements = test_requirements,
            **shared
        )
    if base:
        delivered = ":{}_image".format(name)
        for_linux = shared | {"target_compatible_with": shared.get("target_compatible_with", []) + [_LINUX]}
        bento_image(name = name + "_image", base = base, bento = bento, platform = platform, **for_linux)
    if platforms:
        bento_image_index(name = name + "_images", image = delivered, platforms = platforms, **shared)
        delivered = ":{}_images".format(name)
    if repositories:
        bento_push(
            name = name + "_push",
            src = delivered,
            remote_tags = remote_tags,
            repositories = repositories,
            **shared
        )
