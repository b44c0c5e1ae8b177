"""Defines the toolchains of further Python versions, for tests, programs, and imports of services."""

load(":toolchain.bzl", "HELPER_PACKAGES", "bento_helper", "bento_helper_packages", "bento_runtime", "bento_toolchain")
load(":versions.bzl", "PLATFORM_CONSTRAINTS")

def python_toolchains(name, *, hub, python):
    """Declares the toolchains of a Python version. A configuration of this version selects them.

    Args:
      name: the version, `X_Y`.
      hub: name of the package hub with the helper's packages for the version.
      python: label of the interpreter.
    """
    helper, command, packages = ["{}_{}".format(part, name) for part in ("helper", "command", "packages")]
    bento_helper(name = helper, python = python)
    bento_helper(name = command, srcs = [Label("//py/bento_cli:sources")], python = python)
    bento_helper_packages(
        name = packages,
        helper = helper,
        packages = ["@{}//{}".format(hub, package) for package in HELPER_PACKAGES],
        python = python,
    )
    uv = Label("@bento_uv//:program")
    bento_toolchain(
        name = "of_import_" + name,
        complete_python = python,
        helper = helper,
        packages = packages,
        python = python,
        uv = uv,
    )
    bento_runtime(
        name = "of_runtime_" + name,
        command = command,
        helper = helper,
        packages = packages,
        python = python,
        uv = uv,
    )
    for platform, labels in PLATFORM_CONSTRAINTS.items():
        constraints = [Label(label) for label in labels]
        for kind in ("import", "runtime"):
            native.toolchain(
                name = "{}_{}_{}".format(platform, kind, name),
                exec_compatible_with = constraints if kind == "import" else [],
                target_compatible_with = constraints if kind == "runtime" else [],
                target_settings = [Label("//toolchains/platforms:python_" + name)],
                toolchain = "of_{}_{}".format(kind, name),
                toolchain_type = Label("//toolchains:{}_type".format(kind)),
            )
