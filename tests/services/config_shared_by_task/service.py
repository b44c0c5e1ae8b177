# service: service:Svc
# unknown: config.traffic
import bentoml

TRAFFIC = {'timeout': 5}


@bentoml.service(traffic=TRAFFIC)
class Plain:
    pass


@bentoml.service(traffic=TRAFFIC)
class Svc:
    plain = bentoml.depends(Plain)

    @bentoml.task
    def long(self) -> int:
        return 1
