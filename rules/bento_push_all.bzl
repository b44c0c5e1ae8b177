"""Defines bento_push_all, a program that runs several pushes."""

load("//private:launcher.bzl", "RUNFILES", "RUN_RUNTIME", "helper_launcher", "runfile_path")
load("//private:providers.bzl", "BentoPushInfo")

def _bento_push_all_impl(ctx):
    pushes = [target[BentoPushInfo] for target in ctx.attr.pushes]
    file = ctx.actions.declare_file(ctx.label.name + ".pushes.json")
    ctx.actions.write(file, json.encode({"pushes": [push.arguments for push in pushes]}))
    modules = {module: None for push in pushes for module in push.modules}
    launcher = helper_launcher(
        ctx,
        "push",
        {"--directory": RUNFILES, "--pushes": runfile_path(ctx, file)},
        files = depset([file]),
        modules = modules.keys(),
    )
    return [
        DefaultInfo(
            executable = launcher.executable,
            runfiles = launcher.runfiles.merge_all([push.runfiles for push in pushes]),
        ),
    ]

bento_push_all = rule(
    implementation = _bento_push_all_impl,
    doc = """Pushes several images, Bentos, and models with one `bazel run`.

```starlark
bento_push_all(
    name = "push_all",
    pushes = ["//billing:push", "//search:push"],
)
```

A blob is uploaded to one repository of a registry, and mounted in the others. The options of `bento_push`, except
`--repository`, apply to all pushes.""",
    attrs = {
        "pushes": attr.label_list(
            allow_empty = False,
            doc = "`bento_push` targets.",
            mandatory = True,
            providers = [BentoPushInfo],
        ),
    } | RUN_RUNTIME,
    executable = True,
)
