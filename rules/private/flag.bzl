"""Flags of the command line."""

load("//rules/providers:flag.bzl", "BentoFlagInfo")

bento_flag = rule(
    implementation = lambda ctx: BentoFlagInfo(value = ctx.build_setting_value),
    doc = "A flag with a text: `--@rules_bento//rules:<name>=<value>`.",
    build_setting = config.string(flag = True),
    provides = [BentoFlagInfo],
)

bento_switch = rule(
    implementation = lambda ctx: BentoFlagInfo(value = "yes" if ctx.build_setting_value else ""),
    doc = "A flag without a text: `--@rules_bento//rules:<name>`.",
    build_setting = config.bool(flag = True),
    provides = [BentoFlagInfo],
)

bento_texts_flag = rule(
    implementation = lambda ctx: BentoFlagInfo(value = tuple(ctx.build_setting_value)),
    doc = "A flag that may be repeated, with a text each time.",
    build_setting = config.string_list(flag = True, repeatable = True),
    provides = [BentoFlagInfo],
)

bento_constant = rule(
    implementation = lambda ctx: BentoFlagInfo(value = ctx.attr.value),
    doc = "A text that a select chooses, for rules to ask.",
    attrs = {"value": attr.string(doc = "The text.", mandatory = True)},
    provides = [BentoFlagInfo],
)

# Not a flag of its own but one of Bazel's, which a select reads.
bento_condition = rule(
    implementation = lambda ctx: BentoFlagInfo(value = "yes" if ctx.attr.holds else ""),
    doc = "Whether a condition holds, for rules to ask.",
    attrs = {"holds": attr.bool(doc = "A select of the condition.", mandatory = True)},
    provides = [BentoFlagInfo],
)
