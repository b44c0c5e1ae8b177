# service: service:Svc
# unknown: service
import bentoml


@bentoml.service
class Leaf: ...


def make(name, dependency=None, **config):
    @bentoml.service(name=name, **config)
    class Made:
        dep = bentoml.depends(dependency or Leaf)

        @bentoml.api
        def hello(self) -> str:
            return ''

    return Made


Inner = make('inner')
Svc = make('outer', Inner, workers=2)
