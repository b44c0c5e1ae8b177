"""Attributes and arguments of rules that start an image (see run/startup_trace.py)."""

load("//rules:providers.bzl", "BentoImageInfo")
load(":attributes.bzl", "label_string")
load(":launcher.bzl", "RUNFILES", "runfile_path")
load(":push_manifest.bzl", "push_manifest")

STARTUP = {
    "image": attr.label(doc = "The image, with or without a trace.", mandatory = True, providers = [BentoImageInfo]),
    "readiness_path": attr.string(default = "/readyz", doc = "HTTP path that answers without an error when a container is ready."),
    "requests": attr.string_dict(doc = "POST requests to a ready container, path to JSON body, to include files that only requests read."),
    "startup_timeout_seconds": attr.int(default = 300, doc = "Maximum time until a container is ready."),
}

def startup_files(ctx):
    """Describes the image of a rule with `STARTUP` for a program that starts it.

    Args:
      ctx: the rule's context.

    Returns:
      A struct of arguments, a list of strings and results of `runfile`; and files, a depset of Files.
    """
    described = push_manifest(ctx, ctx.attr.image)
    description = ctx.actions.declare_file(ctx.label.name + ".contents.json")
    ctx.actions.write(description, json.encode(described.contents))
    arguments = ["--target", label_string(ctx.label), "--directory", RUNFILES, "--contents", runfile_path(ctx, description)]
    arguments += ["--ready", ctx.attr.readiness_path, "--seconds", str(ctx.attr.startup_timeout_seconds)]
    for path, body in ctx.attr.requests.items():
        arguments += ["--request", path, body]
    return struct(arguments = arguments, files = depset(described.files + [description]))
