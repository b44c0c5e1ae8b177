# service: service:Svc
# unknown: labels
import json

import bentoml


def read_labels():
    return json.loads('{"a": "b"}')


@bentoml.service(labels=read_labels())
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
