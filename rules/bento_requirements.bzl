"""Defines bento_requirements, which declares a program that writes a lock of Python packages, and a test of the
lock."""

load("//private:attributes.bzl", "label_string", "path_in_package")
load("//private:indexes.bzl", "INDEX_ATTRIBUTES", "encode_indexes")
load(
    "//private:launcher.bzl",
    "RUN_RUNTIME",
    "TEST_RUNTIME",
    "helper_launcher",
    "runtime",
    "runtime_modules",
)
load("//private:lock_subset.bzl", "pip_tools", "pip_tools_modules")
load("//private:wheels_flag.bzl", "ON_HOST", "common_cfg")
load("//rules:providers.bzl", "BentoRequirementInfo")

# Third-party packages that the helper's subcommands for locks import.
_PACKAGES = ["packaging", "pyyaml", "tomli"]

def _launcher(ctx, subcommand, flags, modules = []):
    """Declares a program that runs a subcommand for locks. Returns the DefaultInfo of the program."""
    sources = {"--constraint": ctx.files.constraints, "--override": ctx.files.overrides, "--source": ctx.files.srcs}
    launcher = helper_launcher(
        ctx,
        subcommand,
        {"--requires-python": ctx.attr.requires_python} | flags | {
            "--extra": ctx.attr.extras,
            "--group": ctx.attr.groups,
            "--platform": ctx.attr.platforms,
            "--indexes": encode_indexes(ctx.attr) or None,
        } | {flag: [(file, file.short_path) for file in files] for flag, files in sources.items()},
        modules = runtime_modules(ctx, _PACKAGES) + modules,
    )
    return DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)

def _update_impl(ctx):
    return _launcher(ctx, "update_requirements", {
        "--lock": path_in_package(ctx, "lock"),
        "--uv": runtime(ctx).uv,
        "--resolver": ctx.attr.resolver,
    }, pip_tools_modules(ctx))

def _test_impl(ctx):
    return [
        _launcher(ctx, "check_requirements", {
            "--update": label_string(ctx.label).removesuffix("_test") + ".update",
            "--lock": (ctx.file.lock, ctx.file.lock.short_path),
        }),
        testing.ExecutionInfo({"block-network": "1"}),
    ]

_ATTRIBUTES = {
    "constraints": attr.label_list(allow_files = [".in", ".txt"]),
    "extras": attr.string_list(),
    "groups": attr.string_list(),
    "overrides": attr.label_list(allow_files = [".in", ".txt"]),
    "platforms": attr.string_list(),
    "requires_python": attr.string(),
    "srcs": attr.label_list(allow_files = [".in", ".txt", ".toml", ".yaml", ".yml"], mandatory = True),
} | INDEX_ATTRIBUTES

bento_requirements_update = rule(
    implementation = _update_impl,
    doc = "Writes a lock of Python packages into the source tree.",
    attrs = _ATTRIBUTES | ON_HOST | RUN_RUNTIME | {
        "lock": attr.string(mandatory = True),
        "resolver": attr.string(default = "uv", values = ["pip-tools", "uv"]),
        "_pip_tools": attr.label_list(cfg = common_cfg, default = pip_tools, providers = [BentoRequirementInfo]),
    },
    executable = True,
)

bento_requirements_test = rule(
    implementation = _test_impl,
    doc = "Tests that a lock satisfies the requirements.",
    attrs = _ATTRIBUTES | TEST_RUNTIME | {"lock": attr.label(allow_single_file = [".json"], mandatory = True)},
    test = True,
)

def bento_requirements(
        name,
        *,
        srcs,
        lock = None,
        constraints = [],
        explicit = {},
        extras = ["*"],
        find_links = [],
        groups = ["*"],
        index_url = "",
        indexes = [],
        no_index = False,
        overrides = [],
        platforms = [],
        requires_python = ">=3.10",
        resolver = "uv",
        trusted_hosts = [],
        **kwargs):
    """Resolves requirements.

    `<name>.update` writes a lock for `bento.pypi`, and `<name>_test` tests the lock.

    ```starlark
    bento_requirements(
        name = "requirements",
        srcs = ["requirements.in"],
    )
    ```

    `bazel run //:requirements.update` writes requirements.lock.json, and keeps locked versions that satisfy the
    requirements. `-- --upgrade` selects the
    newest version of each package, `-- --upgrade-package NAME` of this package. `-- --from-bentofile FILE` first
    appends the packages of a bentofile to
    the requirements file. `requirements_test` fails, without a network, if the lock is stale.

    Args:
      name: prefix of the names of the targets.
      srcs: requirements files, including those that `-r` and `-c` name, pyproject.toml, or bentofile.yaml.
      lock: path of the lock, relative to this package. Default: `<name>.lock.json`.
      constraints: requirements files that only limit versions (`pip install -c`).
      explicit: as in `bento.pypi`.
      extras: extras of pyproject.toml to lock.
      find_links: as in `bento.pypi`.
      groups: dependency groups of pyproject.toml to lock.
      index_url: as in `bento.pypi`.
      indexes: as in `bento.pypi`.
      no_index: as in `bento.pypi`.
      overrides: requirements files that override wrong requirements of packages (`uv pip compile --override`).
      platforms: as in `bento.pypi`.
      requires_python: Python versions that the lock must support.
      resolver: `uv`, or `pip-tools` if a policy requires that pip selects the versions. pip selects them for this
        machine; uv adds hashes, and packages
        that only other platforms require.
      trusted_hosts: as in `bento.pypi`.
      **kwargs: common attributes of both targets.
    """
    lock = lock or name + ".lock.json"
    shared = kwargs | {
        "constraints": constraints,
        "explicit": explicit,
        "extras": extras,
        "find_links": find_links,
        "groups": groups,
        "index_url": index_url,
        "indexes": indexes,
        "lock": lock,
        "no_index": no_index,
        "overrides": overrides,
        "platforms": platforms,
        "requires_python": requires_python,
        "srcs": srcs,
        "trusted_hosts": trusted_hosts,
    }
    bento_requirements_update(name = name + ".update", resolver = resolver, **shared)
    bento_requirements_test(name = name + "_test", **shared)
