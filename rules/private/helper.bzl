"""Runs the helper in the toolchain's interpreter, which is the only way in which rules run an action."""

TOOLCHAIN_TYPE = Label("//toolchains:toolchain_type")

# -I and -S keep the host's packages and variables out, -B its byte code; texts are UTF-8 in every locale.
INTERPRETER_FLAGS = ["-I", "-S", "-B", "-X", "utf8"]

# The same for programs that write byte code: before 3.11 that has sets of strings in the order of their hashes, so these hear of one
# variable, the only one of their actions.
COMPILER_FLAGS = ["-s", "-S", "-B", "-X", "utf8"]
COMPILER_VARIABLES = {"PYTHONHASHSEED": "0"}

_REQUIREMENTS = {"block-network": "1", "supports-path-mapping": "1"}

# Not multiplex: --worker_sandboxing would be without effect then, and a fork for each request has no use for it.
_WORKER_REQUIREMENTS = _REQUIREMENTS | {"requires-worker-protocol": "json", "supports-workers": "1"}

# Verbs that compress or digest what may be gigabytes, on as many threads as there are cores, at most eight
# (py/rules_bento/archives/xz.py). Others may be given many threads, but have work for one.
_THREADED = ["data", "data_layer", "deb_layer", "export_model", "files_layer", "model", "model_layer", "tar_layer", "weights_layer", "wheel_layer"]

def _several_cores(_os, _inputs):
    """Returns the resources of a verb with threads: memory in MB for eight of them. Bazel runs it alone on fewer cores."""
    return {"cpu": 4, "memory": 250}

def arguments(ctx):
    """Starts the arguments of a verb; they travel in a file, one to a line.

    Args:
      ctx: the rule's context.

    Returns:
      An Args.
    """
    args = ctx.actions.args()
    args.use_param_file("@%s", use_always = True)
    args.set_param_file_format("multiline")
    return args

def add_directories(args, flag, modules):
    """Adds the folders that modules are imported from. What an action writes to is named when that is known.

    Args:
      args: an Args.
      flag: what stands before each.
      modules: list of BentoWheelModulesInfo.
    """
    args.add_all(
        [root for module in modules for root in module.import_roots],
        before_each = flag,
        expand_directories = False,
    )

def verb(name, args, *, inputs, packages = [], sandboxed = False, unused_inputs_list = None):
    """Describes what the helper does: a verb with its arguments, inputs and packages.

    Args:
      name: of a module of `py/rules_bento/actions`.
      args: what `arguments` returned, filled, or a list of such.
      inputs: depset of what the verb reads.
      packages: names of the third-party packages that the verb imports.
      sandboxed: whether it runs code of others, which only a sandbox holds to what is declared: no worker does that, and its interpreter is complete.
      unused_inputs_list: a file of the outputs that names the inputs without influence.

    Returns:
      A struct for `run_helper`.
    """
    return struct(
        args = args if type(args) == "list" else [args],
        inputs = inputs,
        name = name,
        packages = packages,
        sandboxed = sandboxed,
        unused_inputs_list = unused_inputs_list,
    )

def run_helper(ctx, *, mnemonic, progress_message, verb, outputs):
    """Runs a verb of the helper as an action.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      mnemonic: `Bento...`.
      progress_message: what a person reads while it runs.
      verb: what `verb` returned.
      outputs: list of what it writes.
    """
    toolchain = ctx.toolchains[TOOLCHAIN_TYPE]
    modules = [module for name in verb.packages for module in toolchain.packages[name]]
    in_worker = toolchain.persistent_workers and not verb.sandboxed
    program = toolchain.complete if verb.sandboxed else toolchain
    start = ctx.actions.args()
    start.add_all(INTERPRETER_FLAGS)
    start.add(toolchain.helper)
    add_directories(start, "--packages", modules)
    start.add(verb.name)
    ctx.actions.run(
        mnemonic = mnemonic,
        progress_message = progress_message,
        executable = program.python.interpreter or program.python.interpreter_path,
        arguments = [start] + verb.args,
        inputs = verb.inputs,
        outputs = outputs,
        tools = depset(transitive = [program.tools] + [toolchain.tools_of_packages[name] for name in verb.packages]),
        resource_set = _several_cores if verb.name in _THREADED else None,
        unused_inputs_list = verb.unused_inputs_list,
        env = {},
        execution_requirements = _WORKER_REQUIREMENTS if in_worker else _REQUIREMENTS,
        toolchain = TOOLCHAIN_TYPE,
    )

def run_steps(ctx, *, mnemonic, progress_message, steps):
    """Runs verbs of the helper one after the other, in one process, as one action.

    This is for verbs that the same changes run again: a start, a sandbox and an entry in caches once in place of each.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      mnemonic: `Bento...`.
      progress_message: what a person reads while they run.
      steps: list of structs of `verb`, what the function of that name returned, and of two lists of Files: `outputs`, and `step_inputs`,
        what the verb reads beside its inputs, and an earlier one may write. None of the verbs is sandboxed, and the first one
        alone has an `unused_inputs_list`, which names nothing that a later one reads.
    """
    written = {file: True for step in steps for file in step.outputs}
    verbs = [step.verb for step in steps]
    for one, following in zip(verbs, verbs[1:]):
        one.args[-1].add_all(["--then", following.name])
    run_helper(
        ctx,
        mnemonic = mnemonic,
        progress_message = progress_message,
        verb = verb(
            verbs[0].name,
            [args for one in verbs for args in one.args],
            inputs = depset(
                [file for step in steps for file in step.step_inputs if file not in written],
                transitive = [one.inputs for one in verbs],
            ),
            packages = {name: True for one in verbs for name in one.packages}.keys(),
            unused_inputs_list = verbs[0].unused_inputs_list,
        ),
        outputs = written.keys(),
    )
