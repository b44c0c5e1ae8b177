"""Programs that `bazel run` and `bazel test` start: the helper, with the runtime's interpreter, on runfiles."""

load(":attributes.bzl", "label_string")
load(":helper.bzl", "INTERPRETER_FLAGS")
load(":interpreter.bzl", "minor_version")

def shell_word(text, owner):
    """Quotes any text as one word of a POSIX shell.

    Args:
      text: a string of one line.
      owner: the label of the target whose program it stands in, for errors.

    Returns:
      The text in single quotation marks, where only these have a meaning.
    """
    for line_break in ["\n", "\r"]:
        if line_break in text:
            fail("{}: {} has a line break, which no word of a program can have: leave it out".format(owner, repr(text)))
    return "'" + text.replace("'", "'\\''") + "'"

# Attributes of rules whose programs `bazel run` starts: the runtime of the host, whatever the target is for. The target //toolchains:host_runtime changes the
# configuration, and not a transition on this attribute, of which Bazel would keep a result for each target that has the attribute.
RUN_RUNTIME = {"_runtime": attr.label(default = "//toolchains:host_runtime", providers = [platform_common.ToolchainInfo])}

# Attributes of rules for tests, which run on the platform that they are built for.
TEST_RUNTIME = {"_runtime": attr.label(default = "//toolchains:runtime", providers = [platform_common.ToolchainInfo])}

# Words that a launcher fills in when it runs: the folder of its runfiles, and its interpreter.
RUNFILES = struct(shell = "\"$runfiles\"")
PYTHON = struct(shell = "\"$python\"")

# sh is what every system that Bazel runs programs on has; all else comes from the runtime.
_LAUNCHER = """\
#!/bin/sh
# Made by rules_bento.
runfiles="${{RUNFILES_DIR:-$0.runfiles}}"
case "$runfiles" in /*) ;; *) runfiles="$PWD/$runfiles" ;; esac
export RUNFILES_DIR="$runfiles"
python={python}
{check}{chdir}exec {command} -- "$@"
"""

# Where the interpreter is one of the host, the machine that runs the program may lack it, or have another version at its path.
# The version has to be that of the build, for which the helper's byte code and the packages are made.
_CHECK = """\
own=$python
found={version}
[ -x "$own" ] || python=$(command -v python{version}) || python=$own
python=${{BENTO_PYTHON:-$python}}
if [ "$python" != "$own" ] || ! [ -x "$own" ] || [ "${{own##*/}}" != python{version} ]; then
    found=$("$python" -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || found=
fi
if [ "$found" != {version} ]; then
    printf '%s\\n' {target}": the build ran in Python {version}, and $python of this machine is ${{found:-none}}: install python{version}, set BENTO_PYTHON to its path, or take the interpreter along by bento_tools.python(debian_lock = ...) in MODULE.bazel." >&2
    exit 1
fi
"""

def runtime(ctx):
    """Returns the interpreter and the tools that a program is started with, on the machine that starts it.

    Args:
      ctx: context of a rule with the attributes of `RUN_RUNTIME` or `TEST_RUNTIME`.

    Returns:
      A ToolchainInfo, as `bento_runtime` has it.
    """
    return ctx.attr._runtime[platform_common.ToolchainInfo]

def runtime_modules(ctx, packages):
    """Returns the modules of third-party packages that a program imports.

    Args:
      ctx: context of a rule with the attributes of `RUN_RUNTIME` or `TEST_RUNTIME`.
      packages: names.

    Returns:
      A list of structs, as BentoHelperPackagesInfo has them; those of what they need among them.
    """
    return [module for name in packages for module in runtime(ctx).packages[name]]

def runfile(ctx, file):
    """Returns the path of a file as a word of a launcher's arguments.

    Args:
      ctx: the rule's context.
      file: a File of the runfiles.

    Returns:
      A struct of `shell`, the word as the shell reads it.
    """
    return _below_runfiles(ctx, runfile_path(ctx, file))

def _below_runfiles(ctx, path):
    return struct(shell = RUNFILES.shell + "/" + shell_word(path, label_string(ctx.label)))

def runfile_path(ctx, file):
    """Returns the path of a file below the runfiles.

    Args:
      ctx: the rule's context.
      file: a File.

    Returns:
      A relative path.
    """
    if file.short_path.startswith("../"):
        return file.short_path.removeprefix("../")
    return ctx.workspace_name + "/" + file.short_path

def python_check(target, version):
    """Returns the lines of a launcher that find another interpreter if `$python` is missing.

    Args:
      target: how the message begins, a text.
      version: of the build's interpreter, as "3.11.2".

    Returns:
      A text.
    """
    return _CHECK.format(target = shell_word(target, target), version = minor_version(version))

def _script(ctx, words, in_runfiles):
    """Returns the text of a program that replaces itself by the interpreter with these words."""
    python = runtime(ctx).python
    target = label_string(ctx.label)
    return _LAUNCHER.format(
        chdir = "cd \"$runfiles\" || exit 1\n" if in_runfiles else "",
        check = "" if python.interpreter else python_check(target, python.version),
        command = " ".join([shell_word(word, target) if type(word) == "string" else word.shell for word in words]),
        python = runfile(ctx, python.interpreter).shell if python.interpreter else shell_word(python.interpreter_path, target),
    )

def helper_launcher(ctx, *, verb, arguments, files, modules = [], in_runfiles = False):
    """Writes a program that runs a verb of the helper; the caller's arguments follow behind `--`.

    Args:
      ctx: context of a rule with the attributes of `RUN_RUNTIME` or `TEST_RUNTIME`.
      verb: name of the verb, a module of `py/rules_bento/run`.
      arguments: list of flags and values: strings, which are taken as they are, and what `runfile` gives.
      files: depset of what the verb reads.
      modules: list of BentoWheelModulesInfo, or of what has their `files` and `imports`, that the verb imports; `runtime_modules` has those of the runtime, and what the whole
        command imports is its `command_packages`.
      in_runfiles: whether its current folder is the runfiles' root, else the caller's.

    Returns:
      A struct of executable (File) and runfiles.
    """
    toolchain = runtime(ctx)
    words = [PYTHON] + INTERPRETER_FLAGS + [runfile(ctx, toolchain.helper)]
    for module in modules:
        for root in module.imports:
            words += ["--packages", _below_runfiles(ctx, root)]
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(executable, _script(ctx, words + [verb] + arguments, in_runfiles), is_executable = True)
    return struct(
        executable = executable,
        runfiles = ctx.runfiles(transitive_files = depset(
            [toolchain.helper],
            transitive = [files, toolchain.python.files] + [module.files for module in modules],
        )),
    )

RUN_ENVIRONMENT = {
    "env": attr.string_dict(doc = "Variables of the program, as `bazel run` and `bazel test` start it; `$(rlocationpath LABEL)` and the like stand for files of `data` and `deps`, and `$(VAR)` for Make variables."),
    "env_inherit": attr.string_list(doc = "Names of variables that it has from where Bazel was started."),
}

def run_environment(ctx):
    """Returns what a rule provides for `bazel run` and `bazel test` from these attributes.

    Args:
      ctx: context of an executable rule with the attributes of `RUN_ENVIRONMENT`, `data` and `deps`.

    Returns:
      A RunEnvironmentInfo.
    """
    targets = ctx.attr.data + ctx.attr.deps
    return RunEnvironmentInfo(
        environment = {
            name: ctx.expand_make_variables("env", ctx.expand_location(value, targets), {})
            for name, value in ctx.attr.env.items()
        },
        inherited_environment = ctx.attr.env_inherit,
    )

def runfiles_of_attributes(ctx):
    """Returns the files of `data` and `deps` with their runfiles.

    The `__init__.py` that Bazel makes up in each folder below a py_binary are left out: among ours, they would part the
    namespace packages of wheels.

    Args:
      ctx: context of a rule with these attributes.

    Returns:
      A runfiles object.
    """
    needed = [target[DefaultInfo].default_runfiles for target in ctx.attr.data + ctx.attr.deps]
    return ctx.runfiles(
        files = ctx.files.data,
        root_symlinks = depset(transitive = [runfiles.root_symlinks for runfiles in needed]),
        symlinks = depset(transitive = [runfiles.symlinks for runfiles in needed]),
        transitive_files = depset(transitive = [runfiles.files for runfiles in needed]),
    )
