# service: service:Svc
# unknown: service
import bentoml

TRAFFIC = {'timeout': 5}
LABELS = {'a': '1'}
ENVS = [{'name': 'ONE', 'value': '1'}]


@bentoml.service(traffic=TRAFFIC, labels=LABELS, envs=ENVS)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''


TRAFFIC['timeout'] = 7
TRAFFIC.update(concurrency=2)
LABELS['b'] = '2'
Svc.labels['c'] = '3'
ENVS.append({'name': 'TWO', 'value': '2'})
ENVS[0]['value'] = 'changed'
