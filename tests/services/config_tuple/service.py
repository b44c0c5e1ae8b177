# service: service:Svc
# unknown: config.runner_probe.enabled, config.runner_probe.timeout
import bentoml


@bentoml.service(metrics={'duration': {'buckets': (0.1, 1.0)}}, extra_ports=[4000], runner_probe={'enabled': not False, 'timeout': -1 + 2})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
