# service: service:Registry.Inner
# unknown: service
import bentoml


class Registry:
    @bentoml.service(name='nested')
    class Inner:
        @bentoml.api
        def hello(self) -> str:
            return ''
