# service: service:Svc
# unknown: name, members, config, labels, envs, description, image, labels.openai_endpoint
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
