# service: service:Svc
# unknown: labels
import bentoml

LABELS = dict(a='1')
LABELS.update({'b': '2'}, c='3')
LABELS |= {'d': '4'}
LABELS['e'] = '5'
LABELS.setdefault('a', 'no')


@bentoml.service(labels={**LABELS, 'f': '6'})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
