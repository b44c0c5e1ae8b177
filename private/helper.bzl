"""Defines functions for the actions of rules, which run subcommands of the helper with the interpreter of the
toolchain."""

load(":attributes.bzl", "label_string")

TOOLCHAIN_TYPE = Label("//toolchains:toolchain_type")
_IMPORT_TYPE = Label("//toolchains:import_type")

# Execution group for dependencies that run in actions: `cfg = config.exec(NATIVE)`. The execution platform is the
# target platform if a machine of this platform is available, because the actions run third-party code for the target
# platform.
NATIVE = "native"
_NATIVE_TYPES = [TOOLCHAIN_TYPE, config_common.toolchain_type(Label("//toolchains:packing_type"), mandatory = False)]
NATIVE_GROUP = {NATIVE: exec_group(toolchains = _NATIVE_TYPES)}

# The same group in rules that import a service, in the Python version of the target.
IMPORT_GROUP = {NATIVE: exec_group(toolchains = _NATIVE_TYPES + [_IMPORT_TYPE])}

# -I and -S exclude packages and environment variables of the host, and -B excludes bytecode. Text is UTF-8 in every
# locale.
INTERPRETER_FLAGS = ["-I", "-S", "-B", "-X", "utf8"]

# Flags of programs that write bytecode. Before Python 3.11, bytecode contains sets of strings in hash order. Therefore,
# the programs need the environment variable PYTHONHASHSEED, and start without -I, which ignores it.
COMPILER_FLAGS = ["-s", "-S", "-B", "-X", "utf8"]
COMPILER_VARIABLES = {"PYTHONHASHSEED": "0"}

# Third-party packages that the helper needs to read wheels, and to write layers and archives.
DEFLATE = ["zlib_ng"]

_REQUIREMENTS = {"block-network": "1", "supports-path-mapping": "1"}

# Workers are singleplex, because --worker_sandboxing has no effect on multiplex workers. Forks of a worker run the
# requests.
_WORKER_REQUIREMENTS = _REQUIREMENTS | {"requires-worker-protocol": "json", "supports-workers": "1"}

# Subcommands that compress or hash gigabytes of data. They use one thread for each core, but at most eight
# (py/rules_bento/base/threads.py).
_THREADED = [
    "data_layer",
    "data_part",
    "deb_layer",
    "export_model",
    "model",
    "model_layer",
    "tar_layer",
    "weights_layer",
    "wheel_layer",
]

def _several_cores(_os, _inputs):
    """Returns the resources (`resource_set`) of a subcommand with several threads.

    These are CPU cores, and the memory of eight threads in MB.
    """
    return {"cpu": 4, "memory": 250}

def arguments(ctx):
    """Returns an empty Args for a subcommand. Bazel writes the arguments to a file, one argument per line."""
    return ctx.actions.args().use_param_file("@%s", use_always = True).set_param_file_format("multiline")

def target_arguments(ctx):
    """Returns an Args for a subcommand, with the flag `--target` and the label of the target."""
    args = arguments(ctx)
    args.add("--target", label_string(ctx.label))
    return args

def add_directories(args, flag, modules):
    """Adds a flag for each import root of a list of BentoWheelModulesInfo.

    Bazel determines the paths of output directories when the action runs.
    """
    args.add_all(
        [root for module in modules for root in module.import_roots],
        before_each = flag,
        expand_directories = False,
    )

def subcommand(name, args, *, inputs, packages = [], sandboxed = False, unused_inputs_list = None):
    """Returns a struct that describes a subcommand of the helper, with its arguments, inputs, and packages.

    Args:
      name: name of a subcommand in `py/rules_bento/actions/subcommands.py`.
      args: result of `arguments`, or a list of results of `arguments`.
      inputs: depset of Files that the subcommand reads.
      packages: names of the third-party packages that the subcommand imports.
      sandboxed: whether the subcommand runs third-party code for the target platform. Such a subcommand runs in a
        sandbox, not in a worker, with a
        complete interpreter, in the execution group `NATIVE` of the rule.
      unused_inputs_list: output File that lists the inputs without effect on the result, or None.

    Returns:
      A struct for `run_helper` or `run_steps`.
    """
    return struct(
        args = args if type(args) == "list" else [args],
        inputs = inputs,
        name = name,
        packages = packages,
        sandboxed = sandboxed,
        unused_inputs_list = unused_inputs_list,
    )

def _native_type(ctx):
    """Returns the type of the toolchain for third-party code."""
    return _IMPORT_TYPE if _IMPORT_TYPE in ctx.exec_groups[NATIVE].toolchains else TOOLCHAIN_TYPE

def native_python(ctx):
    """Returns the BentoPythonInfo of the interpreter that runs third-party code in the execution group `NATIVE`."""
    return ctx.exec_groups[NATIVE].toolchains[_native_type(ctx)].python

def run_helper(ctx, *, mnemonic, progress_message, subcommand, outputs, cache_limit = None):
    """Runs a subcommand of the helper as an action.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      mnemonic: mnemonic of the action, such as `BentoLayer`.
      progress_message: message that Bazel shows during the action.
      subcommand: result of `subcommand`.
      outputs: list of Files that the subcommand writes.
      cache_limit: `no-cache` if no cache stores the outputs, `no-remote-cache` if only the disk cache stores the
        outputs, or None.
    """
    toolchain_type = _native_type(ctx) if subcommand.sandboxed else TOOLCHAIN_TYPE
    toolchain = (ctx.exec_groups[NATIVE] if subcommand.sandboxed else ctx).toolchains[toolchain_type]
    modules = [module for name in subcommand.packages for module in toolchain.packages[name]]
    in_worker = toolchain.persistent_workers and not subcommand.sandboxed
    program = toolchain.complete if subcommand.sandboxed else toolchain
    start = ctx.actions.args()
    start.add_all(INTERPRETER_FLAGS)
    start.add(toolchain.helper)
    add_directories(start, "--packages", modules)
    start.add(subcommand.name)
    ctx.actions.run(
        mnemonic = mnemonic,
        progress_message = progress_message,
        executable = program.python.interpreter or program.python.interpreter_path,
        arguments = [start] + subcommand.args,
        inputs = subcommand.inputs,
        outputs = outputs,
        tools = depset(
            transitive = [program.tools] + [toolchain.tools_of_packages[name] for name in subcommand.packages],
        ),
        resource_set = _several_cores if subcommand.name in _THREADED else None,
        unused_inputs_list = subcommand.unused_inputs_list,
        env = {},
        exec_group = NATIVE if subcommand.sandboxed else None,
        execution_requirements = (
            _WORKER_REQUIREMENTS if in_worker else _REQUIREMENTS
        ) | ({cache_limit: "1"} if cache_limit else {}),
        toolchain = toolchain_type,
    )

def write_output(ctx, output, *, mnemonic, progress_message, subcommand, cache_limit = None):
    """Runs a subcommand of the helper that writes a single output, the value of `--output`.

    Returns this File. For the parameters, see `run_helper`.
    """
    subcommand.args[-1].add_all(["--output", output], expand_directories = False)
    run_helper(
        ctx,
        cache_limit = cache_limit,
        mnemonic = mnemonic,
        outputs = [output],
        progress_message = progress_message,
        subcommand = subcommand,
    )
    return output

def run_steps(ctx, *, mnemonic, progress_message, steps):
    """Runs several subcommands of the helper in sequence, in one process and one action.

    Use this function for subcommands that must run again after the same changes. A single action saves processes,
    sandboxes, and cache entries.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      mnemonic: mnemonic of the action, such as `BentoLayer`.
      progress_message: message that Bazel shows during the action.
      steps: list of structs with `subcommand` (result of `subcommand`), `outputs` (list of Files), and `step_inputs`
        (list of additional input
        Files, which an earlier step can write). No subcommand can be `sandboxed`. Only the first subcommand can have
        an `unused_inputs_list`,
        which must not list inputs of later steps.
    """
    written = {file: True for step in steps for file in step.outputs}
    subcommands = [step.subcommand for step in steps]
    for one, following in zip(subcommands, subcommands[1:]):
        one.args[-1].add_all(["--then", following.name])
    run_helper(
        ctx,
        mnemonic = mnemonic,
        progress_message = progress_message,
        subcommand = subcommand(
            subcommands[0].name,
            [args for one in subcommands for args in one.args],
            inputs = depset(
                [file for step in steps for file in step.step_inputs if file not in written],
                transitive = [one.inputs for one in subcommands],
            ),
            packages = {name: True for one in subcommands for name in one.packages}.keys(),
            unused_inputs_list = subcommands[0].unused_inputs_list,
        ),
        outputs = written.keys(),
    )
