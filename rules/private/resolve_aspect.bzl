"""Resolves each required package of a lock with uv, once for all Bentos."""

load("//rules:providers.bzl", "BentoRequirementInfo")
load(":attributes.bzl", "label_string")
load(":helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper", "verb")
load(":providers.bzl", "BentoResolutionInfo")

def add_requirement(args, requirement):
    """Adds a BentoRequirementInfo and its platform to the arguments."""
    args.add("--requirement", requirement.distribution)
    if requirement.platform:
        args.add_all(["--platform", requirement.platform, "--python-version", requirement.python_version, "--glibc", requirement.glibc])

def add_resolver(args, toolchain):
    """Adds the resolver of the toolchain to the arguments."""
    args.add_all(["--uv", toolchain.uv, "--python", toolchain.python.interpreter or toolchain.python.interpreter_path])

def _resolved_aspect_impl(target, ctx):
    requirement = target[BentoRequirementInfo]

    # A wheel without packages of a package hub has no platform.
    if not requirement.platform:
        return []
    toolchain = ctx.toolchains[TOOLCHAIN_TYPE]
    answer = ctx.actions.declare_file(ctx.label.name + ".resolved.json")
    args = arguments(ctx)
    args.add("--target", label_string(ctx.label))
    add_requirement(args, requirement)
    args.add_all(requirement.packages, before_each = "--locked")
    add_resolver(args, toolchain)
    args.add("--output", answer)
    run_helper(
        ctx,
        mnemonic = "BentoResolve",
        progress_message = "Resolving %{label}",
        verb = verb(
            "resolve",
            args,
            inputs = depset([toolchain.uv], transitive = [requirement.packages]),
            packages = ["packaging"],
        ),
        outputs = [answer],
    )
    return [BentoResolutionInfo(answer = answer)]

resolve_aspect = aspect(
    implementation = _resolved_aspect_impl,
    doc = "Resolves a package of a lock with uv.",
    required_providers = [BentoRequirementInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
