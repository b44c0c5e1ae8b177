"""Tests that wheels provide only Python files as sources, as py_library does."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("@rules_python//python:py_info.bzl", "PyInfo")

def _sources_impl(ctx):
    env = analysistest.begin(ctx)
    sources = analysistest.target_under_test(env)[PyInfo].transitive_sources.to_list()
    asserts.true(env, bool(sources))
    asserts.equals(env, [], [file.short_path for file in sources if file.extension != "py"])
    return analysistest.end(env)

sources_test = analysistest.make(_sources_impl)
