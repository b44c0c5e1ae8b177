# service: service:Svc
import bentoml


@bentoml.service
class Near: ...


@bentoml.service
class Svc:
    by_url = bentoml.depends(url='http://127.0.0.1:3001')
    by_deployment = bentoml.depends(deployment='ci-iris', cluster='eu')
    typed = bentoml.depends(Near, url='http://127.0.0.1:3002')
    named = bentoml.depends(on=Near)
