"""Defines bento_deployment, which writes a Kubernetes manifest for an image."""

load("//rules:providers.bzl", "BentoImageIndexInfo", "BentoImageInfo")
load("//rules/private:attributes.bzl", "add_pairs", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "run_helper", "subcommand", "target_arguments")

def _bento_deployment_impl(ctx):
    src = ctx.attr.src
    images = src[BentoImageIndexInfo].images if BentoImageIndexInfo in src else [src[BentoImageInfo]]
    digest = src[BentoImageIndexInfo].digest if BentoImageIndexInfo in src else src[BentoImageInfo].digest
    for image in images:
        if not image.bento_yaml:
            fail(("{}: expected an image that contains the models of the Bento, got {}. " +
                  "Use a bento_image with models = \"layers\".").format(label_string(ctx.label), label_string(src.label)))
    manifest = ctx.actions.declare_file(ctx.label.name + ".yaml")
    args = target_arguments(ctx)
    for image in images:
        args.add_all(["--image", image.config, image.bento_yaml])
    args.add_all(["--digest", digest, "--repository", ctx.attr.repository, "--app-name", ctx.attr.app_name])
    args.add_all(["--namespace", ctx.attr.namespace, "--port", str(ctx.attr.port)])
    args.add_all(["--read-only-root-filesystem", "1" if ctx.attr.read_only_root_filesystem else "0"])
    args.add_all(["--startup-timeout-seconds", str(ctx.attr.startup_timeout_seconds)])
    args.add_all(ctx.attr.writable_dirs, before_each = "--writable")
    args.add_all(ctx.attr.image_pull_secrets, before_each = "--pull-secret")
    add_pairs(args, "--config-map", ctx.attr.config_maps)
    add_pairs(args, "--env", ctx.attr.env)
    add_pairs(args, "--label", ctx.attr.labels)
    add_pairs(args, "--replicas", ctx.attr.replicas)
    add_pairs(args, "--secret", ctx.attr.secrets)
    args.add_all(["--output", manifest])
    run_helper(
        ctx,
        mnemonic = "BentoDeployment",
        progress_message = "Writing Kubernetes manifest %{label}",
        subcommand = subcommand(
            "deployment",
            args,
            inputs = depset([digest] + [file for image in images for file in (image.config, image.bento_yaml)]),
            packages = ["pyyaml"],
        ),
        outputs = [manifest],
    )
    return [DefaultInfo(files = depset([manifest]))]

bento_deployment = rule(
    implementation = _bento_deployment_impl,
    doc = """Writes a Kubernetes manifest, `<name>.yaml`: a Deployment and a Service for each service of the Bento.

```starlark
bento_deployment(
    name = "deployment",
    src = ":iris_images",
    repository = "registry.example.com/iris",
)
```

The manifest refers to the image by digest, so push the same `src` to `repository`. The manifest configures the addresses of dependent services.
Resource requests, limits, probes, ports, and environment variables come from the service metadata. By default, containers can write only to
`/tmp`. Containers don't run as root, unless root is the `user` of the image. The action doesn't connect to a cluster
([more](../docs/deploying.md)).""",
    attrs = {
        "app_name": attr.string(doc = "Name of the Kubernetes objects. For dependent services, `app_name` is a prefix of the name. Default: the name of the Bento."),
        "config_maps": attr.string_dict(doc = "Environment variables with values from ConfigMaps, name to `CONFIGMAP/KEY`."),
        "env": attr.string_dict(doc = "Environment variables of all containers, in addition to the variables of the image."),
        "image_pull_secrets": attr.string_list(doc = "Names of the Secrets that contain registry credentials."),
        "labels": attr.string_dict(doc = "Labels of all Kubernetes objects, in addition to `app.kubernetes.io/name`, `app.kubernetes.io/component`, and `app.kubernetes.io/version`."),
        "namespace": attr.string(doc = "Namespace of all Kubernetes objects. Default: the namespace that `kubectl apply` uses."),
        "port": attr.int(doc = "Port that the services listen on. Default: `http.port` of each service, or else 3000. Required if the image sets `entrypoint`."),
        "read_only_root_filesystem": attr.bool(default = True, doc = "Whether the root filesystem of containers is read-only. Containers can then write only to `/tmp` and `writable_dirs`."),
        "replicas": attr.string_dict(doc = "Number of Pods for each service: service name to a number (`2`) or a range (`1-4`). Default: 1. For a range, the manifest includes a HorizontalPodAutoscaler with `traffic.concurrency` of the service as the target."),
        "repository": attr.string(doc = "Repository of the pushed image, `registry/name`.", mandatory = True),
        "secrets": attr.string_dict(doc = "Environment variables with values from Secrets, name to `SECRET/KEY`. Default for a variable without a value in the Bento: the Secret `<app_name>-env`, with the name of the variable as the key."),
        "src": attr.label(doc = "The image or image index to deploy.", mandatory = True, providers = [[BentoImageInfo], [BentoImageIndexInfo]]),
        "startup_timeout_seconds": attr.int(default = 300, doc = "Maximum startup time of a service in seconds, including the time to load models."),
        "writable_dirs": attr.string_list(doc = "Absolute paths of additional directories that containers can write to. The directories are empty when a Pod starts."),
    },
    toolchains = [TOOLCHAIN_TYPE],
)
