"""Defines bento_image_index, which builds an image for several platforms and an index of the images."""

load("//private:attributes.bzl", "STAMP", "STAMPED_VALUES", "add_pairs", "is_stamped", "split_stamped", "status_files")
load("//private:helper.bzl", "TOOLCHAIN_TYPE", "run_helper", "subcommand", "target_arguments")
load("//private:target.bzl", "PLATFORM_INPUTS", "shared_name")
load("//rules:providers.bzl", "BentoImageIndexInfo", "BentoImageInfo")

_PLATFORMS = "//command_line_option:platforms"

def _for_each_platform_impl(settings, attr):
    return {str(platform): {_PLATFORMS: shared_name(settings, platform)} for platform in attr.platforms}

_for_each_platform = transition(
    implementation = _for_each_platform_impl,
    inputs = PLATFORM_INPUTS,
    outputs = [_PLATFORMS],
)

def _bento_image_index_impl(ctx):
    images = [target[BentoImageInfo] for target in ctx.split_attr.image.values()]
    index = ctx.actions.declare_file(ctx.label.name + ".index.json")
    digest = ctx.actions.declare_file(ctx.label.name + ".digest")
    args = target_arguments(ctx)
    for image in images:
        args.add_all(["--image", image.config, image.manifest])
        if image.soci:
            args.add_all(["--soci", image.manifest, image.soci])
    annotations, stamped_annotations = split_stamped(ctx.attr.annotations)
    add_pairs(args, "--annotation", annotations)
    status = status_files(ctx, stamped_annotations.values())
    if is_stamped(ctx):
        add_pairs(args, "--stamped-annotation", stamped_annotations)
    args.add_all(status, before_each = "--status")
    args.add_all(["--index", index, "--digest", digest])
    run_helper(
        ctx,
        mnemonic = "BentoImageIndex",
        progress_message = "Writing image index %{label}",
        subcommand = subcommand(
            "image_index",
            args,
            inputs = depset(
                [file for image in images for file in (image.config, image.manifest, image.soci) if file] + status,
            ),
        ),
        outputs = [index, digest],
    )
    return [
        BentoImageIndexInfo(digest = digest, images = tuple(images), index = index),
        DefaultInfo(files = depset([index, digest])),
    ]

bento_image_index = rule(
    implementation = _bento_image_index_impl,
    doc = """Builds an image for several platforms, and an OCI image index of the images. The build doesn't run code of
these platforms.

```starlark
bento_image_index(
    name = "iris_images",
    image = ":iris_image",
    platforms = [
        "@rules_bento//toolchains/platforms:linux_amd64",
        "@rules_bento//toolchains/platforms:linux_arm64",
    ],
)
```""",
    attrs = {
        "annotations": attr.string_dict(doc = "Annotations of the image index. " + STAMPED_VALUES),
        "image": attr.label(
            cfg = _for_each_platform,
            doc = "The image to build for each platform.",
            mandatory = True,
            providers = [BentoImageInfo],
        ),
        "platforms": attr.label_list(
            doc = "Target platforms.",
            mandatory = True,
            providers = [platform_common.PlatformInfo],
        ),
        "_stamp": STAMP["_stamp"],
    },
    provides = [BentoImageIndexInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
