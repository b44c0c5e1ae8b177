# service: service:Svc
# unknown: service
import bentoml

if (NAME := 'walrus') and len(NAME) > 3 and 1 < 2 <= 2:
    LABELS = {'found': 'yes'}
elif NAME in ('a', 'b'):
    LABELS = {'found': 'listed'}
else:
    LABELS = {'found': 'no'}


@bentoml.service(name=NAME, labels=LABELS)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
