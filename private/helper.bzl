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

def _value(word = None, items = None, *, inputs = depset(), describe = None, expands = False):
    return struct(describe = describe, expands = expands, inputs = inputs, items = items, word = word)

def read_files(files, describe = None, inputs = None):
    """Returns the value of a flag for Files (list or depset). Files in a directory replace the directory.

    The subcommand reads all Files, or only the depset `inputs`. With `describe`, a function for `map_each`, the
    arguments are its results, which include the flag.
    """
    if inputs == None:
        inputs = depset(files) if type(files) == "list" else files
    return _value(items = files, inputs = inputs, describe = describe, expands = True)

def named_only(items, describe = None):
    """Returns the value of a flag for items (list or depset) that the subcommand doesn't read. See `read_files`."""
    return _value(items = items, describe = describe)

def with_inputs(value, inputs):
    """Returns `value`, such as a directory or a program, with a depset of the Files that reading it requires."""
    return _value(value, inputs = inputs)

def import_roots(modules):
    """Returns the value of a flag for the import roots of a list of BentoWheelModulesInfo, with all their files.

    Bazel determines the paths of output directories when the action runs.
    """
    roots = [root for module in modules for root in module.import_roots]
    return with_inputs(roots, depset(transitive = [module.files for module in modules]))

def flag_words(flag, value):
    """Returns the arguments for a flag with a value as in `subcommand`, except for results of functions."""
    if not value and type(value) != "string":
        return []
    if value == True:
        return [flag]
    words = []
    for use in value if type(value) == "list" else [value]:
        words.append(flag)
        if type(use) == "tuple":
            words.extend(use)
        else:
            words.append(use)
    return words

def _add(args, flags):
    """Adds flags to the arguments. Returns the Files in their values as a list, and other inputs as a list of depsets.
    """
    words, inputs = [], []
    for flag, value in flags.items():
        if type(value) == "struct":
            inputs.append(value.inputs)
            if value.items:
                args.add_all(
                    value.items,
                    before_each = None if value.describe else flag,
                    expand_directories = value.expands,
                    map_each = value.describe,
                )
            value = value.word
        words += flag_words(flag, value)
    args.add_all(words, expand_directories = False)
    return [word for word in words if type(word) == "File"], inputs

def subcommand(ctx, name, flags, *, outputs = {}, packages = [], sandboxed = False):
    """Returns a struct that describes a subcommand of the helper. The flags state its inputs and outputs.

    Args:
      ctx: context of a rule or aspect.
      name: name of a subcommand in `py/rules_bento/actions/subcommands.py`.
      flags: dict of flag to value: a string, a File, or a tuple of these; a bool; a list of values, one for each use of
        the flag; or a result of `read_files`, `named_only`, `with_inputs`, or `import_roots`. Files are inputs. None
        omits the flag. `--target` is the label of the target; None in actions whose outputs targets share.
      outputs: dict of flag to the suffix of an output's name, to a declared File, or to several Files as in `flags`.
        The output of `--unused` lists the inputs without effect on the result.
      packages: names of the third-party packages that the subcommand imports.
      sandboxed: whether the subcommand runs third-party code for the target platform. Such a subcommand runs in a
        sandbox, not in a worker, with a complete interpreter, in the execution group `NATIVE` of the rule.

    Returns:
      A struct for `run_helper` or `run_steps`. `outputs` lists its output Files.
    """
    declared = {
        flag: ctx.actions.declare_file(ctx.label.name + output) if type(output) == "string" else output
        for flag, output in outputs.items()
    }
    base = struct(args = [arguments(ctx)], files = [], inputs = [], name = name, outputs = [], packages = [])
    return extended(
        base,
        {"--target": label_string(ctx.label)} | flags,
        outputs = declared,
        packages = packages,
        sandboxed = sandboxed,
    )

def extended(base, flags, *, outputs, packages, sandboxed = False):
    """Returns a copy of the subcommand `base` with more flags, outputs (without suffixes), and packages.

    `base` has the same arguments, so use only the copy.
    """
    files, inputs = _add(base.args[-1], flags)
    words = [word for flag, output in outputs.items() for word in flag_words(flag, output)]
    base.args[-1].add_all(words, expand_directories = False)
    return struct(
        args = base.args,
        files = base.files + files,
        inputs = base.inputs + inputs,
        name = base.name,
        outputs = base.outputs + [word for word in words if type(word) == "File"],
        packages = base.packages + packages,
        sandboxed = sandboxed,
        unused_inputs_list = outputs.get("--unused"),
    )

def run_leaf(ctx, name, flags, *, outputs, packages = [], **action):
    """Declares the action of a subcommand.

    Args:
      ctx: see `run_helper`.
      name: see `subcommand`.
      flags: see `subcommand`.
      outputs: see `subcommand`.
      packages: see `subcommand`.
      **action: `mnemonic`, `progress_message`, and `cache_limit` of `run_helper`.

    Returns:
      The list of output Files.
    """
    return run_helper(ctx, subcommand = subcommand(ctx, name, flags, outputs = outputs, packages = packages), **action)

def _native_type(ctx):
    """Returns the type of the toolchain for third-party code."""
    return _IMPORT_TYPE if _IMPORT_TYPE in ctx.exec_groups[NATIVE].toolchains else TOOLCHAIN_TYPE

def native_python(ctx):
    """Returns the BentoPythonInfo of the interpreter that runs third-party code in the execution group `NATIVE`."""
    return ctx.exec_groups[NATIVE].toolchains[_native_type(ctx)].python

def run_helper(ctx, *, mnemonic, progress_message, subcommand, cache_limit = None):
    """Runs a subcommand of the helper as an action.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      mnemonic: mnemonic of the action, such as `BentoLayer`.
      progress_message: message that Bazel shows during the action.
      subcommand: result of `subcommand`.
      cache_limit: `no-cache` if no cache stores the outputs, `no-remote-cache` if only the disk cache stores the
        outputs, or None.

    Returns:
      The list of output Files.
    """
    toolchain_type = _native_type(ctx) if subcommand.sandboxed else TOOLCHAIN_TYPE
    toolchain = (ctx.exec_groups[NATIVE] if subcommand.sandboxed else ctx).toolchains[toolchain_type]
    modules = [module for name in subcommand.packages for module in toolchain.packages[name]]
    in_worker = toolchain.persistent_workers and not subcommand.sandboxed
    program = toolchain.complete if subcommand.sandboxed else toolchain
    start = ctx.actions.args()
    start.add_all(INTERPRETER_FLAGS)
    start.add(toolchain.helper)
    start.add_all(
        [root for module in modules for root in module.import_roots],
        before_each = "--packages",
        expand_directories = False,
    )
    start.add(subcommand.name)
    ctx.actions.run(
        mnemonic = mnemonic,
        progress_message = progress_message,
        executable = program.python.interpreter or program.python.interpreter_path,
        arguments = [start] + subcommand.args,
        inputs = depset(subcommand.files, transitive = subcommand.inputs),
        outputs = subcommand.outputs,
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
    return subcommand.outputs

def run_steps(ctx, *, mnemonic, progress_message, steps):
    """Runs several subcommands of the helper in sequence, in one process and one action.

    Use this function for subcommands that must run again after the same changes. A single action saves processes,
    sandboxes, and cache entries.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      mnemonic: mnemonic of the action, such as `BentoLayer`.
      progress_message: message that Bazel shows during the action.
      steps: list of results of `subcommand`, which can read outputs of earlier steps. No subcommand can be `sandboxed`.
        Only the first subcommand can have `--unused`, which must not list inputs of later steps.
    """
    for one, following in zip(steps, steps[1:]):
        one.args[-1].add_all(["--then", following.name])
    written = {file: True for one in steps for file in one.outputs}
    run_helper(
        ctx,
        mnemonic = mnemonic,
        progress_message = progress_message,
        subcommand = struct(
            args = [args for one in steps for args in one.args],
            files = [file for one in steps for file in one.files if file not in written],
            inputs = [files for one in steps for files in one.inputs],
            name = steps[0].name,
            outputs = written.keys(),
            packages = {name: True for one in steps for name in one.packages}.keys(),
            sandboxed = False,
            unused_inputs_list = steps[0].unused_inputs_list,
        ),
    )
