"""Defines bento_policy_test, which fails for packages with known vulnerabilities or rejected licenses."""

load("//rules:providers.bzl", "BentoInfo")
load("//rules/private:attributes.bzl", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "run_helper", "target_arguments", "verb")
load("//rules/private:launcher.bzl", "TEST_RUNTIME", "helper_launcher", "runfile", "runfile_path", "runtime_modules")
load("//rules/private:providers.bzl", "BentoImagePackagesInfo")
load("//rules/private:transitions.bzl", "metadata_plus_licenses_cfg")

_RATINGS = ["none", "low", "medium", "high", "critical"]

def _check(ctx):
    if bool(ctx.attr.bento) == bool(ctx.attr.image):
        fail("{}: bento and image are both set or both empty. Set one of them.".format(ctx.label))
    if not (ctx.attr.advisories or ctx.attr.allow_licenses or ctx.attr.deny_licenses):
        fail("{}: the policy is empty. Set advisories, allow_licenses, or deny_licenses.".format(ctx.label))
    if ctx.attr.allow and not ctx.attr.advisories:
        fail("{}: allow requires advisories. Set advisories.".format(ctx.label))

def _contents(ctx):
    """Returns the locked packages, their wheels if the policy checks licenses, and a part with requirements if there is no package hub."""
    if ctx.attr.image:
        installed = ctx.attr.image[BentoImagePackagesInfo]
        return struct(packages = installed.packages, part = None, wheels = installed.wheels)
    by_mode = ctx.split_attr.bento
    stated = by_mode["metadata"][BentoInfo]
    requirements = by_mode.get("packages", by_mode["metadata"])[BentoInfo].requirements.to_list()  # only the target's own
    return struct(
        packages = depset(transitive = [requirement.packages for requirement in requirements]),
        part = None if requirements else stated.parts[0],
        wheels = depset(transitive = [requirement.wheels for requirement in requirements]),
    )

def _write_inventory(ctx):
    """Declares the file that lists the packages."""
    contents = _contents(ctx)
    output = ctx.actions.declare_file(ctx.label.name + ".packages.json")
    licensed = ctx.attr.allow_licenses or ctx.attr.deny_licenses

    # A service needs some dozens of wheels.
    wheels = [wheel.file for wheel in contents.wheels.to_list()] if licensed else []
    parts = [contents.part] if contents.part else []
    args = target_arguments(ctx)
    args.add_all(contents.packages, before_each = "--locked")
    args.add_all(parts, before_each = "--part")
    args.add_all(wheels, before_each = "--wheel")
    args.add_all(["--output", output])
    run_helper(
        ctx,
        mnemonic = "BentoInventory",
        progress_message = "Listing packages of %{label}",
        verb = verb("inventory", args, inputs = depset(parts + wheels, transitive = [contents.packages]), packages = ["packaging"]),
        outputs = [output],
    )
    return output

def _bento_policy_test_impl(ctx):
    _check(ctx)
    inventory = _write_inventory(ctx)
    settings = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(settings, json.encode({
        "advisories": [[runfile_path(ctx, file), file.short_path] for file in ctx.files.advisories],
        "allow": ctx.attr.allow,
        "allow_licenses": ctx.attr.allow_licenses,
        "deny_licenses": ctx.attr.deny_licenses,
        "package_licenses": ctx.attr.package_licenses,
        "max_severity": ctx.attr.max_severity,
        "require_hashes": ctx.attr.require_hashes,
        "unknown_severity": ctx.attr.unknown_severity,
    }))
    launcher = helper_launcher(
        ctx,
        arguments = ["--target", label_string(ctx.label), "--settings", runfile(ctx, settings), "--inventory", runfile(ctx, inventory)],
        files = depset([settings, inventory] + ctx.files.advisories),
        in_runfiles = True,
        modules = runtime_modules(ctx, ["packaging", "pyyaml"]),
        verb = "check_policy",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles), testing.ExecutionInfo({"block-network": "1"})]

bento_policy_test = rule(
    implementation = _bento_policy_test_impl,
    doc = """Tests that a Bento or an image has no packages with known vulnerabilities, and only allowed licenses.

```starlark
bento_policy_test(
    name = "iris_policy_test",
    advisories = ["@osv_pypi//file"],
    allow = {"GHSA-h5c8-rqwp-cp95": "we render only our own templates"},
    deny_licenses = ["AGPL-*", "GPL-*"],
    image = ":iris_image",
    max_severity = "low",
)
```

The database is offline: files in OSV's format, such as `PyPI/all.zip` of osv.dev and PyPA's advisory database. The test needs no network,
and is as current as the database. It checks the Python packages of the lock, and not Debian packages, models, additional layers, or the
base ([more](../docs/security.md)).""",
    attrs = {
        "advisories": attr.label_list(allow_files = [".json", ".yaml", ".yml", ".zip"], doc = "The database: OSV records as JSON or YAML, zip archives of them, or output directories of rules."),
        "allow": attr.string_dict(doc = "Vulnerabilities to ignore: identifier or alias of an advisory to the reason. An unused entry fails the test."),
        "allow_licenses": attr.string_list(doc = "The only licenses that packages may have: SPDX identifiers, with `*` as a wildcard; classifiers, `License :: …`; or `text:` and the License field of METADATA. Packages without a license fail the test. Fetches the wheels, which declare the license."),
        "bento": attr.label(cfg = metadata_plus_licenses_cfg, doc = "The Bento. Set this or `image`.", providers = [BentoInfo]),
        "deny_licenses": attr.string_list(doc = "Licenses that no package may have, in the form of `allow_licenses`. The test only warns about packages without a license."),
        "image": attr.label(doc = "The image. Set this or `bento`.", providers = [BentoImagePackagesInfo]),
        "package_licenses": attr.string_dict(doc = "Corrected licenses: package name to an SPDX expression, which replaces the package's own license."),
        "max_severity": attr.string(default = "none", doc = "Highest CVSS severity of a vulnerability that passes. `none` fails for any severity.", values = _RATINGS),
        "require_hashes": attr.bool(default = True, doc = "Whether packages without a hash or commit in the lock fail the test."),
        "unknown_severity": attr.string(default = "above", doc = "Severity to assume for vulnerabilities without one: `above` fails always, or one of the values of `max_severity`.", values = ["above"] + _RATINGS),
    } | TEST_RUNTIME,
    test = True,
    toolchains = [TOOLCHAIN_TYPE],
)
