"""The interpreter of actions in few files, for they are inputs of every action."""

load("//rules/private:helper.bzl", "COMPILER_FLAGS", "COMPILER_VARIABLES")  # buildifier: disable=bzl-visibility
load("//rules/private:providers.bzl", "BentoPythonInfo")  # buildifier: disable=bzl-visibility
load("//rules/private:transitions.bzl", "modules_cfg")  # buildifier: disable=bzl-visibility

_PACKING_TYPE = "//toolchains:packing_type"

def _is_unpacked(python):
    """Returns whether an interpreter lies as `make install` has it, with each module as a file."""
    if not python.interpreter:
        return False
    folder, _, _ = python.interpreter.short_path.rpartition("/")
    prefix, _, name = folder.rpartition("/")
    library = "{}/lib/python{}/".format(prefix, ".".join(python.version.split(".")[:2]))
    wanted = [library + "os.py", library + "encodings/__init__.py"]

    # Some thousands of files, once for each platform that actions run on.
    return name == "bin" and len([None for file in python.files.to_list() if file.short_path in wanted]) == len(wanted)

def _bento_packed_python_impl(ctx):
    python = ctx.attr.python[BentoPythonInfo]
    if not _is_unpacked(python):
        return [python, DefaultInfo(files = python.files)]

    # A program inside of a folder would be a text in command lines, and the paths of texts are not mapped.
    program = ctx.actions.declare_file(ctx.label.name + "/bin/python3")
    library = ctx.actions.declare_directory(ctx.label.name + "/lib")
    args = ctx.actions.args()
    args.add_all(COMPILER_FLAGS)
    args.add_all([ctx.file._packer, "--checked", python.interpreter, program])
    ctx.actions.run(
        mnemonic = "BentoInterpreter",
        progress_message = "Packing the interpreter of actions",
        executable = python.interpreter,
        arguments = [args],
        inputs = python.files,
        outputs = [program, library],
        tools = [ctx.file._packer],
        env = COMPILER_VARIABLES,
        execution_requirements = {"block-network": "1", "supports-path-mapping": "1"},
        toolchain = _PACKING_TYPE,
    )
    files = depset([program, library])
    return [
        BentoPythonInfo(
            files = files,
            interpreter = program,
            interpreter_path = "",
            version = python.version,
        ),
        DefaultInfo(files = files),
    ]

bento_packed_python = rule(
    implementation = _bento_packed_python_impl,

    # One configuration for all, or it would be packed once for each set of flags of the targets that ask for it.
    cfg = modules_cfg,
    doc = """A CPython of few files: the CPython of another target, packed where its modules are files, without what only people and their code import.

What has an `interpreter_path`, another layout, or is packed already stays as it is.""",
    attrs = {
        "python": attr.label(doc = "The interpreter.", mandatory = True, providers = [BentoPythonInfo]),
        "_packer": attr.label(allow_single_file = True, default = "//toolchains/private:pack_python.py"),
    },
    provides = [BentoPythonInfo],
    # What packs an interpreter starts it: on a machine of the platform that it is for.
    toolchains = [_PACKING_TYPE],
)
