# service: app.main:Svc
# unknown: service
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import bentoml  # noqa: E402
from conf import WORKERS  # noqa: E402


@bentoml.service(workers=WORKERS)
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ""
