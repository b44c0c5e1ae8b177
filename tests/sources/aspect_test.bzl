"""What Bentos take from libraries: the sources of any rule that provides PyInfo, its data, and no package."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts", "unittest")
load("//private:sources_aspect.bzl", "runtime_of")

def _sources_impl(ctx):
    env = analysistest.begin(ctx)
    [action] = [action for action in analysistest.target_actions(env) if action.mnemonic == "BentoPackage"]
    folder = "tests/sources/"
    inputs = sorted([file.short_path.removeprefix(folder) for file in action.inputs.to_list() if file.short_path.startswith(folder)])
    asserts.equals(env, sorted(ctx.attr.inputs), [name for name in inputs if not name.endswith(".params")])
    return analysistest.end(env)

sources_test = analysistest.make(
    _sources_impl,
    attrs = {"inputs": attr.string_list(mandatory = True)},
)

def _runtimes_impl(ctx):
    env = unittest.begin(ctx)
    for place, runtime in {
        "com_github_grpc_grpc//src/python": "grpcio",
        "protobuf+//:protobuf_python": "protobuf",
        "protobuf~29.0//python": "protobuf",
        "protobuf_of_ours+//:lib": None,
        "rules_python+//:lib": None,
        "//protobuf:lib": None,
    }.items():
        asserts.equals(env, runtime, runtime_of(Label("@@" + place)))
    return unittest.end(env)

runtimes_test = unittest.make(_runtimes_impl)
