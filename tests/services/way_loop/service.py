# service: service:Svc
# unknown: service
import bentoml

SERVICES = {}
for name in ('a', 'b'):

    @bentoml.service(name=name)
    class Made:
        pass

    SERVICES[name] = Made


@bentoml.service
class Svc:
    first = bentoml.depends(SERVICES['a'])
    second = bentoml.depends(Made)
