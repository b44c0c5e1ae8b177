"""Defines bento_push, a program that pushes an image, an image index, a Bento, or a model to registries."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("//private:attributes.bzl", "STAMP", "label_string", "status_files")
load("//private:helper.bzl", "flag_words")
load("//private:launcher.bzl", "RUNFILES", "RUN_RUNTIME", "helper_launcher", "runfile_path", "runtime_modules")
load("//private:providers.bzl", "BentoPushInfo")
load("//private:push_manifest.bzl", "PUSHABLE", "push_manifest")
load("//private:wheels_flag.bzl", "ON_HOST", "common_cfg")
load("//rules:providers.bzl", "BentoInfo", "BentoRequirementInfo")

_CACHE = "cache"

def _signing(keyless, signed):
    """Returns labels of the packages that `keyless` or `signed` requires.

    Empty without both, so that other targets don't fetch packages.
    """
    packages = ["sigstore"] if keyless else ["cryptography", "pynacl"] if signed else []
    return [Label("@bento_transports//" + package) for package in packages]

def _bento_push_impl(ctx):
    from_cache = ctx.attr._push_from[BuildSettingInfo].value == _CACHE
    described = push_manifest(
        ctx,
        ctx.attr.src,
        leave_built = from_cache,
        attested = ctx.attr.keyless or ctx.attr.signed,
    )
    status = status_files(ctx, ctx.attr.repositories + ctx.attr.remote_tags)
    flags = {
        "--target": label_string(ctx.label),
        "--contents": described.contents,
        "--repository": ctx.attr.repositories,
        "--tag": ctx.attr.remote_tags,
        "--status": [runfile_path(ctx, file) for file in status],
        "--keyless": ctx.attr.keyless,
        "--signed": ctx.attr.signed and not ctx.attr.keyless,
    }
    files = described.files + status
    more = [target[BentoRequirementInfo].modules for target in ctx.attr._signing]
    more += [ctx.attr._http2[0][BentoRequirementInfo].modules] if from_cache else []

    # The list is short, and is empty for targets that neither sign nor read a remote cache.
    more_modules = depset(transitive = more).to_list()
    modules = runtime_modules(
        ctx,
        ["blake3", "urllib3"] + (["pyyaml"] if BentoInfo in ctx.attr.src else []),
    ) + more_modules
    launcher = helper_launcher(
        ctx,
        "push",
        flags | {"--directory": RUNFILES},
        files = depset(files),
        modules = modules,
    )
    links = ctx.runfiles(root_symlinks = described.links)
    return [
        BentoPushInfo(
            arguments = tuple([word for flag, value in flags.items() for word in flag_words(flag, value)]),
            modules = tuple(modules),
            runfiles = ctx.runfiles(files).merge(links),
        ),
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles.merge(links)),
    ]

bento_push = rule(
    implementation = _bento_push_impl,
    doc = """Pushes an image, an image index, a Bento, or a model to registries with `bazel run`.

```starlark
bento_push(
    name = "push",
    src = ":iris_image",
    repositories = ["registry.example.com/iris"],
    remote_tags = ["latest"],
)
```

Bentos and models become OCI artifacts. The push uploads only missing blobs, resumes interrupted uploads, and verifies
digests. Credentials come from docker's configuration and credential helpers. After `--`, `--repository` replaces
`repositories`, and `--tag` adds a tag. See [Signing](../docs/signing.md), [Keyless
signatures](../docs/signing.md#keyless-signatures), and [Push without
downloading](../docs/ci.md#push-without-downloading).""",
    attrs = {
        "keyless": attr.bool(
            doc = "Whether to sign with an OIDC identity, of the CI job or from `-- --identity-token FILE`.",
        ),
        "repositories": attr.string_list(
            doc = "Repositories (`registry/name`). Stamped builds replace `{KEY}` by a value of the workspace " +
                  "status. In other builds, `{KEY}` is an error.",
        ),
        "signed": attr.bool(
            doc = "Whether to sign the artifact and the SBOM, with the key in `-- --sign-key FILE`. `--builder-id " +
                  "URI` also attests provenance.",
        ),
        "src": attr.label(
            doc = "The image, image index, Bento, or model to push.",
            mandatory = True,
            providers = PUSHABLE,
        ),
        "remote_tags": attr.string_list(
            doc = "Tags of the artifact, in which stamped builds replace `{KEY}`. Default: none; only the digest " +
                  "identifies the artifact.",
        ),
        "_http2": attr.label(cfg = common_cfg, default = "//toolchains:http2"),
        "_signing": attr.label_list(cfg = common_cfg, default = _signing, providers = [BentoRequirementInfo]),
        "_push_from": attr.label(default = "//rules:push_from", providers = [BuildSettingInfo]),
    } | ON_HOST | RUN_RUNTIME | STAMP,
    executable = True,
)
