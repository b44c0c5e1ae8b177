"""Defines bento_image_index, which builds an image for several platforms and an index of the images."""

load("//private:attributes.bzl", "STAMP", "STAMPED_VALUES", "stamped_flags")
load("//private:helper.bzl", "TOOLCHAIN_TYPE", "run_leaf")
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
    index, digest = run_leaf(
        ctx,
        "image_index",
        stamped_flags(ctx, {"--annotation": ctx.attr.annotations}) | {
            "--image": [(image.config, image.manifest) for image in images],
            "--soci": [(image.manifest, image.soci) for image in images if image.soci],
        },
        mnemonic = "BentoImageIndex",
        outputs = {"--index": ".index.json", "--digest": ".digest"},
        progress_message = "Writing image index %{label}",
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
