"""Tests the creation time in all outputs."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts", "unittest")
load("//private:attributes.bzl", "normalize_time")

_FLAG = str(Label("//rules:creation_time"))

def _normal_impl(ctx):
    env = unittest.begin(ctx)
    for text in ["2026-01-31T23:59:59+00:00", "2024-02-29T00:00:00.123-09:30", "2000-02-29T00:00:00.123456+14:00"]:
        asserts.equals(env, text, normalize_time(text))
    asserts.equals(env, "2026-01-31T12:00:00+00:00", normalize_time("2026-01-31T12:00:00Z"))
    for text in [
        "",
        "1700000000",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00+00:00",
        "2026-01-31T12:00:00.1Z",
        "2026-01-31T12:00:00+0000",
        "2026-01-31T12:00:00+00:00Z",
        "2026-01-31T12:00:00+00:60",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-02-29T12:00:00Z",
        "1900-02-29T12:00:00Z",
        "2026-04-31T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-00-01T12:00:00Z",
        "2026-01-00T12:00:00Z",
        "0000-01-01T12:00:00Z",
        "0001-12-31T00:00:00Z",
        "9999-01-01T00:00:00Z",
        "9999-12-31T23:59:59-12:00",
        "yesterday",
    ]:
        asserts.equals(env, None, normalize_time(text), text)
    return unittest.end(env)

normal_time_test = unittest.make(_normal_impl)

def _created_impl(ctx):
    env = analysistest.begin(ctx)
    actions = [action for action in analysistest.target_actions(env) if "--created" in (action.argv or [])]
    for action in actions:
        asserts.equals(env, "2026-01-31T12:00:00+00:00", action.argv[action.argv.index("--created") + 1], action.mnemonic)
    asserts.equals(env, ctx.attr.mnemonics, sorted([action.mnemonic for action in actions]))
    return analysistest.end(env)

created_test = analysistest.make(
    _created_impl,
    attrs = {"mnemonics": attr.string_list(doc = "Of the actions that write it.")},
    config_settings = {_FLAG: "2026-01-31T12:00:00Z"},
)

def _no_time_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.expect_failure(env, "--@rules_bento//rules:creation_time: invalid time \"yesterday\". Use a time with a time zone")
    return analysistest.end(env)

no_time_test = analysistest.make(_no_time_impl, config_settings = {_FLAG: "yesterday"}, expect_failure = True)

def _unknown_value_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.expect_failure(env, "invalid value 'fetchd'. Allowed values are")
    return analysistest.end(env)

# A flag with a misspelled value is an error wherever it is read.
unknown_value_test = analysistest.make(
    _unknown_value_impl,
    config_settings = {str(Label("//rules:" + name)): "fetchd" for name in ["base_layers", "platform", "push_from", "wheel_layers"]},
    expect_failure = True,
)
