"""Defines bento_policy_test, which fails for packages with rejected licenses or without hashes."""

load("//private:attributes.bzl", "label_string")
load("//private:helper.bzl", "TOOLCHAIN_TYPE", "subcommand", "target_arguments", "write_output")
load("//private:launcher.bzl", "TEST_RUNTIME", "helper_launcher", "runfile", "runtime_modules")
load("//private:providers.bzl", "BentoImagePackagesInfo")
load("//private:transitions.bzl", "metadata_plus_licenses_cfg")
load("//rules:providers.bzl", "BentoInfo")

def _check(ctx):
    if bool(ctx.attr.bento) == bool(ctx.attr.image):
        fail("{}: expected either bento or image. Set exactly one of these attributes.".format(label_string(ctx.label)))
    if not (ctx.attr.allow_licenses or ctx.attr.deny_licenses):
        fail("{}: the policy is empty. Set allow_licenses or deny_licenses.".format(label_string(ctx.label)))

def _contents(ctx):
    """Returns a struct of the packages to check, as Files and BentoWheelInfo.

    `packages` (lock entries) and `wheels` are depsets. `part` is None or, for a Bento without a package hub, the archive part with the requirements.
    """
    if ctx.attr.image:
        installed = ctx.attr.image[BentoImagePackagesInfo]
        return struct(packages = installed.packages, part = None, python_version = "", wheels = installed.wheels)
    by_mode = ctx.split_attr.bento
    stated = by_mode["metadata"][BentoInfo]
    requirements = by_mode.get("packages", by_mode["metadata"])[BentoInfo].requirements.to_list()  # only the direct requirements, so the list is short
    return struct(
        packages = depset(transitive = [requirement.packages for requirement in requirements]),
        part = None if requirements else stated.parts[0],
        python_version = stated.python_version,
        wheels = depset(transitive = [requirement.wheels for requirement in requirements]),
    )

def _write_inventory(ctx):
    """Declares the file that lists the packages to check. Returns its File."""
    contents = _contents(ctx)
    wheels = [wheel.file for wheel in contents.wheels.to_list()]  # only a few dozen wheels, so the list is short
    parts = [contents.part] if contents.part else []
    args = target_arguments(ctx)
    args.add_all(contents.packages, before_each = "--locked")
    args.add_all(parts, before_each = "--part")
    args.add("--python-version", contents.python_version)
    args.add_all(wheels, before_each = "--wheel")
    return write_output(
        ctx,
        ctx.actions.declare_file(ctx.label.name + ".packages.json"),
        mnemonic = "BentoInventory",
        progress_message = "Listing packages of %{label}",
        subcommand = subcommand("inventory", args, inputs = depset(parts + wheels, transitive = [contents.packages]), packages = ["packaging"]),
    )

def _bento_policy_test_impl(ctx):
    _check(ctx)
    inventory = _write_inventory(ctx)
    settings = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(settings, json.encode({
        "allow_licenses": ctx.attr.allow_licenses,
        "deny_licenses": ctx.attr.deny_licenses,
        "package_licenses": ctx.attr.package_licenses,
        "require_hashes": ctx.attr.require_hashes,
    }))
    launcher = helper_launcher(
        ctx,
        arguments = ["--target", label_string(ctx.label), "--settings", runfile(ctx, settings), "--inventory", runfile(ctx, inventory)],
        files = depset([settings, inventory]),
        in_runfiles = True,
        modules = runtime_modules(ctx, ["packaging"]),
        subcommand = "check_policy",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles), testing.ExecutionInfo({"block-network": "1"})]

bento_policy_test = rule(
    implementation = _bento_policy_test_impl,
    doc = """Tests that the packages of a Bento or an image have only allowed licenses, and hashes in the lock.

Experimental: a minor version can change this rule without an error for the old form.

```starlark
bento_policy_test(
    name = "iris_policy_test",
    deny_licenses = ["AGPL-*", "GPL-*"],
    image = ":iris_image",
)
```

The test checks the Python packages. Scanners find known vulnerabilities in the SBOM of an image
([how](../docs/security.md#licenses-and-vulnerabilities)).""",
    attrs = {
        "allow_licenses": attr.string_list(doc = "Allowed licenses: SPDX identifiers (`*` is a wildcard), classifiers (`License :: …`), or `text:` and the License field. Other licenses, or none, fail the test. Reading licenses fetches the wheels."),
        "bento": attr.label(cfg = metadata_plus_licenses_cfg, doc = "The Bento to test. Set either `bento` or `image`.", providers = [BentoInfo]),
        "deny_licenses": attr.string_list(doc = "Rejected licenses, as in `allow_licenses`. A package without a license is only a warning."),
        "image": attr.label(doc = "The image to test. Set either `bento` or `image`.", providers = [BentoImagePackagesInfo]),
        "package_licenses": attr.string_dict(doc = "Corrected licenses, from package to SPDX expression."),
        "require_hashes": attr.bool(default = True, doc = "Whether a package with neither a hash nor a commit in the lock fails the test."),
    } | TEST_RUNTIME,
    test = True,
    toolchains = [TOOLCHAIN_TYPE],
)
