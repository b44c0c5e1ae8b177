"""The action that imports a service for its facts."""

load("//rules/providers:service_metadata.bzl", "BentoFactsInfo")
load(":attributes.bzl", "add_pairs", "label_text")
load(":helper.bzl", "TOOLCHAIN_TYPE", "add_folders", "arguments", "run_helper", "verb")
load(":interpreter.bzl", "check_interpreter")
load(":snapshot.bzl", "bentofile_arguments", "environment_of", "file_options")

IMPORT = "import"
READ = "read"

# Attributes of rules that read or import a service.
FACTS = {
    "facts": attr.string(
        default = READ,
        doc = """Where the facts of the service come from: `read`, from its source, which needs no package; or `import`, from importing it in the
sandbox with the wheels of `requirements`, for services whose decorators compute what a source does not state. The Bento has BentoML's `schema` and `apis/` then, too.""",
        values = [IMPORT, READ],
    ),
    "facts_env": attr.string_dict(doc = "Environment variables of an import; it has no others of its user's."),
}

def check_facts(ctx, locked):
    """Refuses an import without packages of a hub, and attributes that it would not use.

    Args:
      ctx: context of bento_package.
      locked: list of BentoRequirementInfo that the Bento locks.
    """
    if ctx.attr.facts == READ:
        return
    if not locked:
        fail("{}: facts = \"import\" imports the service with the packages of a hub. Name them in requirements, bentoml among them".format(ctx.label))
    for name in ["service_config", "service_models", "services", "stated_in_full"]:
        if getattr(ctx.attr, name):
            fail("{}: {} is for a service that is read; facts = \"import\" finds all of it itself. Remove one of the two".format(ctx.label, name))

def facts_info(ctx, *, snapshot, models, parts, made_of):
    """Describes how the service is imported, for whoever does it.

    Args:
      ctx: context of bento_package.
      snapshot: what `read_sources` returned.
      models: list of BentoModelInfo.
      parts: list of Files: the parts of the archive with sources and data.
      made_of: `made_of` of what `describe_metadata` returned, or None where the Bento is not yet put together.

    Returns:
      A BentoFactsInfo.
    """
    options, environment = file_options(ctx), environment_of(ctx)
    if ctx.attr.bento_args:
        options["args"] = ctx.attr.bento_args
    args = arguments(ctx)
    args.add_all(bentofile_arguments(ctx))
    args.add_all(environment.arguments)
    if options:
        args.add("--options", json.encode(options))
    for file in ctx.files.arg_file:
        args.add_all(["--arg-file", file, file.short_path])
    for model in models:
        args.add_all(["--model", model.description, model.archive_part, model.alias])
    args.add_all(parts, before_each = "--part")
    args.add("--service-info", snapshot.service)
    add_pairs(args, "--variable", ctx.attr.facts_env)
    return BentoFactsInfo(
        import_arguments = args,
        import_inputs = depset(
            [snapshot.service] + parts + ctx.files.bentofile + ctx.files.arg_file +
            environment.inputs +
            [file for model in models for file in (model.description, model.archive_part)],
        ),
        package_arguments = made_of.arguments if made_of else None,
        package_inputs = made_of.inputs if made_of else None,
        package_packages = made_of.packages if made_of else None,
    )

def import_facts(ctx, facts, requirements, *, states_packages = False):
    """Declares the facts of a service, and the action that imports it for them.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      facts: BentoFactsInfo of the Bento.
      requirements: list of BentoRequirementInfo with their modules.
      states_packages: whether it is to tell which packages bentofile and image ask for, which a lock has to give.

    Returns:
      A File: what is known of the service.
    """
    check_interpreter(ctx, ctx.toolchains[TOOLCHAIN_TYPE].python, requirements)

    # The closure of a service is some dozens of wheels.
    modules = depset(transitive = [info.modules for info in requirements]).to_list()
    service = ctx.actions.declare_file(ctx.label.name + ".service.json")
    args = arguments(ctx)
    args.add("--target", label_text(ctx.label))
    args.add_all(depset([info.platform for info in requirements if info.platform]), before_each = "--platform")
    add_folders(args, "--root", modules)
    args.add("--output", service)
    if states_packages:
        args.add("--states-packages")
    run_helper(
        ctx,
        mnemonic = "BentoFacts",
        progress_message = "Importing the service of %{label} for its facts",
        verb = verb(
            "facts",
            [facts.import_arguments, args],
            inputs = depset(transitive = [facts.import_inputs] + [module.files for module in modules]),
            packages = ["pyyaml"],
            sandboxed = True,
        ),
        outputs = [service],
    )
    return service
