"""The step that finds out which locked packages a Bento needs."""

load("//rules:providers.bzl", "BentoRequirementInfo")
load(":attributes.bzl", "label_string")
load(":helper.bzl", "TOOLCHAIN_TYPE", "add_directories", "arguments", "verb")
load(":providers.bzl", "BentoResolutionInfo")
load(":resolve_aspect.bzl", "add_requirement", "add_resolver")

def _pip_tools(resolver):
    """Returns the label of pip-tools for a target that asks for it, so that others do not fetch it."""
    return Label("@bento_tools//pip_tools") if resolver == "pip-tools" else None

# Attributes of rules that lock a slice.
RESOLVER = {
    "resolver": attr.string(
        default = "uv",
        doc = "What works the slice of the lock out: `uv`, or `pip-tools` where a policy asks for it. The result is the same; pip-tools takes longer, and knows only the platform and the Python that it runs on.",
        values = ["pip-tools", "uv"],
    ),
    "_pip_tools": attr.label(cfg = "exec", default = _pip_tools, providers = [BentoRequirementInfo]),
}

def lock_subset(ctx, *, requirements, packages, pins, stated, all_files):
    """Declares what a Bento's `env/python` is made of, and describes how that is written.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains, the attributes of `RESOLVER`, and `requirements`
        with `resolve_aspect`.
      requirements: list of BentoRequirementInfo, of one hub.
      packages: list of requirement strings (PEP 508) beside them.
      pins: depset of `name==version` that the lock has to agree with.
      stated: File with what is known of the service, which tells what bentofile and image ask for beside them; or None.
      all_files: whether the hashes are of all files of a release, not only of those for the platform.

    Returns:
      A struct of `locked`, a File with the requirements in the three forms that a Bento has, and of `step`, for `run_steps`.
    """
    toolchain = ctx.toolchains[TOOLCHAIN_TYPE]
    output = ctx.actions.declare_file(ctx.label.name + ".locked.json")

    # Two or three packages of the helper's, and only for those locks that need them.
    pip_tools = ctx.attr._pip_tools[BentoRequirementInfo].modules.to_list() if ctx.attr._pip_tools else []

    # What uv said of each package alone (BentoResolve), and what the lock has of its closure. pip-tools is not asked package by
    # package, so these do not count for it.
    answered = [] if pip_tools else [target for target in ctx.attr.requirements if BentoResolutionInfo in target]
    answers = [target[BentoResolutionInfo].answer for target in answered]
    of_answers = [target[BentoRequirementInfo] for target in answered]
    locked = depset(transitive = [requirement.packages for requirement in requirements if requirement not in of_answers])
    args = arguments(ctx)
    args.add("--target", label_string(ctx.label))
    for requirement in requirements:
        add_requirement(args, requirement)
    args.add_all(packages, before_each = "--package")
    args.add_all(pins, before_each = "--pin")
    if stated:
        args.add("--stated", stated)
    args.add_all(locked, before_each = "--locked")
    add_resolver(args, toolchain)
    add_directories(args, "--pip-tools", pip_tools)
    args.add_all(answers, before_each = "--answer")
    if all_files:
        args.add("--all-files")
    args.add("--output", output)
    step = struct(
        step_inputs = [stated] if stated else [],
        outputs = [output],
        verb = verb(
            "lock",
            args,
            inputs = depset([toolchain.uv] + answers, transitive = [locked] + [module.files for module in pip_tools]),
            packages = ["packaging"],
        ),
    )
    return struct(locked = output, step = step)

def hub_requirements(targets):
    """Returns the packages of a hub among the targets of an attribute.

    Args:
      targets: list of Target.

    Returns:
      A list of BentoRequirementInfo.
    """
    return [target[BentoRequirementInfo] for target in targets if BentoRequirementInfo in target]
