"""What a Bento is for: its platform and its Python, of which the machine that builds it decides nothing."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("//rules:defs.bzl", "BentoInfo")

_ATTRIBUTES = {
    "platform": attr.string(doc = "What is expected of the Bento."),
    "python_version": attr.string(doc = "What is expected of the Bento."),
}

def _for_impl(ctx):
    env = analysistest.begin(ctx)
    info = analysistest.target_under_test(env)[BentoInfo]
    asserts.equals(env, ctx.attr.platform, info.platform)
    asserts.equals(env, ctx.attr.python_version, info.python_version)

    # The slice of the lock is for the same, and for no patch release of anything that runs here.
    for action in analysistest.target_actions(env):
        if action.mnemonic == "BentoLock":
            asserts.equals(env, ctx.attr.platform, action.argv[action.argv.index("--platform") + 1])
            asserts.equals(env, ctx.attr.python_version, action.argv[action.argv.index("--python-version") + 1])
    return analysistest.end(env)

for_test = analysistest.make(_for_impl, attrs = _ATTRIBUTES)

# As someone who gives --platforms for another machine builds.
for_given_platforms_test = analysistest.make(
    _for_impl,
    attrs = _ATTRIBUTES,
    config_settings = {"//command_line_option:platforms": [Label("//toolchains/platforms:darwin_arm64")]},
)

# As on a host of another kind, which says no more than that it is one.
for_foreign_host_test = analysistest.make(
    _for_impl,
    attrs = _ATTRIBUTES,
    config_settings = {
        "//command_line_option:extra_execution_platforms": ["@platforms//host"],
        "//command_line_option:host_platform": Label("//toolchains/platforms:darwin_arm64"),
        "//command_line_option:platforms": [Label("//toolchains/platforms:darwin_arm64")],
    },
)

for_default_platform_test = analysistest.make(
    _for_impl,
    attrs = _ATTRIBUTES,
    config_settings = {str(Label("//rules:platform")): "linux_aarch64"},
)

def _refused_impl(ctx):
    env = analysistest.begin(ctx)
    for text in ctx.attr.says:
        asserts.expect_failure(env, text)
    return analysistest.end(env)

refused_test = analysistest.make(
    _refused_impl,
    attrs = {"says": attr.string_list(doc = "What the message has.")},
    expect_failure = True,
)
