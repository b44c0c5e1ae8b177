"""Rules of others that give providers, rightly and not."""

load("//rules:providers.bzl", "BentoDebInfo", "BentoLayerInfo", "BentoWheelInfo")

def _layer_impl(ctx):
    return [BentoLayerInfo(blob = ctx.file.src, description = ctx.file.src)]

_SRC = {"src": attr.label(allow_single_file = True, mandatory = True)}

layer_of_others = rule(implementation = _layer_impl, attrs = _SRC)

def _deb_impl(ctx):
    return [BentoDebInfo(architecture = "amd64", files = depset([ctx.file.src]), glibc = "", hub = "debs", python_version = "")]

deb_of_others = rule(implementation = _deb_impl, attrs = _SRC)

def _text_impl(ctx):
    return [BentoLayerInfo(blob = ctx.file.src.short_path, description = ctx.file.src)]

text_for_a_file = rule(implementation = _text_impl, attrs = _SRC)

def _partial_impl(ctx):
    return [BentoWheelInfo(distribution = "acme", file = ctx.file.src)]

wheel_without_version = rule(implementation = _partial_impl, attrs = _SRC)

def _further_impl(ctx):
    return [BentoLayerInfo(blob = ctx.file.src, description = ctx.file.src, digest = "sha256:0")]

further_field = rule(implementation = _further_impl, attrs = _SRC)
