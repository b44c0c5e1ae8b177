# service: service:Svc
# unknown: labels, description, envs.O
import bentoml

LABELS = {'a': '1'}
OTHER = {'a': '1'}
THIRD = {'a': '1'}


def fill(key):
    LABELS[key] = 'x'
    return key


KEYS = list(map(fill, ['b', 'c']))
list(map(OTHER.update, [{'d': '2'}]))
[each.update(e='3') for each in (THIRD,)]


@bentoml.service(name='a', labels=OTHER, envs=[{'name': 'T', 'value': THIRD['a']}])
class Inner: ...


@bentoml.service(labels=LABELS, description=THIRD.get('e'), envs=[{'name': 'O', 'value': str(len(OTHER))}])
class Svc:
    inner = bentoml.depends(Inner)

    @bentoml.api
    def hello(self) -> str:
        return ''
