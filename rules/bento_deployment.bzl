"""Defines bento_deployment, which writes the Kubernetes manifest that runs an image."""

load("//rules:providers.bzl", "BentoImageIndexInfo", "BentoImageInfo")
load("//rules/private:attributes.bzl", "add_pairs", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper", "verb")

def _bento_deployment_impl(ctx):
    src = ctx.attr.src
    images = src[BentoImageIndexInfo].images if BentoImageIndexInfo in src else [src[BentoImageInfo]]
    digest = src[BentoImageIndexInfo].digest if BentoImageIndexInfo in src else src[BentoImageInfo].digest
    for image in images:
        if not image.bento_yaml:
            fail(("{}: {} is an image of a model, or of a Bento whose models are mounted, and a manifest does not know from where: " +
                  "set models = \"layers\" of the bento_image").format(label_string(ctx.label), label_string(src.label)))
    manifest = ctx.actions.declare_file(ctx.label.name + ".yaml")
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    for image in images:
        args.add_all(["--image", image.config, image.bento_yaml])
    args.add_all(["--digest", digest])
    args.add_all(["--repository", ctx.attr.repository])
    args.add_all(["--app-name", ctx.attr.app_name])
    args.add_all(["--namespace", ctx.attr.namespace])
    args.add_all(["--port", str(ctx.attr.port)])
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
        progress_message = "Writing the manifest of %{label}",
        verb = verb(
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
    doc = """A Kubernetes manifest, `<name>.yaml`: a Deployment and a Service for each service of the Bento.

```starlark
bento_deployment(
    name = "deployment",
    src = ":iris_images",
    repository = "registry.example.com/iris",
)
```

The image is named by the digest that was built, so push the same `src` to `repository`. Services that call each other find
each other; requests, limits, probes, ports and variables are those of the services; containers are not root and cannot
write, as the image allows. No cluster is asked ([more](../docs/deploying.md)).""",
    attrs = {
        "app_name": attr.string(doc = "What the objects are called; those of further services begin with it. Default: the Bento's name."),
        "config_maps": attr.string_dict(doc = "Variables that ConfigMaps have, name to `CONFIGMAP/KEY`."),
        "env": attr.string_dict(doc = "Variables of all containers, beside those of the image."),
        "image_pull_secrets": attr.string_list(doc = "Names of Secrets that open the registry."),
        "labels": attr.string_dict(doc = "Labels of all objects, beside `app.kubernetes.io/name`, `component` and `version`."),
        "namespace": attr.string(doc = "Namespace of all objects. Default: that of whoever applies the manifest."),
        "port": attr.int(doc = "Where the services listen. Default: `http.port` of each, else 3000; an image with an entrypoint of its own needs it."),
        "read_only_root_filesystem": attr.bool(default = True, doc = "Whether containers can write to nothing but `/tmp` and `writable_dirs`."),
        "replicas": attr.string_dict(doc = "Name of a service to its number of Pods, `2`, or from how many to how many, `1-4`: the latter makes a HorizontalPodAutoscaler by the service's `traffic.concurrency`. Default: 1."),
        "repository": attr.string(doc = "Where the image is pushed, `registry/name`.", mandatory = True),
        "secrets": attr.string_dict(doc = "Variables that Secrets have, name to `SECRET/KEY`. Default, for those that the Bento wants a value for and that nothing gives one: the Secret `<app_name>-env`, and the variable's name in it."),
        "src": attr.label(doc = "The image, or an index of images, that is pushed.", mandatory = True, providers = [[BentoImageInfo], [BentoImageIndexInfo]]),
        "startup_timeout_seconds": attr.int(default = 300, doc = "How long a service may take to start, its models' loading included."),
        "writable_dirs": attr.string_list(doc = "Further folders that containers can write to, empty when a Pod starts."),
    },
    toolchains = [TOOLCHAIN_TYPE],
)
