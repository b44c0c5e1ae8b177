"""Tests that wheels provide only Python files as sources, as py_library does, and layers in images."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts", "unittest")
load("@rules_python//python:py_info.bzl", "PyInfo")
load("//private:installed_wheel_aspect.bzl", "installed_wheel_aspect")
load("//private:providers.bzl", "BentoWheelPartsInfo")
load("//private:wheel_parts_aspect.bzl", "wheel_parts_aspect")

def _sources_impl(ctx):
    env = analysistest.begin(ctx)
    sources = analysistest.target_under_test(env)[PyInfo].transitive_sources.to_list()
    asserts.true(env, bool(sources))
    asserts.equals(env, [], [file.short_path for file in sources if file.extension != "py"])
    return analysistest.end(env)

sources_test = analysistest.make(_sources_impl)

def _parts_impl(ctx):
    env = unittest.begin(ctx)
    parts = [part.wheel.distribution for part in ctx.attr.wheel[BentoWheelPartsInfo].parts.to_list()]
    asserts.equals(env, ["from-source"], parts)
    return unittest.end(env)

# A wheel that is built from source, as package hubs declare it, has the mode of its build requirements.
parts_test = unittest.make(
    _parts_impl,
    attrs = {
        "compression": attr.string(default = "gzip", values = ["gzip"]),
        "wheel": attr.label(aspects = [installed_wheel_aspect, wheel_parts_aspect], mandatory = True),
    },
)
