"""Which interpreters are packed for actions, and what stays as it is."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("//private:interpreters.bzl", "bento_packed_python")
load("//private:providers.bzl", "BentoPythonInfo")

_LIBRARY = ["lib/python3.12/encodings/__init__.py", "lib/python3.12/json/__init__.py", "lib/python3.12/os.py"]

# Name of an interpreter that is not packed to its program, its other files and its version.
_OTHERS = {
    "of_another_version": ("bin/python3", _LIBRARY, "3.13.1"),
    "of_free_threads": ("bin/python3", [path.replace("3.12", "3.12t") for path in _LIBRARY], "3.12.1"),
    "of_the_host": ("", [], "3.12.1"),
    "packed_already": ("bin/python3", ["lib/python3.12/os.py", "lib/python312.zip"], "3.12.1"),
    "without_a_folder_of_programs": ("python3", _LIBRARY, "3.12.1"),
}

def _python_files_impl(ctx):
    files = {path: ctx.actions.declare_file(ctx.label.name + "/" + path) for path in ctx.attr.paths + [ctx.attr.program] if path}
    for file in files.values():
        ctx.actions.write(file, "", is_executable = True)
    return [BentoPythonInfo(
        files = depset(files.values()),
        interpreter = files.get(ctx.attr.program),
        interpreter_path = "" if ctx.attr.program else "/usr/bin/python3",
        version = ctx.attr.version,
    )]

_python_files = rule(
    implementation = _python_files_impl,
    attrs = {
        "paths": attr.string_list(),
        "program": attr.string(),
        "version": attr.string(),
    },
)

def _packed_impl(ctx):
    env = analysistest.begin(ctx)
    python = analysistest.target_under_test(env)[BentoPythonInfo]
    [action] = analysistest.target_actions(env)
    asserts.equals(env, "BentoInterpreter", action.mnemonic)
    files = python.files.to_list()
    asserts.equals(env, ["lib", "python3"], sorted([file.basename for file in files]))
    asserts.equals(env, sorted(files), sorted(action.outputs.to_list()))
    asserts.true(env, python.interpreter in files)
    asserts.false(env, python.interpreter.is_directory, "path mapping knows files alone")
    asserts.equals(env, "3.12.1", python.version)
    return analysistest.end(env)

_packed_test = analysistest.make(_packed_impl)

def _as_it_is_impl(ctx):
    env = analysistest.begin(ctx)
    python = analysistest.target_under_test(env)[BentoPythonInfo]
    program, paths, version = _OTHERS[ctx.attr.other]
    asserts.equals(env, [], analysistest.target_actions(env))
    asserts.equals(env, len(paths) + (1 if program else 0), len(python.files.to_list()))
    asserts.equals(env, bool(program), bool(python.interpreter))
    asserts.equals(env, not program, bool(python.interpreter_path))
    asserts.equals(env, version, python.version)
    return analysistest.end(env)

_as_it_is_test = analysistest.make(_as_it_is_impl, attrs = {"other": attr.string()})

def packed_python_tests(name):
    """Declares the tests.

    Args:
      name: what the targets' names begin with.
    """
    for other, (program, paths, version) in (_OTHERS | {"unpacked": ("bin/python3", _LIBRARY, "3.12.1")}).items():
        _python_files(name = other, paths = paths, program = program, tags = ["manual"], version = version)
        bento_packed_python(name = other + "_for_actions", python = other, tags = ["manual"])
        if other in _OTHERS:
            _as_it_is_test(name = "{}_{}".format(name, other), other = other, target_under_test = other + "_for_actions")
    _packed_test(name = name, target_under_test = "unpacked_for_actions")
