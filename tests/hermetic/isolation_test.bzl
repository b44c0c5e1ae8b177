"""No action of a real Bento names anything of the host but the interpreter that its toolchain has."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")

_FLAGS = ["-I", "-S", "-B", "-X", "utf8"]
_MNEMONICS = ["BentoArchive", "BentoBuildDefinition"] + ["BentoExport"] * 4 + ["BentoPackage", "BentoReport", "BentoSummary"]

def _isolation_impl(ctx):
    env = analysistest.begin(ctx)
    actions = [action for action in analysistest.target_actions(env) if action.mnemonic.startswith("Bento")]
    asserts.equals(env, _MNEMONICS, sorted([action.mnemonic for action in actions]))
    for action in actions:
        asserts.equals(env, {}, dict(action.env), "environment of " + action.mnemonic)
        asserts.equals(env, _FLAGS, action.argv[1:1 + len(_FLAGS)], "interpreter flags of " + action.mnemonic)
        absolute = [word for word in action.argv[1:] if word.startswith("/") and not word.startswith("//") and word != action.argv[0]]
        asserts.equals(env, [], absolute, "paths of the host in the arguments of " + action.mnemonic)
    return analysistest.end(env)

isolation_test = analysistest.make(_isolation_impl)

_COMPILER_FLAGS = ["-s", "-S", "-B", "-X", "utf8"]

def _compiling_impl(ctx):
    env = analysistest.begin(ctx)
    actions = [action for action in analysistest.target_actions(env) if action.mnemonic.startswith("Bento")]
    asserts.equals(env, [ctx.attr.mnemonic], [action.mnemonic for action in actions])
    for action in actions:
        asserts.equals(env, {"PYTHONHASHSEED": "0"}, dict(action.env))
        asserts.equals(env, _COMPILER_FLAGS, action.argv[1:1 + len(_COMPILER_FLAGS)])
    return analysistest.end(env)

# Bytecode of Python 3.10 contains sets of strings in the order of their hashes, which differ in each process by default.
compiling_test = analysistest.make(_compiling_impl, attrs = {"mnemonic": attr.string(doc = "Of the one action.")})
