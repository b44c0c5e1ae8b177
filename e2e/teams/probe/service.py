"""A service that lists its modules."""

from __future__ import annotations

import bentoml
import numpy as np
from probe.found import found


@bentoml.service
class Probe:
    @bentoml.api
    def modules(self) -> dict[str, list[str]]:
        """List the importable modules."""
        assert np.ones(1).sum() == 1
        return found()
