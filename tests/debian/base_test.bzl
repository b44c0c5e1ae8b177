"""What bento_base declares."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("//private:providers.bzl", "BentoCompilersInfo", "BentoPythonInfo")
load("//rules:providers.bzl", "BentoBaseInfo", "BentoDebInfo")

_HELPER_FLAGS = ["-I", "-S", "-B", "-X", "utf8"]

def _arm64(implementation, **kwargs):
    return analysistest.make(
        implementation,
        config_settings = {"//command_line_option:platforms": str(Label("//toolchains/platforms:linux_arm64"))},
        **kwargs
    )

def _action(env):
    return [action for action in analysistest.target_actions(env) if action.mnemonic == "BentoDebLayer"][0]

def _is_compiled(env):
    return "bytecode_program.py" in [file.basename for file in _action(env).inputs.to_list()]

def _layer_impl(ctx):
    env = analysistest.begin(ctx)
    target = analysistest.target_under_test(env)
    asserts.equals(env, ["python.base.json", "python.layer.json"], [file.basename for file in target[DefaultInfo].files.to_list()], "default outputs are small")
    action = _action(env)
    inputs = [file.basename for file in action.inputs.to_list() if file.extension == "deb"]
    asserts.true(env, len(inputs) > 20, "what the packages depend on comes along")
    for name in inputs:
        asserts.true(env, name.endswith("_arm64.deb") or name.endswith("_all.deb"), name)
    flags = [index for index, word in enumerate(action.argv) if word == "-I"]
    asserts.equals(env, _HELPER_FLAGS, action.argv[flags[0]:flags[0] + len(_HELPER_FLAGS)])
    asserts.equals(env, {}, dict(action.env))
    return analysistest.end(env)

layer_test = _arm64(_layer_impl)

def _base_impl(ctx):
    env = analysistest.begin(ctx)
    target = analysistest.target_under_test(env)
    base = target[BentoBaseInfo]
    asserts.equals(env, ("2.41", "3.13", "/usr/bin/python3"), (base.glibc, base.python_version, base.python))
    asserts.equals(env, ["python.layer.gzip"], [layer.blob.basename for layer in base.layers])
    asserts.equals(env, "arm64", base.architecture)
    asserts.true(env, _is_compiled(env))
    return analysistest.end(env)

base_test = _arm64(_base_impl)

def _other_release_impl(ctx):
    info = ctx.attr.package[BentoDebInfo]
    host = BentoPythonInfo(files = depset(), interpreter = None, interpreter_path = "/usr/bin/python3", version = "3.13.0")
    return [
        BentoCompilersInfo(pythons = (host,)),
        BentoDebInfo(architecture = info.architecture, files = info.files, glibc = info.glibc, hub = info.hub, python_version = host.version),
    ]

other_release = rule(
    implementation = _other_release_impl,
    doc = "The same packages, with a release that only a Python of the machine has.",
    attrs = {"package": attr.label(providers = [BentoDebInfo])},
)

def _not_compiled_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.false(env, _is_compiled(env))
    return analysistest.end(env)

not_compiled_test = _arm64(_not_compiled_impl)

def _upper_impl(ctx):
    env = analysistest.begin(ctx)
    info = analysistest.target_under_test(env)[BentoBaseInfo]
    asserts.equals(env, ["python.layer.gzip", "more.layer.zstd"], [layer.blob.basename for layer in info.layers])
    own = [file.basename for file in _action(env).inputs.to_list() if file.extension == "json"]
    asserts.equals(env, ["python.debs.json"], own, "of the layers below only the index is read")
    return analysistest.end(env)

upper_test = _arm64(_upper_impl)

def _installed_impl(ctx):
    env = analysistest.begin(ctx)
    info = analysistest.target_under_test(env)[BentoBaseInfo]
    asserts.equals(env, ("2.41", "3.13", "/usr/local/bin/python3"), (info.glibc, info.python_version, info.python))
    asserts.equals(env, ["installed.layer.gzip", "installed.interpreter.layer.gzip"], [layer.blob.basename for layer in info.layers])
    asserts.equals(env, "installed.interpreter.index.json", info.deb_index.basename)
    return analysistest.end(env)

installed_test = _arm64(_installed_impl)

def _host_python_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.expect_failure(env, "installs the interpreter of rules_python, but its toolchain for linux arm64 is the Python of this machine (/usr/bin/python3), which isn't a file with a hash. Add python.toolchain(python_version = \"3.13\")")
    return analysistest.end(env)

host_python_test = analysistest.make(
    _host_python_impl,
    config_settings = {
        "//command_line_option:extra_toolchains": str(Label(":host_toolchain")),
        "//command_line_option:platforms": str(Label("//toolchains/platforms:linux_arm64")),
    },
    expect_failure = True,
)

def _no_python_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.expect_failure(env, "the packages don't include python3. Add python3 to the packages, or set python_version, which installs the interpreter of rules_python")
    return analysistest.end(env)

no_python_test = _arm64(_no_python_impl, expect_failure = True)
