# service: service:Svc
import bentoml

OWNER = 'ml'


@bentoml.service(labels={'owner': OWNER, 'stage': 'prod'})
class Inner:
    pass


@bentoml.service(labels={'b': 'x', 'a': OWNER.title()})
class Svc:
    inner = bentoml.depends(Inner)

    @bentoml.api
    def hello(self) -> str:
        return ''
