# service: service:Svc
# unknown: service
import bentoml

COMMON = {'traffic': {'timeout': 10}, 'resources': {'cpu': '1'}}
MORE = dict(COMMON, workers=2)
LABELS = {'a': '1'}


@bentoml.service(**{**MORE, 'name': 'spread'}, labels={**LABELS, 'b': '2'} | {'c': '3'})
class Svc:
    @bentoml.api
    def hello(self) -> str:
        return ''
