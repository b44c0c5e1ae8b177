# service: service:Svc
# unknown: envs.NAMES
import bentoml

NAMES = []
for number in range(3):
    NAMES.append(str(number))
LABELS = {'a': 'b'}
while len(NAMES) < 5:
    NAMES.append('x')


@bentoml.service(labels=LABELS, envs=[{'name': 'NAMES', 'value': ','.join(NAMES)}])
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
