"""A service whose image narrows what the hub locks."""

import bentoml


@bentoml.service(image=bentoml.images.Image().python_packages("numpy<98"))
class Narrow:
    """Nothing."""
