"""A service whose packages are those of a uv.lock."""

import bentoml


@bentoml.service(image=bentoml.images.Image(python_version="3.11").uv_lock())
class Pinned:
    """Nothing."""
