# service: service:Svc
# unknown: service
import bentoml


@bentoml.service(name='a')
class A: ...


@bentoml.service(name='b', labels={'l': '1'})
class Svc:
    a = bentoml.depends(A)

    @bentoml.api
    def hello(self) -> str:
        return ''


for one in (A, Svc):
    one.name += '-x'
