"""A service."""

import bentoml


@bentoml.service(labels={"of": "service"})
class Svc:
    """Nothing."""
