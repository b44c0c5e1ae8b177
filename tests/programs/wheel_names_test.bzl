"""Tests the file names of wheels that are packed from installed packages."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")

def _wheel_names_impl(ctx):
    env = analysistest.begin(ctx)
    inputs = depset(transitive = [action.inputs for action in analysistest.target_actions(env)])
    names = {file.basename: True for file in inputs.to_list() if file.extension == "whl"}
    asserts.equals(env, [], [name for name in ctx.attr.names if name not in names], "expected {} in {}".format(ctx.attr.names, names))
    return analysistest.end(env)

wheel_names_test = analysistest.make(_wheel_names_impl, attrs = {"names": attr.string_list(doc = "Names of wheels.", mandatory = True)})
