"""Defines lock_subset, which describes the step that selects the locked packages of a Bento."""

load("//rules:providers.bzl", "BentoRequirementInfo")
load(":helper.bzl", "NATIVE", "TOOLCHAIN_TYPE", "import_roots", "named_only", "read_files", "run_leaf", "subcommand")
load(":installed_wheel_aspect.bzl", "check_layouts", "has_installed", "requirement_of")
load(":providers.bzl", "BentoInstalledWheelInfo", "BentoResolutionInfo", "BentoSourcesInfo")

# Of packages of rules_python, whose wheels rules_python selects.
_GLIBC = "2.28"

def pip_tools(resolver):
    """Returns a list of the label of pip-tools if `resolver` is `pip-tools`, or an empty list.

    Other targets therefore don't fetch pip-tools.
    """
    return [Label("@bento_tools//pip_tools")] if resolver == "pip-tools" else []

def pip_tools_modules(ctx):
    """Returns the list of packages (BentoWheelModulesInfo) of the attribute `_pip_tools`."""

    # pip-tools has a few dependencies.
    return [module for target in ctx.attr._pip_tools for module in target[BentoRequirementInfo].modules.to_list()]

# Attributes of rules that select a subset of a lock. pip-tools supports only the target platform. The rules have
# `IMPORT_GROUP`.
RESOLVER = {
    "resolver": attr.string(
        default = "uv",
        doc = "Resolver that selects the Bento's packages from the lock: `uv` (default), or `pip-tools` if a " +
              "policy requires pip. Both select the same packages. pip-tools needs seconds, and a build machine " +
              "with the platform and Python version of the Bento.",
        values = ["pip-tools", "uv"],
    ),
    "_pip_tools": attr.label_list(cfg = config.exec(NATIVE), default = pip_tools, providers = [BentoRequirementInfo]),
}

def lock_subset(ctx, *, requirements, specifiers, pins, service, hashes = None):
    """Declares the file of requirements for a Bento's `env/python`, and the step that writes it.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains, the attributes `RESOLVER`, and an attribute
        `requirements` with `resolve_aspect`.
      requirements: list of BentoRequirementInfo, all from one kind of package hub.
      specifiers: list of additional requirement specifiers (PEP 508).
      pins: depset of `name==version` or `name`: packages that the lock must contain, in this version if specified.
      service: File with the service metadata, including the requirements in the bentofile and the image; or None.
      hashes: File, the lock of a package hub of rules_python; None for packages of `bento.pypi`.

    Returns:
      A struct of `locked` (JSON File: root packages, and pins with and without hashes) and `step` (for `run_steps`).
    """
    modules = pip_tools_modules(ctx)

    # The inputs are uv's results for single packages (BentoResolve), and the lock entries of other packages. pip-tools
    # resolves all packages together, and doesn't use these results.
    resolved = [] if modules else [target for target in ctx.attr.requirements if BentoResolutionInfo in target]
    resolved_requirements = [target[BentoRequirementInfo] for target in resolved]
    locked = [requirement.packages for requirement in requirements if requirement not in resolved_requirements]
    step = subcommand(
        ctx,
        "lock",
        requirement_flags(requirements) | resolver_flags(ctx.toolchains[TOOLCHAIN_TYPE]) | {
            "--answer": [target[BentoResolutionInfo].answer for target in resolved],
            "--declared-packages": service,
            "--hashes": (hashes, hashes.short_path) if hashes else None,
            "--locked": read_files(depset(transitive = locked)),
            "--package": specifiers,
            "--pin": named_only(pins),
            "--pip-tools": import_roots(modules),
        },
        outputs = {"--output": ".locked.json"},
        packages = ["packaging"],
    )
    return struct(locked = step.outputs[0], step = step)

def hub_requirements(targets):
    """Returns the list of BentoRequirementInfo of packages in `targets`, without requirements files."""
    return [requirement_of(target) for target in targets if requirement_of(target)]

def requested_packages(ctx):
    """Returns the BentoRequirementInfo in `requirements`, and depsets of those in `deps`.

    All come from the same kind of package hub.
    """
    own = hub_requirements(ctx.attr.requirements)
    if has_installed(own):
        check_layouts(ctx, ctx.attr.deps + ctx.attr.requirements)
    installed = [dep[BentoInstalledWheelInfo].requirements for dep in ctx.attr.deps] if has_installed(own) else []
    return own, [dep[BentoSourcesInfo].requirements for dep in ctx.attr.deps] + installed

def requirement_flags(requirements):
    """Returns the flags for a list of BentoRequirementInfo and their targets.

    A target consists of platform, Python version, and glibc version. Not all requirements have one.
    """
    targets = [requirement for requirement in requirements if requirement.platform]
    return {
        "--glibc": [requirement.glibc or _GLIBC for requirement in targets],
        "--platform": [requirement.platform for requirement in targets],
        "--python-version": [requirement.python_version for requirement in targets],
        "--requirement": [requirement.distribution for requirement in requirements],
    }

def resolver_flags(toolchain):
    """Returns the flags for uv and the interpreter of the toolchain."""
    return {"--python": toolchain.python.interpreter or toolchain.python.interpreter_path, "--uv": toolchain.uv}

def _resolved_aspect_impl(target, ctx):
    requirement = target[BentoRequirementInfo]

    # A wheel that requires no packages of a package hub has no platform.
    if not requirement.platform:
        return []
    [answer] = run_leaf(
        ctx,
        "resolve",
        requirement_flags([requirement]) | resolver_flags(ctx.toolchains[TOOLCHAIN_TYPE]) | {
            "--locked": read_files(requirement.packages),
        },
        mnemonic = "BentoResolve",
        outputs = {"--output": ".resolved.json"},
        packages = ["packaging"],
        progress_message = "Resolving %{label}",
    )
    return [BentoResolutionInfo(answer = answer)]

# Resolves a locked package with uv.
resolve_aspect = aspect(
    implementation = _resolved_aspect_impl,
    required_providers = [BentoRequirementInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
