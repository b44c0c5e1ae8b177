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
