# service: service:Svc
# unknown: description
from pathlib import Path

import bentoml


@bentoml.service(description=Path(__file__).with_name('ABOUT.md').read_text())
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
