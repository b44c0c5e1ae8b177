"""What a Bento is for: its platform and its Python, of which the machine that builds it decides nothing."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts", "unittest")
load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("@platforms//host:constraints.bzl", "HOST_CONSTRAINTS")
load("@rules_python//python:py_info.bzl", "PyInfo")
load("//private:python_version.bzl", "is_tool")
load("//private:target.bzl", "installed_version")
load("//rules:providers.bzl", "BentoImageInfo", "BentoInfo", "BentoRequirementInfo", "BentoWheelInfo")

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
        if action.mnemonic == "BentoPackage":
            for flag, value in {"--platform": ctx.attr.platform, "--python-version": ctx.attr.python_version}.items():
                asserts.equals(env, [value], {action.argv[at + 1]: True for at, word in enumerate(action.argv) if word == flag}.keys())
    return analysistest.end(env)

for_test = analysistest.make(_for_impl, attrs = _ATTRIBUTES)

# As someone who gives --platforms for another machine builds.
for_given_platforms_test = analysistest.make(
    _for_impl,
    attrs = _ATTRIBUTES,
    config_settings = {"//command_line_option:platforms": [Label("//toolchains/platforms:darwin_arm64")]},
)

# A cluster sets both flags to one platform, which isn't the detected platform of a machine.
for_cluster_test = analysistest.make(
    _for_impl,
    attrs = _ATTRIBUTES,
    config_settings = {
        "//command_line_option:extra_execution_platforms": ["@platforms//host"],
        "//command_line_option:host_platform": Label("//toolchains/platforms:linux_arm64"),
        "//command_line_option:platforms": [Label("//toolchains/platforms:linux_arm64")],
    },
)

for_default_platform_test = analysistest.make(
    _for_impl,
    attrs = _ATTRIBUTES,
    config_settings = {str(Label("//rules:platform")): "linux_arm64"},
)

def _wheel_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.equals(env, ctx.attr.python_version, analysistest.target_under_test(env)[BentoWheelInfo].python_version)
    return analysistest.end(env)

_OF_WHEELS = {"python_version": attr.string(doc = "What is expected of the wheel.")}

wheel_test = analysistest.make(_wheel_impl, attrs = _OF_WHEELS)

# The wheel of a package is for the Python version of the flag.
older_wheel_test = analysistest.make(
    _wheel_impl,
    attrs = _OF_WHEELS,
    config_settings = {str(Label("//rules:python_version")): "3.12"},
)

def _modules_impl(ctx):
    env = analysistest.begin(ctx)
    target = analysistest.target_under_test(env)
    asserts.equals(env, ctx.attr.python_version, target[BentoRequirementInfo].python_version)

    # Wheels with machine code are for one version of Python.
    tag = "-cp" + ctx.attr.python_version.replace(".", "") + "-"
    wheels = [module.wheel.basename for module in target[BentoRequirementInfo].modules.to_list()]
    asserts.true(env, wheels and all([tag in wheel for wheel in wheels]), str(wheels))
    return analysistest.end(env)

def _modules_test(**flags):
    return analysistest.make(_modules_impl, attrs = _OF_WHEELS, config_settings = flags)

_OWN = str(Label("//rules:python_version"))
_OF_RULES_PYTHON = str(Label("@rules_python//python/config_settings:python_version"))

# What targets of rules_python have in deps is for the Python with which they run.
modules_test = _modules_test()
modules_for_rules_python_test = _modules_test(**{_OF_RULES_PYTHON: "3.11.1"})

# The value of the flag in rules_python 0.22.1 if no target sets it.
modules_for_unset_python_test = _modules_test(**{_OF_RULES_PYTHON: "3.8.10"})
modules_for_both_test = _modules_test(**{_OF_RULES_PYTHON: "3.11.1", _OWN: "3.12"})

# A package of a tool, which inherits the flags of its users.
tool = rule(
    implementation = lambda ctx: [ctx.attr.dep[BentoRequirementInfo]],
    attrs = {"dep": attr.label(cfg = "exec", providers = [BentoRequirementInfo])},
)

# Below a Bento, that is so for tools only.
modules_of_tools_test = _modules_test(**{_OF_RULES_PYTHON: "3.11.1", _OWN: "3.12", str(Label("//rules:wheels")): "metadata"})

def _of_tools_impl(ctx):
    env = unittest.begin(ctx)
    for name, mode, expected in [
        ("k8-opt-exec", "opt", True),
        ("k8-opt-exec-2B5CBBC6", "opt", True),
        ("linux-exec-opt-exec-ST-0f8c", "opt", True),
        ("k8-fastbuild", "fastbuild", False),
        ("linux-exec-fastbuild", "fastbuild", False),
        ("linux-exec-opt-ST-0f8c", "opt", False),
    ]:
        found = is_tool(struct(bin_dir = struct(path = "bazel-out/{}/bin".format(name)), var = {"COMPILATION_MODE": mode}))
        asserts.equals(env, expected, found, name)
    return unittest.end(env)

# The name of an output directory contains a platform's name.
of_tools_test = unittest.make(_of_tools_impl)

for_rules_python_test = analysistest.make(
    _for_impl,
    attrs = _ATTRIBUTES,
    config_settings = {_OF_RULES_PYTHON: "3.11.1"},
)

def _sources_impl(ctx):
    env = analysistest.begin(ctx)
    names = [file.basename for file in analysistest.target_under_test(env)[PyInfo].transitive_sources.to_list()]
    asserts.true(env, "composer.py" in names)
    asserts.equals(env, [], [name for name in names if not name.endswith(".py")])
    return analysistest.end(env)

# Linters read the sources of a package, which has other files also.
sources_test = analysistest.make(_sources_impl)

_AMD, _ARM = str(Label("//toolchains/platforms:linux_amd64")), str(Label("//toolchains/platforms:linux_arm64"))
_IS_ARM = "@platforms//cpu:aarch64" in HOST_CONSTRAINTS
_WORKER = "linux_amd64" if _IS_ARM else "linux_arm64"
_HERE = "linux_arm64" if _IS_ARM else "linux_amd64"

def _interpreters(paths):
    """The platforms of the interpreters among paths, sorted; rules_python names their repositories otherwise."""
    repositories = [path.partition("external/")[2].partition("/")[0] for path in paths if path.endswith("/bin/python3")]
    return sorted({("linux_arm64" if "aarch64" in name or "arm64" in name else "linux_amd64"): True for name in repositories}.keys())

def _on_workers_impl(ctx, worker):
    env = analysistest.begin(ctx)
    actions = [action for action in analysistest.target_actions(env) if action.mnemonic.startswith("Bento")]
    asserts.true(env, len(actions) > 5)
    for action in actions:
        asserts.equals(env, [worker], _interpreters(action.argv[:1] + [file.path for file in action.inputs.to_list()]))
    runfiles = analysistest.target_under_test(env)[DefaultInfo].default_runfiles.files
    asserts.equals(env, [_HERE], _interpreters([file.path for file in runfiles.to_list()]))
    return analysistest.end(env)

# Workers of the other architecture: they run its tools, and what is started here is of this one.
on_workers_test = analysistest.make(
    lambda ctx: _on_workers_impl(ctx, _WORKER),
    config_settings = {
        "//command_line_option:extra_execution_platforms": [_AMD if _IS_ARM else _ARM],
    },
)

def _native_impl(ctx):
    env = analysistest.begin(ctx)
    actions = {action.mnemonic: action for action in analysistest.target_actions(env)}
    asserts.true(env, ctx.attr.mnemonic in actions, "there is no {}".format(ctx.attr.mnemonic))
    action = actions[ctx.attr.mnemonic]
    asserts.equals(env, [ctx.attr.platform], _interpreters(action.argv[:1] + [file.path for file in action.inputs.to_list()]))
    return analysistest.end(env)

_OF_NATIVE = {
    "mnemonic": attr.string(doc = "The action that runs third-party code for the target platform."),
    "platform": attr.string(doc = "What is expected of the machine that runs the action."),
}

# Code for the target platform runs on a worker of this platform, even if workers of another platform are registered before.
native_here_test = analysistest.make(
    _native_impl,
    attrs = _OF_NATIVE,
    config_settings = {"//command_line_option:extra_execution_platforms": [_AMD if _IS_ARM else _ARM]},
)
native_on_worker_test = analysistest.make(
    _native_impl,
    attrs = _OF_NATIVE,
    config_settings = {
        "//command_line_option:extra_execution_platforms": [_ARM, _AMD] if _IS_ARM else [_AMD, _ARM],
        "//command_line_option:platforms": [_AMD if _IS_ARM else _ARM],
    },
)

# Workers of a kind that there is no toolchain for: nothing runs there, also none of what makes the toolchain.
beside_workers_test = analysistest.make(
    lambda ctx: _on_workers_impl(ctx, _HERE),
    config_settings = {"//command_line_option:extra_execution_platforms": [str(Label("//tests/target:none_of_ours"))]},
)

_PlatformsInfo = provider(doc = "Platforms of a target and of its dependencies.", fields = {"names": "dict[str, list[str]], by attribute"})

def _platforms_impl(_target, ctx):
    names = {"": [ctx.attr._platform[BuildSettingInfo].value]}
    for name in _EDGES:
        value = getattr(ctx.rule.attr, name, None) or []
        edges = value if type(value) == "list" else [value]
        names[name] = sorted({platform: True for edge in edges for platform in edge[_PlatformsInfo].names[""]}.keys())
    return [_PlatformsInfo(names = names)]

_EDGES = ["base", "bento", "image", "model", "requirements"]

_platforms = aspect(
    implementation = _platforms_impl,
    doc = "Finds the platforms of a target and of its dependencies.",
    attr_aspects = _EDGES,
    attrs = {"_platform": attr.label(default = "//rules:target_platform", providers = [BuildSettingInfo])},
)

def _edges_impl(ctx):
    env = unittest.begin(ctx)
    names = ctx.attr.target[0][_PlatformsInfo].names
    asserts.equals(env, ctx.attr.expected, {name: names[name] for name in ctx.attr.expected})
    return unittest.end(env)

_OF_EDGES = {
    "expected": attr.string_list_dict(doc = "Platforms, by attribute of the target; the target's own with an empty name."),
}

def _edges_test(platforms, default = "linux_amd64"):
    flags = {"//command_line_option:platforms": platforms, "//rules:platform": default}
    cfg = transition(implementation = lambda _settings, _attr: flags, inputs = [], outputs = flags.keys())
    return unittest.make(_edges_impl, attrs = _OF_EDGES | {"target": attr.label(aspects = [_platforms], cfg = cfg, doc = "Target.")})

# Platforms of dependencies, on the detected host, and with --platforms for a machine of another kind.
edges_test = _edges_test("@platforms//host")
edges_for_worker_test = _edges_test(_AMD if _IS_ARM else _ARM)
edges_for_default_test = _edges_test("@platforms//host", default = _WORKER)

def _of_installed_impl(ctx):
    env = unittest.begin(ctx)
    lock, package = Label("//:requirements.txt"), Label("//:numpy")
    flag, available = "@rules_python//python/config_settings:python_version", "//toolchains/platforms:rules_python_versions"
    for mode, version, requirements, expected in [
        ("files", "3.12.4", [package, lock], "3.12"),
        ("files", "3.8.10", [package, lock], ""),
        ("files", "3.12", [package], ""),
        ("files", "3.12", [lock], ""),
        ("metadata", "3.12", [package, lock], ""),
        ("files", "3.12", None, ""),  # another rule
    ]:
        settings = {"//rules:wheels": mode, flag: version, available: ["3.11", "3.12"]}
        attr = struct() if requirements == None else struct(requirements = requirements)
        asserts.equals(env, expected, installed_version(settings, attr))
    return unittest.end(env)

# The default of rules_python and the same version in an attribute are one configuration of the packages of `pip.parse`.
of_installed_test = unittest.make(_of_installed_impl)

HERE, WORKER = _HERE, _WORKER

_InputsInfo = provider(doc = "What the actions of a target read.", fields = {"files": "depset[File]"})

_inputs = aspect(
    implementation = lambda target, _ctx: [_InputsInfo(files = depset(transitive = [action.inputs for action in target.actions]))],
    doc = "Tells what the actions of a target read.",
)

def _one_bento_impl(ctx):
    env = analysistest.begin(ctx)
    info = analysistest.target_under_test(env)[BentoInfo]
    asserts.equals(env, info.bento_yaml, ctx.attr.image[BentoImageInfo].bento_yaml)
    for target in ctx.attr.others:
        files = depset(transitive = [target[_InputsInfo].files, target[DefaultInfo].default_runfiles.files]).to_list()
        parts = [file for file in files if file.basename in [part.basename for part in info.parts]]
        asserts.equals(env, sorted([part.path for part in info.parts]), sorted({file.path: True for file in parts}), str(target.label))
    return analysistest.end(env)

# What is built, exported, tested and in an image is one Bento: the same files of one configuration.
one_bento_test = analysistest.make(
    _one_bento_impl,
    attrs = {
        "image": attr.label(doc = "An image of the Bento.", providers = [BentoImageInfo]),
        "others": attr.label_list(aspects = [_inputs], doc = "What else is made of it."),
    },
)

def _refused_impl(ctx):
    env = analysistest.begin(ctx)
    for text in ctx.attr.says:
        asserts.expect_failure(env, text)
    return analysistest.end(env)

def _refused_test(**flags):
    return analysistest.make(
        _refused_impl,
        attrs = {"says": attr.string_list(doc = "Parts of the message.")},
        config_settings = flags,
        expect_failure = True,
    )

refused_test = _refused_test()
refused_for_another_python_test = _refused_test(**{_OF_RULES_PYTHON: "3.10.9"})
