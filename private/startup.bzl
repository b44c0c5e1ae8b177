"""Defines attributes and arguments of rules that start an image (see run/startup.py)."""

load("//rules:providers.bzl", "BentoImageInfo")
load(":attributes.bzl", "label_string")
load(":launcher.bzl", "RUNFILES", "runfile_path")
load(":push_manifest.bzl", "push_manifest")

STARTUP = {
    "image": attr.label(doc = "The image to start.", mandatory = True, providers = [BentoImageInfo]),
    "port": attr.int(doc = "Port of the server. Default: the lowest port that the image exposes, or 3000."),
    "readiness_path": attr.string(default = "/readyz", doc = "HTTP path for readiness checks. A container is ready when a request to this path succeeds. For servers without HTTP, such as gRPC, use an empty string: a container is then ready when the port accepts connections."),
    "requests": attr.string_dict(doc = "POST requests to send to the container when it is ready. Keys are paths; values are JSON bodies. Use this attribute if the container reads some files only when it handles requests."),
    "startup_timeout_seconds": attr.int(default = 300, doc = "Maximum time until a container is ready, in seconds. A test waits for at most 80% of its `timeout`."),
}

def startup_files(ctx):
    """Returns the arguments and Files of a program that starts an image.

    Args:
      ctx: context of a rule with the attributes `STARTUP`.

    Returns:
      A struct of `arguments` (list of strings) and `files` (depset of Files).
    """
    described = push_manifest(ctx, ctx.attr.image)
    description = ctx.actions.declare_file(ctx.label.name + ".contents.json")
    ctx.actions.write(description, json.encode(described.contents))
    arguments = ["--target", label_string(ctx.label), "--directory", RUNFILES, "--contents", runfile_path(ctx, description)]
    arguments += ["--port", str(ctx.attr.port), "--ready", ctx.attr.readiness_path, "--seconds", str(ctx.attr.startup_timeout_seconds)]
    for path, body in ctx.attr.requests.items():
        arguments += ["--request", path, body]
    return struct(arguments = arguments, files = depset(described.files + [description]))
