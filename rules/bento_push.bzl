"""bento_push: an image, an index, a Bento or a model to registries."""

load("//rules/private:attributes.bzl", "label_text")
load("//rules/private:contents.bzl", "PUSHABLE", "contents_of")
load("//rules/private:launcher.bzl", "RUNFILES", "RUN_RUNTIME", "helper_launcher", "runfile", "runfile_path")
load("//rules/private:wheels.bzl", "always_modules")
load("//rules/providers:bento.bzl", "BentoInfo")
load("//rules/providers:flag.bzl", "BentoFlagInfo")
load("//rules/providers:requirement.bzl", "BentoRequirementInfo")

_CACHE = "cache"

def _bento_push_impl(ctx):
    from_cache = ctx.attr._push_from[BentoFlagInfo].value == _CACHE
    contents, files = contents_of(ctx, ctx.attr.src, leave_built = from_cache)
    description = ctx.actions.declare_file(ctx.label.name + ".contents.json")
    ctx.actions.write(description, json.encode(contents))
    files = files + [description] + ctx.files.tag_files
    arguments = ["--target", label_text(ctx.label), "--folder", RUNFILES, "--contents", runfile_path(ctx, description)]
    for repository in ctx.attr.repositories:
        arguments += ["--repository", repository]
    for repository in ctx.attr.mount_from:
        arguments += ["--mount-from", repository]
    for tag in ctx.attr.tags_to_set:
        arguments += ["--tag", tag]
    for file in ctx.files.tag_files:
        arguments += ["--tag-file", runfile_path(ctx, file)]
    if ctx.attr.stamped:
        for file in (ctx.info_file, ctx.version_file):
            arguments += ["--status", runfile(ctx, file)]
            files.append(file)
    launcher = helper_launcher(
        ctx,
        arguments = arguments,
        files = depset(files),
        more_modules = ctx.attr._http2[0][BentoRequirementInfo].modules.to_list() if from_cache else [],
        packages = ["blake3", "pyyaml"] if BentoInfo in ctx.attr.src else ["blake3"],
        verb = "push",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]

bento_push = rule(
    implementation = _bento_push_impl,
    doc = """A program, for `bazel run`, that pushes to registries what they lack.

```starlark
bento_push(
    name = "push",
    src = ":iris_image",
    repositories = ["registry.example.com/iris"],
    tags_to_set = ["latest"],
)
```

`src` is an image or an index, or a Bento or a model, which travel as OCI artifacts. Blobs are sent in parallel, streamed,
resumed and verified; what a repository has is not sent again. Credentials are those of docker's config and its helpers.
Behind `--`, `--repository` takes the place of `repositories` and `--tag` adds a tag.

With `--@rules_bento//rules:push_from=cache` the layers of images are not downloaded: those that the registry lacks are streamed to
it from the build's remote cache, which is named, and opened, by the build's own flags behind `--` (docs/ci.md).""",
    attrs = {
        "mount_from": attr.string_list(doc = "Repositories of the same registry that may have some of the layers, `registry/name` each: of other images of the same hub. What earlier pushes left in others is known without."),
        "repositories": attr.string_list(doc = "Where to push, `registry/name` each; `{KEY}` stands for a value of the workspace status if `stamped`."),
        "src": attr.label(doc = "What to push.", mandatory = True, providers = PUSHABLE),
        "stamped": attr.bool(doc = "Whether `{KEY}` is filled in from Bazel's workspace status."),
        "tag_files": attr.label_list(allow_files = True, doc = "Files with a tag to a line."),
        "tags_to_set": attr.string_list(doc = "Tags; `{KEY}` as in `repositories`. Without any, what is pushed is known by its digest alone."),
        "_http2": attr.label(cfg = always_modules, default = "//toolchains:http2", providers = [BentoRequirementInfo]),
        "_push_from": attr.label(default = "//rules:push_from", providers = [BentoFlagInfo]),
    } | RUN_RUNTIME,
    executable = True,
)
