"""Resolves BentoML's names: private ones to their public spelling, and positional arguments to names."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# Where the private packages' names are public.
_MOVED = {
    "Image": "images.Image",
    "PythonImage": "images.Image",
    "BentoModel": "models.BentoModel",
    "HuggingFaceModel": "models.HuggingFaceModel",
    "Model": "models.Model",
}
_TOP_LEVEL = frozenset(
    [
        "Dependency",
        "Service",
        "Tag",
        "api",
        "asgi_app",
        "depends",
        "importing",
        "mount_asgi_app",
        "on_deployment",
        "on_shutdown",
        "on_startup",
        "runner_service",
        "service",
        "task",
    ]
)
_LEGACY = frozenset(["Resource", "Runnable", "Runner", "Strategy"])

# Arguments of `@bentoml.service` that are no configuration.
SERVICE_FIELDS = frozenset(["name", "image", "description", "path_prefix", "envs", "labels", "cmd", "service_class"])
# The class behind the decorator, and `bentoml.images.Image`.
SERVICE_OBJECT = [
    "name",
    "config",
    "inner",
    "image",
    "description",
    "path_prefix",
    "envs",
    "labels",
    "models",
    "cmd",
    "apis",
]
IMAGE = [
    "base_image",
    "distro",
    "python_version",
    "commands",
    "lock_python_packages",
    "pack_git_packages",
    "python_requirements",
    "post_commands",
    "build_include_paths",
]
IMAGE_METHODS = frozenset(
    [
        "build_include",
        "pyproject_toml",
        "python_packages",
        "requirements_file",
        "run",
        "run_script",
        "system_packages",
        "uv_lock",
    ]
)
# Modules whose `get` gives a stored model.
FRAMEWORKS = frozenset(
    [
        "catboost",
        "detectron",
        "diffusers",
        "diffusers_simple",
        "easyocr",
        "fastai",
        "flax",
        "keras",
        "lightgbm",
        "mlflow",
        "onnx",
        "picklable_model",
        "pytorch",
        "pytorch_lightning",
        "sklearn",
        "tensorflow",
        "torchscript",
        "transformers",
        "unsloth",
        "xgboost",
    ]
)
# These give what a library has of a model; what was pickled may be anything.
LOADERS = frozenset(f"bentoml.{framework}.load_model" for framework in FRAMEWORKS - {"picklable_model"})
# Calls of these give a service, a model or the like that is not read here.
MAKERS = ("bentoml.runner_service", "bentoml.load", "bentoml.models.Model", "bentoml.triton", "bentoml.legacy")


def public_name(dotted: str) -> str:
    """Return the public spelling of a name of BentoML: `_bentoml_sdk.models.BentoModel`, old aliases."""
    head, _, last = dotted.rpartition(".")
    if dotted.startswith(("bentoml._internal.service.", "bentoml._internal.service.service.")) and last == "Service":
        return "bentoml.legacy.Service"
    if dotted.startswith(("_bentoml_sdk.", "_bentoml_impl.", "bentoml._internal.", "bentoml.service.")):
        return f"bentoml.{last}" if last in _TOP_LEVEL else f"bentoml.{_MOVED[last]}" if last in _MOVED else dotted
    if dotted == "bentoml.images.PythonImage":
        return "bentoml.images.Image"
    if head == "bentoml" and last in _LEGACY:
        return f"bentoml.legacy.{last}"
    return dotted
