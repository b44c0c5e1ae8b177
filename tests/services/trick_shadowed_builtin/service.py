# service: service:Svc
# unknown: description, labels
import bentoml


def dict(**given):
    return {'shadowed': 'yes'}


class str:
    VALUE = 'own'


@bentoml.service(labels=dict(a='1'), description=str.VALUE)
class Svc:
    def hello(self):
        return ''
