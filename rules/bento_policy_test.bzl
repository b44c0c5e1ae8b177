"""Defines bento_policy_test, which fails for packages with known vulnerabilities or rejected licenses."""

load("//private:attributes.bzl", "label_string")
load("//private:helper.bzl", "TOOLCHAIN_TYPE", "run_helper", "subcommand", "target_arguments", "write_output")
load("//private:launcher.bzl", "TEST_RUNTIME", "helper_launcher", "runfile", "runtime_modules")
load("//private:providers.bzl", "BentoImagePackagesInfo")
load("//private:transitions.bzl", "metadata_plus_licenses_cfg")
load("//rules:providers.bzl", "BentoInfo")

# Third-party packages that the helper imports.
_PACKAGES = ["packaging", "pyyaml"]
_RATINGS = ["none", "low", "medium", "high", "critical"]

def _check(ctx):
    if bool(ctx.attr.bento) == bool(ctx.attr.image):
        fail("{}: expected either bento or image. Set exactly one of these attributes.".format(label_string(ctx.label)))
    if not (ctx.attr.advisories or ctx.attr.allow_licenses or ctx.attr.deny_licenses):
        fail("{}: the policy is empty. Set advisories, allow_licenses, or deny_licenses.".format(label_string(ctx.label)))
    for name in ("allow", "date", "vex"):
        if getattr(ctx.attr, name) and not ctx.attr.advisories:
            fail("{0}: {1} requires advisories. Set advisories, or remove {1}.".format(label_string(ctx.label), name))

def _contents(ctx):
    """Returns a struct of the packages to check, as Files and BentoWheelInfo.

    `packages` (lock entries) and `wheels` are depsets. `part` is None or, for a Bento without a package hub, the archive part with the requirements.
    `debs` and `system` are lists of Files with the system packages of an image.
    """
    if ctx.attr.image:
        installed = ctx.attr.image[BentoImagePackagesInfo]
        return struct(debs = installed.debs, packages = installed.packages, part = None, system = [installed.system] if installed.system else [], wheels = installed.wheels)
    by_mode = ctx.split_attr.bento
    stated = by_mode["metadata"][BentoInfo]
    requirements = by_mode.get("packages", by_mode["metadata"])[BentoInfo].requirements.to_list()  # only the direct requirements, so the list is short
    return struct(
        debs = [],
        packages = depset(transitive = [requirement.packages for requirement in requirements]),
        part = None if requirements else stated.parts[0],
        system = [],
        wheels = depset(transitive = [requirement.wheels for requirement in requirements]),
    )

def _write_inventory(ctx):
    """Declares the file that lists the packages to check. Returns its File."""
    contents = _contents(ctx)
    licensed = ctx.attr.allow_licenses or ctx.attr.deny_licenses

    # Only a few dozen wheels, so the list is short.
    wheels = [wheel.file for wheel in contents.wheels.to_list()] if licensed else []
    parts = [contents.part] if contents.part else []
    args = target_arguments(ctx)
    args.add_all(contents.packages, before_each = "--locked")
    args.add_all(parts, before_each = "--part")
    args.add_all(wheels, before_each = "--wheel")
    if ctx.attr.image:
        args.add("--image")
    args.add_all(contents.debs, before_each = "--index")
    args.add_all(contents.system, before_each = "--base-system")
    return write_output(
        ctx,
        ctx.actions.declare_file(ctx.label.name + ".packages.json"),
        mnemonic = "BentoInventory",
        progress_message = "Listing packages of %{label}",
        subcommand = subcommand("inventory", args, inputs = depset(parts + wheels + contents.debs + contents.system, transitive = [contents.packages]), packages = ["packaging"]),
    )

def _write_sarif(ctx, settings, inventory):
    """Declares the SARIF report for code hosts. The action succeeds even if the report contains findings. Returns the report's File."""
    output = ctx.actions.declare_file(ctx.label.name + ".sarif")
    args = target_arguments(ctx)
    args.add_all(["--settings", settings, "--inventory", inventory])
    for flag, file in _documents(ctx):
        args.add_all([flag, file, file.short_path], expand_directories = False)

    # ctx.build_file_path is deprecated, and a later version of Bazel might remove it.
    path = getattr(ctx, "build_file_path", "") or "/".join([part for part in (ctx.label.package, "BUILD.bazel") if part])
    args.add_all(["--path", path, "--sarif", output])
    run_helper(
        ctx,
        mnemonic = "BentoSarif",
        progress_message = "Writing findings of %{label}",
        subcommand = subcommand("check_policy", args, inputs = depset([settings, inventory] + ctx.files.advisories + ctx.files.vex), packages = _PACKAGES),
        outputs = [output],
    )
    return output

def _documents(ctx):
    """Returns pairs of a flag and a File for the advisories and VEX documents of the policy."""
    return [("--advisories", file) for file in ctx.files.advisories] + [("--vex", file) for file in ctx.files.vex]

def _bento_policy_test_impl(ctx):
    _check(ctx)
    inventory = _write_inventory(ctx)
    settings = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(settings, json.encode({
        "allow": ctx.attr.allow,
        "date": ctx.attr.date,
        "allow_licenses": ctx.attr.allow_licenses,
        "deny_licenses": ctx.attr.deny_licenses,
        "package_licenses": ctx.attr.package_licenses,
        "max_severity": ctx.attr.max_severity,
        "require_hashes": ctx.attr.require_hashes,
        "unknown_severity": ctx.attr.unknown_severity,
    }))
    launcher = helper_launcher(
        ctx,
        arguments = ["--target", label_string(ctx.label), "--settings", runfile(ctx, settings), "--inventory", runfile(ctx, inventory)] + [
            word
            for flag, file in _documents(ctx)
            for word in (flag, runfile(ctx, file), file.short_path)
        ],
        files = depset([settings, inventory] + ctx.files.advisories + ctx.files.vex),
        in_runfiles = True,
        modules = runtime_modules(ctx, _PACKAGES),
        subcommand = "check_policy",
    )
    return [
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles),
        OutputGroupInfo(sarif = depset([_write_sarif(ctx, settings, inventory)])),
        testing.ExecutionInfo({"block-network": "1"}),
    ]

bento_policy_test = rule(
    implementation = _bento_policy_test_impl,
    doc = """Tests that the packages of a Bento or an image have no known vulnerabilities, and have only allowed licenses.

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

The test checks the Python packages and, for an image, the Debian packages of a `bento_base`, but no models or other layers
([more](../docs/security.md)). The result depends on the age of the advisories. Output group: `sarif` (findings in SARIF format).""",
    attrs = {
        "advisories": attr.label_list(allow_files = [".json", ".yaml", ".yml", ".zip"], doc = "Advisories in the OSV format, such as `PyPI/all.zip` of osv.dev: JSON, YAML, or zip files, or directories."),
        "allow": attr.string_dict(doc = "Vulnerabilities to ignore, from ID or alias to a reason. An entry without a vulnerability fails the test."),
        "allow_licenses": attr.string_list(doc = "Allowed licenses: SPDX identifiers (`*` is a wildcard), classifiers (`License :: …`), or `text:` and the License field. Other licenses, or none, fail the test. Reading licenses fetches the wheels."),
        "bento": attr.label(cfg = metadata_plus_licenses_cfg, doc = "The Bento to test. Set either `bento` or `image`.", providers = [BentoInfo]),
        "date": attr.string(doc = "Date (`YYYY-MM-DD`) to compare with expiry dates in `vex`. Default: the latest modification in `advisories`."),
        "deny_licenses": attr.string_list(doc = "Rejected licenses, as in `allow_licenses`. A package without a license is only a warning."),
        "image": attr.label(doc = "The image to test. Set either `bento` or `image`.", providers = [BentoImagePackagesInfo]),
        "package_licenses": attr.string_dict(doc = "Corrected licenses, from package to SPDX expression."),
        "max_severity": attr.string(default = "none", doc = "Highest CVSS severity to allow. `none` allows only a score of 0.", values = _RATINGS),
        "require_hashes": attr.bool(default = True, doc = "Whether a package with neither a hash nor a commit in the lock fails the test."),
        "unknown_severity": attr.string(default = "above", doc = "Severity of vulnerabilities without a rating. `above` exceeds each limit.", values = ["above"] + _RATINGS),
        "vex": attr.label_list(allow_files = [".json"], doc = "OpenVEX documents. Statements with the status `not_affected` or `fixed` exempt a package until the date in `status_notes` (`expires: YYYY-MM-DD`), which is required."),
    } | TEST_RUNTIME,
    test = True,
    toolchains = [TOOLCHAIN_TYPE],
)
