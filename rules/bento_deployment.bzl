"""Defines bento_deployment, which writes a Kubernetes manifest for an image."""

load("//private:attributes.bzl", "json_pairs", "label_string")
load("//private:helper.bzl", "TOOLCHAIN_TYPE", "run_leaf")
load("//rules:providers.bzl", "BentoImageIndexInfo", "BentoImageInfo")

# Attributes that an InferenceService doesn't have.
_DEPLOYMENT_ONLY = ["config_maps", "env", "models", "openshift", "port", "replicas", "secrets", "writable_dirs"]

def _problem(ctx, image):
    """Returns the first error in the attributes for `image` and the images of its models, or an empty string."""
    src = label_string(ctx.attr.src.label)
    if not (image.bento_yaml or image.model_mount):
        return ("a manifest requires an image of a Bento or of models, but {} is another image. Write the manifest " +
                "by hand.").format(src)
    if not image.bento_yaml:
        unsupported = [name for name in _DEPLOYMENT_ONLY if getattr(ctx.attr, name)]
        if unsupported:
            return "{} isn't supported for an image of models, which KServe serves. Remove the attribute.".format(
                unsupported[0],
            )
        if image.model_mount not in ["oci", "oci+native"] or not ctx.attr.model_format:
            return ("KServe serves {} only with format = \"kserve\" on the bento_model_image, and model_format on " +
                    "this target. Set both attributes.").format(src)
        return ""
    if ctx.attr.model_format:
        return ("model_format requires an image of models, but {} is an image of a " +
                "Bento. Remove model_format.").format(src)
    if image.models not in ["image", "layers"]:
        return ("{} isn't an image of a Bento with its models, which a manifest requires. " +
                "Use a bento_image with models = \"layers\" or \"image\".").format(src)
    if ctx.attr.models and image.models != "image":
        return ("models: {} includes its models. Remove models, or set models = " +
                "\"image\" on the bento_image.").format(src)
    for target in ctx.attr.models:
        if target[BentoImageInfo].model_mount != "bento":
            return ("models: {} isn't an image of models for Bentos. Use a bento_model_image with format = " +
                    "\"image\".").format(label_string(target.label))
    return ""

def _bento_deployment_impl(ctx):
    src = ctx.attr.src
    images = src[BentoImageIndexInfo].images if BentoImageIndexInfo in src else [src[BentoImageInfo]]
    digest = (src[BentoImageIndexInfo] if BentoImageIndexInfo in src else src[BentoImageInfo]).digest
    first = images[0]
    problem = _problem(ctx, first)
    if problem:
        fail("{}: {}".format(label_string(ctx.label), problem))
    model_images = [(target[BentoImageInfo], repository) for target, repository in ctx.attr.models.items()]
    files = run_leaf(
        ctx,
        "deployment",
        {
            "--app-name": ctx.attr.app_name,
            "--config-map": json_pairs(ctx.attr.config_maps),
            "--digest": digest,
            "--env": json_pairs(ctx.attr.env),
            "--image": [(image.config, image.bento_yaml) for image in images if image.bento_yaml],
            "--kserve": None if first.bento_yaml else (first.model_mount, ctx.attr.model_format),
            "--model": list(first.model_descriptions),
            "--model-image": [
                (description, image.digest, repository)
                for image, repository in model_images
                for description in image.model_descriptions
            ],
            "--openshift": "1" if ctx.attr.openshift else "0",
            "--pod-spec": [(file, file.short_path) for file in ctx.files.pod_spec],
            "--port": str(ctx.attr.port),
            "--replicas": json_pairs(ctx.attr.replicas),
            "--repository": ctx.attr.repository,
            "--secret": json_pairs(ctx.attr.secrets),
            "--startup-timeout-seconds": str(ctx.attr.startup_timeout_seconds),
            "--writable": ctx.attr.writable_dirs,
        },
        mnemonic = "BentoDeployment",
        outputs = {"--output": ".yaml"},
        packages = ["jinja2", "pyyaml"],
        progress_message = "Writing Kubernetes manifest %{label}",
    )
    return [DefaultInfo(files = depset(files))]

bento_deployment = rule(
    implementation = _bento_deployment_impl,
    doc = """Writes a Kubernetes manifest, `<name>.yaml`: a Deployment and a Service for each service of the Bento, or
an InferenceService for a `bento_model_image` with `format = "kserve"`.

Experimental: a minor version can change this rule without an error for the old form.

```starlark
bento_deployment(
    name = "deployment",
    src = ":iris_images",
    repository = "registry.example.com/iris",
)
```

The manifest refers to the image by digest, so push `src` to `repository` first. Resources, probes, ports, and variables
come from the services ([guide](../docs/deploying.md)).""",
    attrs = {
        "app_name": attr.string(
            doc = "Name of the Kubernetes objects, and prefix of the names for further services. Default: the name " +
                  "of the Bento or the model. Required for several models.",
        ),
        "config_maps": attr.string_dict(
            doc = "Environment variables with values from ConfigMaps, from name to `CONFIGMAP/KEY`.",
        ),
        "env": attr.string_dict(doc = "Additional environment variables of all containers."),
        "model_format": attr.string(
            doc = "KServe model format, such as `huggingface`, `onnx`, or `sklearn`. Required for a " +
                  "`bento_model_image`.",
        ),
        "models": attr.label_keyed_string_dict(
            doc = "`bento_model_image` targets of the Bento's models, to the repositories with the pushed images, " +
                  "which Pods mount as image volumes (Kubernetes 1.35 or later). Required for `models = \"image\"`.",
            providers = [BentoImageInfo],
        ),
        "openshift": attr.bool(
            doc = "Whether OpenShift chooses the user and group IDs of containers (policy `restricted-v2`). The " +
                  "image must not require its user's ID.",
        ),
        "pod_spec": attr.label(
            allow_single_file = [".yaml", ".yml"],
            doc = "YAML file with further fields of the `spec` of all Pods, such as `nodeSelector`, `tolerations`, " +
                  "or `runtimeClassName`.",
        ),
        "port": attr.int(
            doc = "Port of the services. Default: `http.port` of each service, otherwise 3000. Required if the " +
                  "image sets `entrypoint`.",
        ),
        "replicas": attr.string_dict(
            doc = "Number of Pods, from service to a number (`2`) or a range (`1-4`). Default: 1. A range adds a " +
                  "HorizontalPodAutoscaler for `traffic.concurrency`.",
        ),
        "repository": attr.string(
            doc = "Repository of the pushed image (`registry/name`). For KServe, `oci+fetch://registry/name` also " +
                  "selects the scheme.",
            mandatory = True,
        ),
        "secrets": attr.string_dict(
            doc = "Environment variables with values from Secrets, from name to `SECRET/KEY`. Default for " +
                  "variables of the Bento without a value: `<app_name>-env/<name>`.",
        ),
        "src": attr.label(
            doc = "The image or image index to deploy, or a `bento_model_image` with `format = \"kserve\"`. Push " +
                  "the target to `repository` before you apply the manifest.",
            mandatory = True,
            providers = [[BentoImageInfo], [BentoImageIndexInfo]],
        ),
        "startup_timeout_seconds": attr.int(
            default = 300,
            doc = "Maximum startup time of a service, including model loading.",
        ),
        "writable_dirs": attr.string_list(
            doc = "Absolute paths of writable directories other than `/tmp`, which are empty when a Pod starts. " +
                  "`/dev/shm` is a volume in memory. With `/`, the root file system of the image is writable.",
        ),
    },
    toolchains = [TOOLCHAIN_TYPE],
)
