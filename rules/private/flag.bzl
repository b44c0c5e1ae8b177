"""Flags of the command line."""

load(":providers.bzl", "BentoFlagInfo")
load(":time.bzl", "normal_time")

bento_flag = rule(
    implementation = lambda ctx: BentoFlagInfo(value = ctx.build_setting_value),
    doc = "A flag with a text: `--@rules_bento//rules:<name>=<value>`.",
    build_setting = config.string(flag = True),
    provides = [BentoFlagInfo],
)

def _bento_time_flag_impl(ctx):
    value = normal_time(ctx.build_setting_value)
    if not value:
        fail("--@rules_bento//{}:{} is \"{}\", which is no time with a zone: write one such as 2026-01-31T12:00:00+00:00".format(
            ctx.label.package,
            ctx.label.name,
            ctx.build_setting_value,
        ))
    return BentoFlagInfo(value = value)

bento_time_flag = rule(
    implementation = _bento_time_flag_impl,
    doc = "A flag with a time.",
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

# Makes a flag of Bazel's own, which only a select can read, readable for rules.
bento_condition = rule(
    implementation = lambda ctx: BentoFlagInfo(value = "yes" if ctx.attr.holds else ""),
    doc = "Whether a condition holds, for rules to ask.",
    attrs = {"holds": attr.bool(doc = "A select of the condition.", mandatory = True)},
    provides = [BentoFlagInfo],
)
