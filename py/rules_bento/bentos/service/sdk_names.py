"""Converts BentoML's private names to public names, and lists the arguments and methods of BentoML's API."""

from __future__ import annotations

OLD_SERVICE = (
    "`bentoml.Service(...)` without a class is an API of BentoML before 1.4. Write a class with `@bentoml.service`, or "
    "write `bentoml.legacy.Service(...)` and import the service"
)


def words(text: str) -> frozenset[str]:
    """Return the set of words in a string."""
    return frozenset(text.split())


# The public names of what private packages define, by their last parts.
_PUBLIC = {
    name.rpartition(".")[2]: f"bentoml.{name}"
    for name in words(
        "Dependency Service Tag api asgi_app depends importing mount_asgi_app on_deployment on_shutdown on_startup "
        "runner_service service task images.Image models.BentoModel models.HuggingFaceModel models.Model"
    )
}
# Arguments of `@bentoml.service` that aren't part of the configuration.
SERVICE_FIELDS = words("name image description path_prefix envs labels cmd service_class")
# Arguments of `bentoml.images.Image`, in order.
IMAGE = ["base_image", "distro", "python_version", "commands", "lock_python_packages", "pack_git_packages"]
IMAGE += ["python_requirements", "post_commands", "build_include_paths"]
IMAGE_METHODS = words(
    "build_include pyproject_toml python_packages requirements_file run run_script system_packages uv_lock"
)


def public_name(dotted: str) -> str:
    """Convert a private name or alias of a BentoML object to the public name. Returns other names unchanged."""
    last = dotted.rpartition(".")[2]
    if dotted.startswith(("_bentoml_sdk.", "_bentoml_impl.", "bentoml._internal.", "bentoml.service.")):
        return _PUBLIC.get(last, dotted)
    return "bentoml.images.Image" if dotted == "bentoml.images.PythonImage" else dotted
