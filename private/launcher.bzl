"""Declares programs for `bazel run` and `bazel test`, which run a subcommand of the helper with the interpreter of the
runtime."""

load(":attributes.bzl", "label_string", "minor_version")
load(":helper.bzl", "INTERPRETER_FLAGS", "flag_words")

def shell_word(text, owner):
    """Returns a string in single quotes for a POSIX shell.

    Fails, with the label `owner`, if the string contains a line break.
    """
    if "\n" in text or "\r" in text:
        fail("{}: {} contains a line break. Remove the line break.".format(owner, repr(text)))
    return "'" + text.replace("'", "'\\''") + "'"

# Attributes of rules with programs for `bazel run`. The programs use the runtime of the host, independent of the target
# platform. The target //toolchains:host_runtime changes the configuration, because Bazel would store the results of a
# transition on this attribute for each target.
RUN_RUNTIME = {
    "_runtime": attr.label(default = "//toolchains:host_runtime", providers = [platform_common.ToolchainInfo]),
}

# Attributes of test rules. Tests use the runtime of the target platform, because they run on this platform.
TEST_RUNTIME = {"_runtime": attr.label(default = "//toolchains:runtime", providers = [platform_common.ToolchainInfo])}

# Arguments that a launcher replaces at run time: the runfiles directory, and the path of the interpreter.
RUNFILES = struct(shell = "\"$runfiles\"")
PYTHON = struct(shell = "\"$python\"")

# The launcher requires only sh, which all supported systems have. The runtime provides all other programs.
_LAUNCHER = """\
#!/bin/sh
# Made by rules_bento.
runfiles="${{RUNFILES_DIR:-$0.runfiles}}"
case "$runfiles" in /*) ;; *) runfiles="$PWD/$runfiles" ;; esac
export RUNFILES_DIR="$runfiles"
python={python}
{check}{chdir}exec {command} -- "$@"
"""

# The machine that runs the program might have no interpreter at this path, or an interpreter of another version. The
# version must be the version of the build, because the helper's bytecode and the packages are built for this version.
_CHECK = """\
own=$python
found={version}
[ -x "$own" ] || python=$(command -v python{version}) || python=$own
python=${{BENTO_PYTHON:-$python}}
if [ "$python" != "$own" ] || ! [ -x "$own" ] || [ "${{own##*/}}" != python{version} ]; then
    found=$("$python" -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || found=
fi
if [ "$found" != {version} ]; then
    problem="the build ran in Python {version}, and $python of this machine is ${{found:-none}}"
    remedy="set BENTO_PYTHON to its path, or include the interpreter with bento_tools.python(debian_lock = ...)"
    printf '%s\\n' {target}": $problem. Install python{version}, $remedy in MODULE.bazel." >&2
    exit 1
fi
"""

def runtime(ctx):
    """Returns the ToolchainInfo of `bento_runtime`, which provides the interpreter and the tools of programs."""
    return ctx.attr._runtime[platform_common.ToolchainInfo]

def runtime_modules(ctx, packages):
    """Returns the modules of third-party packages and of their dependencies for programs that import them.

    See BentoHelperPackagesInfo.
    """
    return [module for name in packages for module in runtime(ctx).packages[name]]

def _shell(ctx, word):
    """Returns a word of a command in shell syntax: a string, a File in the runfiles, `RUNFILES`, or `PYTHON`."""
    if type(word) == "struct":
        return word.shell
    target = label_string(ctx.label)
    if type(word) == "File":
        return "{}/{}".format(RUNFILES.shell, shell_word(runfile_path(ctx, word), target))
    return shell_word(word, target)

def runfile_path(ctx, file):
    """Returns the path of a File relative to the runfiles directory."""
    if file.short_path.startswith("../"):
        return file.short_path.removeprefix("../")
    return ctx.workspace_name + "/" + file.short_path

def python_check(target, version):
    """Returns launcher lines that select an interpreter of `version`: `$BENTO_PYTHON`, `$python`, or one on PATH.

    Errors begin with `target`.
    """
    return _CHECK.format(target = shell_word(target, target), version = minor_version(version))

def _script(ctx, words, in_runfiles):
    """Returns the shell script of a launcher, which runs the command `words`. See `_shell`."""
    python = runtime(ctx).python
    target = label_string(ctx.label)
    return _LAUNCHER.format(
        chdir = "cd \"$runfiles\" || exit 1\n" if in_runfiles else "",
        check = "" if python.interpreter else python_check(target, python.version),
        command = " ".join([_shell(ctx, word) for word in words]),
        python = _shell(ctx, python.interpreter or python.interpreter_path),
    )

def helper_launcher(ctx, subcommand, flags, *, files = depset(), modules = [], in_runfiles = False):
    """Declares a program that runs a subcommand of the helper, with additional arguments from the user.

    Args:
      ctx: context of a rule with the attributes `RUN_RUNTIME` or `TEST_RUNTIME`.
      subcommand: name of a subcommand of the helper, or the complete name of a module.
      flags: dict of flag to value: a string, a File, `RUNFILES`, `PYTHON`, or a tuple of these; a bool; or a list of
        values. Files are runfiles. None omits the flag. `--target` is the label of the target.
      files: depset of further Files that the subcommand reads.
      modules: list of packages that the subcommand imports: structs with `files` and `imports`, such as
        BentoWheelModulesInfo. See `runtime_modules`. For the `bento` command, see `command_packages` of the runtime.
      in_runfiles: whether the program changes the current directory to the runfiles directory.

    Returns:
      A struct of `executable` (File) and `runfiles`.
    """
    toolchain = runtime(ctx)
    target = label_string(ctx.label)
    packages = [
        struct(shell = "{}/{}".format(RUNFILES.shell, shell_word(root, target)))
        for module in modules
        for root in module.imports
    ]
    flags = {"--target": target} | flags
    arguments = [word for flag, value in flags.items() for word in flag_words(flag, value)]
    words = [PYTHON] + INTERPRETER_FLAGS + [toolchain.helper] + flag_words("--packages", packages) + [subcommand]
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(executable, _script(ctx, words + arguments, in_runfiles), is_executable = True)
    return struct(
        executable = executable,
        runfiles = ctx.runfiles(transitive_files = depset(
            [toolchain.helper] + [word for word in arguments if type(word) == "File"],
            transitive = [files, toolchain.python.files] + [module.files for module in modules],
        )),
    )

ENVIRONMENT_VALUES = ("Values can contain Make variables, `$(VAR)`, and paths of files in `data` and `deps`, such " +
                      "as `$(rlocationpath LABEL)`.")

def run_environment(ctx, attribute):
    """Returns the RunEnvironmentInfo of an executable rule.

    The rule has the attributes `data`, `deps`, and `attribute`, a dict of variables.
    """
    targets = ctx.attr.data + ctx.attr.deps
    return RunEnvironmentInfo({
        name: ctx.expand_make_variables(attribute, ctx.expand_location(value, targets), {})
        for name, value in getattr(ctx.attr, attribute).items()
    })

def runfiles_of_attributes(ctx):
    """Returns runfiles with the files in `data` and the runfiles of `data` and `deps`.

    They lack `__init__.py` files that Bazel generates.
    """

    # Generated `__init__.py` files would break namespace packages that several wheels share.
    needed = [target[DefaultInfo].default_runfiles for target in ctx.attr.data + ctx.attr.deps]
    return ctx.runfiles(
        files = ctx.files.data,
        root_symlinks = depset(transitive = [runfiles.root_symlinks for runfiles in needed]),
        symlinks = depset(transitive = [runfiles.symlinks for runfiles in needed]),
        transitive_files = depset(transitive = [runfiles.files for runfiles in needed]),
    )
