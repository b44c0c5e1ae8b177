# service: service:Svc
# unknown: service
# also with: NAMED=1
import bentoml

try:
    from conf import NAME
except ImportError:
    NAME = 'fallback'
try:
    import broken
except ImportError:
    broken = None
    LABELS = {'broken': 'yes'}
else:
    LABELS = {'broken': 'no'}


@bentoml.service(name=NAME, labels=LABELS)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
