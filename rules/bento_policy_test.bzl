"""Defines bento_policy_test, which fails where packages have known vulnerabilities, or licences that a policy does not take."""

load("//rules:providers.bzl", "BentoInfo")
load("//rules/private:attributes.bzl", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper", "verb")
load("//rules/private:launcher.bzl", "TEST_RUNTIME", "helper_launcher", "runfile", "runfile_path", "runtime_modules")
load("//rules/private:providers.bzl", "BentoImagePackagesInfo")
load("//rules/private:transitions.bzl", "metadata_plus_licenses_cfg")

_RATINGS = ["none", "low", "medium", "high", "critical"]

def _check(ctx):
    if bool(ctx.attr.bento) == bool(ctx.attr.image):
        fail("{}: set bento or image, one of them".format(ctx.label))
    if not (ctx.attr.advisories or ctx.attr.allow_licenses or ctx.attr.deny_licenses):
        fail("{}: holds packages against nothing: set advisories, allow_licenses or deny_licenses".format(ctx.label))
    if ctx.attr.allow and not ctx.attr.advisories:
        fail("{}: allow is of advisories, and there are none: set advisories".format(ctx.label))

def _contents(ctx):
    """Returns the packages in the lock, their wheels if licences are checked, and a part with requirements if there is no hub."""
    if ctx.attr.image:
        installed = ctx.attr.image[BentoImagePackagesInfo]
        return struct(packages = installed.packages, part = None, wheels = installed.wheels)
    by_mode = ctx.split_attr.bento
    stated = by_mode["metadata"][BentoInfo]
    requirements = by_mode.get("packages", by_mode["metadata"])[BentoInfo].requirements.to_list()  # those that its target names
    return struct(
        packages = depset(transitive = [requirement.packages for requirement in requirements]),
        part = None if requirements else stated.parts[0],
        wheels = depset(transitive = [requirement.wheels for requirement in requirements]),
    )

def _write_inventory(ctx):
    """Declares the file that says which packages there are."""
    contents = _contents(ctx)
    output = ctx.actions.declare_file(ctx.label.name + ".packages.json")
    licensed = ctx.attr.allow_licenses or ctx.attr.deny_licenses

    # The closure of a service is some dozens of wheels.
    wheels = [wheel.file for wheel in contents.wheels.to_list()] if licensed else []
    parts = [contents.part] if contents.part else []
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(contents.packages, before_each = "--locked")
    args.add_all(parts, before_each = "--part")
    args.add_all(wheels, before_each = "--wheel")
    args.add_all(["--output", output])
    run_helper(
        ctx,
        mnemonic = "BentoInventory",
        progress_message = "Listing the packages of %{label}",
        verb = verb(
            "inventory",
            args,
            inputs = depset(parts + wheels, transitive = [contents.packages]),
            packages = ["packaging"],
        ),
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
        arguments = [
            "--target",
            label_string(ctx.label),
            "--settings",
            runfile(ctx, settings),
            "--inventory",
            runfile(ctx, inventory),
        ],
        files = depset([settings, inventory] + ctx.files.advisories),
        in_runfiles = True,
        modules = runtime_modules(ctx, ["packaging", "pyyaml"]),
        verb = "check_policy",
    )
    return [
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles),
        testing.ExecutionInfo({"block-network": "1"}),
    ]

bento_policy_test = rule(
    implementation = _bento_policy_test_impl,
    doc = """Fails if a Bento or an image has packages with known vulnerabilities, or of licences that a policy does not take.

```starlark
bento_policy_test(
    name = "iris_policy_test",
    advisories = ["@osv_pypi//file"],
    allow = {"GHSA-h5c8-rqwp-cp95": "we render no templates of others"},
    deny_licenses = ["AGPL-*", "GPL-*"],
    image = ":iris_image",
    max_severity = "low",
)
```

The database is offline: files of OSV's format, as osv.dev has them for the ecosystem PyPI (`PyPI/all.zip`) and the advisory
database of PyPA has them. It needs no network, and is as new as what you give it. Judged are the Python packages of the
lock, and not those of Debian, models, further layers or the base ([more](../docs/security.md#vulnerabilities-and-licences)).""",
    attrs = {
        "advisories": attr.label_list(allow_files = [".json", ".yaml", ".yml", ".zip"], doc = "The database: OSV's records as JSON or YAML, zips of them, or folders that a rule makes."),
        "allow": attr.string_dict(doc = "Vulnerabilities that do no harm: identifier or alias of an advisory to the reason. An entry that allows nothing is refused."),
        "allow_licenses": attr.string_list(doc = "Licences that packages may have, and no others: identifiers of SPDX, with `*` for several; classifiers as they stand, `License :: …`; or `text:` and what METADATA has as License. Packages that state none are refused. Fetches the wheels, which state it."),
        "bento": attr.label(cfg = metadata_plus_licenses_cfg, doc = "The Bento; or `image`.", providers = [BentoInfo]),
        "deny_licenses": attr.string_list(doc = "Licences that no package may have, in the same way; of those that state none the test only says so."),
        "image": attr.label(doc = "The image; or `bento`.", providers = [BentoImagePackagesInfo]),
        "package_licenses": attr.string_dict(doc = "What somebody has found out: name of a package to an expression of SPDX, which counts instead of what it states."),
        "max_severity": attr.string(default = "none", doc = "The highest severity of a vulnerability that passes, of CVSS: `none` lets none pass that has a severity.", values = _RATINGS),
        "require_hashes": attr.bool(default = True, doc = "Whether packages are refused that the lock has no hash or commit of."),
        "unknown_severity": attr.string(default = "above", doc = "What counts for a vulnerability of which no severity is known: `above` all, or one of the values of `max_severity`.", values = ["above"] + _RATINGS),
    } | TEST_RUNTIME,
    test = True,
    toolchains = [TOOLCHAIN_TYPE],
)
