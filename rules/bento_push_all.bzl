"""Defines bento_push_all, a program that runs several pushes."""

load("//private:attributes.bzl", "label_string")
load("//private:launcher.bzl", "RUNFILES", "RUN_RUNTIME", "helper_launcher", "runfile_path")
load("//private:providers.bzl", "BentoPushInfo")

def _bento_push_all_impl(ctx):
    pushes = [target[BentoPushInfo] for target in ctx.attr.pushes]
    file = ctx.actions.declare_file(ctx.label.name + ".pushes.json")
    ctx.actions.write(file, json.encode({"pushes": [push.arguments for push in pushes]}))
    modules = {module: None for push in pushes for module in push.modules}
    launcher = helper_launcher(
        ctx,
        arguments = ["--target", label_string(ctx.label), "--directory", RUNFILES, "--pushes", runfile_path(ctx, file)],
        files = depset([file]),
        modules = modules.keys(),
        subcommand = "push",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles.merge_all([push.runfiles for push in pushes]))]

bento_push_all = rule(
    implementation = _bento_push_all_impl,
    doc = """Pushes several images, Bentos, and models with one `bazel run`.

```starlark
bento_push_all(
    name = "push_all",
    pushes = ["//billing:push", "//search:push"],
)
```

If several repositories in a registry lack a blob, the program uploads the blob to one repository, and mounts the blob in the others. It writes the
tags after all blobs. To resume an interrupted push, run the program again. An unchanged image needs three requests.

After `--`, pass the options of `bento_push`, except `--repository`. The options apply to all pushes.""",
    attrs = {
        "pushes": attr.label_list(allow_empty = False, doc = "The `bento_push` targets to run.", mandatory = True, providers = [BentoPushInfo]),
    } | RUN_RUNTIME,
    executable = True,
)
