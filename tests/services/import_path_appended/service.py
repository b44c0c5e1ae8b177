# service: service:Svc
# unknown: service
import logging
import os
import sys

import bentoml

sys.path.append(os.path.join(os.path.dirname(__file__), "lib"))

from parts import weights  # noqa: E402

logger = logging.getLogger("service")


@bentoml.service
class Svc:
    weights = weights
    log = logger

    @bentoml.api
    def hello(self) -> str:
        return ""
