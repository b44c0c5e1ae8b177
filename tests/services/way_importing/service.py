# service: service:Svc
import bentoml

with bentoml.importing():
    from conf import NAME, Other
    import not_there


@bentoml.service(name=NAME)
class Svc:
    other = bentoml.depends(Other)
