"""Defines main_of, which finds what a Python program starts, and declare_launcher, for a program in Bentos."""

load(":attributes.bzl", "label_string")
load(":launcher.bzl", "runfile_path")
load(":layers.bzl", "ENVIRONMENT")

# The executable of a py_binary starts the interpreter of the build machine, from its runfiles. The launcher starts the
# interpreter of the environment, in images by its path, because their bases need no /usr/bin/env. Images have a
# directory for each repository, as runfiles. In Bentos, src/ is the main repository, and contains the others.
_LAUNCHER = '''\
#!{interpreter}
"""Starts {label} in the Python of the environment, with the import path of the program. Made by rules_bento."""
import os, sys

def place(path):
    rest = path.partition("/")[2]
    places = [os.path.join(own, *each) for each in (["..", path], [path], [rest], ["..", rest])]
    return next(filter(os.path.exists, places), path)

own = os.path.normpath(os.path.join(os.path.realpath(__file__), {up}))
os.environ["PYTHONPATH"] = os.pathsep.join([*map(place, {roots}), *filter(None, [os.environ.get("PYTHONPATH")])])
os.execv(sys.executable, [sys.executable, *{options}, {main}, *sys.argv[1:]])
'''

def main_of(target, ctx):
    """Returns a struct of the main `file` and `module` of the executable rule to which an aspect applies, or None.

    Also of `options` (tuple of the interpreter's options).
    """

    # rules_python 1.3 added main_module and interpreter_args, and PyExecutableInfo isn't in all supported versions.
    module = getattr(ctx.rule.attr, "main_module", "")
    files = getattr(ctx.rule.files, "main", [])
    executable = target[DefaultInfo].files_to_run.executable
    if not (files or module) and executable:
        srcs = getattr(ctx.rule.files, "srcs", [])
        name = "/{}.py".format(ctx.label.name)
        files = [file for file in srcs if ("/" + file.short_path).endswith(name)] or (srcs if len(srcs) == 1 else [])
    if not (files or module):
        return None
    return struct(
        file = files[0] if files else None,
        module = module,
        options = tuple(getattr(ctx.rule.attr, "interpreter_args", [])),
    )

def declare_launcher(ctx, executable, main, roots):
    """Declares the file that Bentos and images have at the path of the executable of a Python program.

    Args:
      ctx: context of an aspect.
      executable: the executable (File).
      main: result of `main_of`.
      roots: directories of the import path, each `<repository>/<directory>`.

    Returns:
      An item of `links` of BentoSourcesInfo.
    """
    start = "\"-m\", " + json.encode(main.module) if main.module else None
    files = []
    interpreters = {"launcher": "/usr/bin/env python3", "image_launcher": ENVIRONMENT + "/bin/python"}
    for name, interpreter in interpreters.items():
        files.append(ctx.actions.declare_file("{}.bento_{}".format(executable.basename, name), sibling = executable))
        ctx.actions.write(files[-1], _LAUNCHER.format(
            interpreter = interpreter,
            label = label_string(ctx.label),
            main = start or "place({})".format(json.encode(runfile_path(ctx, main.file))),
            options = json.encode(main.options),
            roots = json.encode(roots),
            up = json.encode("/".join([".."] * runfile_path(ctx, executable).count("/"))),
        ), is_executable = True)
    return struct(file = files[0], image_file = files[1], short_path = executable.short_path)
