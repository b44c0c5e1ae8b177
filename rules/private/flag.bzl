"""Flags of the command line."""

load("//rules/providers:flag.bzl", "BentoFlagInfo")

bento_flag = rule(
    implementation = lambda ctx: BentoFlagInfo(value = ctx.build_setting_value),
    doc = "A flag with a text: `--@rules_bento//rules:<name>=<value>`.",
    build_setting = config.string(flag = True),
    provides = [BentoFlagInfo],
)
