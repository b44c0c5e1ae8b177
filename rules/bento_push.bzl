"""Defines bento_push, a program that pushes an image, an index, a Bento or a model to registries."""

load("//rules:providers.bzl", "BentoInfo", "BentoRequirementInfo")
load("//rules/private:attributes.bzl", "STAMP", "is_stamped", "label_string", "status_files")
load("//rules/private:launcher.bzl", "RUNFILES", "RUN_RUNTIME", "helper_launcher", "runfile_path", "runtime_modules")
load("//rules/private:providers.bzl", "BentoFlagInfo", "BentoPushInfo")
load("//rules/private:push_manifest.bzl", "PUSHABLE", "push_manifest")
load("//rules/private:transitions.bzl", "host_cfg")

_CACHE = "cache"

def _signing(signed):
    """Returns the packages for signing, which are fetched only for targets with `signed`."""
    return [Label("@bento_transports//cryptography"), Label("@bento_transports//pynacl")] if signed else []

def _status(ctx):
    """Returns the workspace status files with values for `{KEY}`; both, if tags come from files."""
    if ctx.files.tag_files:
        return [ctx.info_file, ctx.version_file] if is_stamped(ctx) else []
    return status_files(ctx, ctx.attr.repositories + ctx.attr.remote_tags)

def _bento_push_impl(ctx):
    from_cache = ctx.attr._push_from[BentoFlagInfo].value == _CACHE
    described = push_manifest(ctx, ctx.attr.src, leave_built = from_cache, attested = ctx.attr.signed)
    description = ctx.actions.declare_file(ctx.label.name + ".contents.json")
    ctx.actions.write(description, json.encode(described.contents))
    files = described.files + [description] + ctx.files.tag_files
    arguments = ["--target", label_string(ctx.label), "--contents", runfile_path(ctx, description)]
    for repository in ctx.attr.repositories:
        arguments += ["--repository", repository]
    for repository in ctx.attr.mount_from:
        arguments += ["--mount-from", repository]
    for tag in ctx.attr.remote_tags:
        arguments += ["--tag", tag]
    for file in ctx.files.tag_files:
        arguments += ["--tag-file", runfile_path(ctx, file)]
    for file in _status(ctx):
        arguments += ["--status", runfile_path(ctx, file)]
        files.append(file)
    if ctx.attr.signed:
        arguments.append("--signed")
    more = [target[BentoRequirementInfo].modules for target in ctx.attr._signing]
    more += [ctx.attr._http2[0][BentoRequirementInfo].modules] if from_cache else []

    # A few packages, only for a target that signs or reads a cache.
    more_modules = depset(transitive = more).to_list()
    modules = runtime_modules(ctx, ["blake3", "pyyaml"] if BentoInfo in ctx.attr.src else ["blake3"]) + more_modules
    launcher = helper_launcher(ctx, arguments = ["--directory", RUNFILES] + arguments, files = depset(files), modules = modules, subcommand = "push")
    links = ctx.runfiles(root_symlinks = described.links)
    return [
        BentoPushInfo(arguments = tuple(arguments), modules = tuple(modules), runfiles = ctx.runfiles(files).merge(links)),
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles.merge(links)),
    ]

bento_push = rule(
    implementation = _bento_push_impl,
    doc = """Pushes an image, an index, a Bento, or a model to registries with `bazel run`.

```starlark
bento_push(
    name = "push",
    src = ":iris_image",
    repositories = ["registry.example.com/iris"],
    remote_tags = ["latest"],
)
```

Bentos and models are pushed as OCI artifacts. The push uploads only missing blobs, in parallel; interrupted uploads resume, and digests are
verified. Credentials come from docker's config and its credential helpers. After `--`, `--repository` replaces `repositories`, and `--tag`
adds a tag.

With `signed = True`, the push signs in the form of cosign, with the private key of `-- --sign-key FILE`, and attests the SBOM.
`--builder-id URI` also attests provenance ([more](../docs/distribution.md#signing)). No action reads the key.

With `--@rules_bento//rules:push_from=cache`, layers of images aren't downloaded to this machine. Missing layers are streamed to the registry
from the build's remote cache; pass the build's cache flags after `--` ([more](../docs/ci.md)).""",
    attrs = {
        "mount_from": attr.string_list(doc = "Repositories of the same registry that might have some of the layers, `registry/name` each. The push also tries the repositories of earlier pushes."),
        "repositories": attr.string_list(doc = "Target repositories, `registry/name` each. In a stamped build, `{KEY}` is replaced by a value of the workspace status; other builds reject a push to a repository with `{KEY}`."),
        "signed": attr.bool(doc = "Whether to sign. Requires the private key at run time, `-- --sign-key FILE`."),
        "src": attr.label(doc = "The image, image index, Bento, or model to push.", mandatory = True, providers = PUSHABLE),
        "tag_files": attr.label_list(allow_files = True, doc = "Files with one tag per line."),
        "remote_tags": attr.string_list(doc = "Tags, with `{KEY}` as in `repositories`. Default: none; the digest identifies the pushed artifact."),
        "_http2": attr.label(cfg = host_cfg, default = "//toolchains:http2"),
        "_signing": attr.label_list(cfg = host_cfg, default = _signing, providers = [BentoRequirementInfo]),
        "_push_from": attr.label(default = "//rules:push_from", providers = [BentoFlagInfo]),
    } | RUN_RUNTIME | STAMP,
    executable = True,
)
