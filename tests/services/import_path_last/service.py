# service: service:Svc
# unknown: service
import sys

import bentoml

if "lib" not in sys.path:
    sys.path.append("lib")

from conf import WORKERS  # noqa: E402


@bentoml.service(workers=WORKERS)
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ""
