"""The packages that verbs of the helper import."""

load("//rules/private:wheels.bzl", "always_modules")  # buildifier: disable=bzl-visibility
load("//rules/providers:helper_packages.bzl", "BentoHelperPackagesInfo")
load("//rules/providers:requirement.bzl", "BentoRequirementInfo")

bento_helper_packages = rule(
    # Each is a few wheels.
    implementation = lambda ctx: BentoHelperPackagesInfo(packages = {target.label.name: target[BentoRequirementInfo].modules.to_list() for target in ctx.attr.packages}),
    cfg = always_modules,
    doc = "The packages that verbs of the helper import, for one platform; a verb names which of them it needs.",
    attrs = {
        "packages": attr.label_list(doc = "The packages.", mandatory = True, providers = [BentoRequirementInfo]),
    },
    provides = [BentoHelperPackagesInfo],
)
