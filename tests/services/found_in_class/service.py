# service: service:Registry.Inner
# unknown: service, config, models, labels, envs, image, description
import bentoml


class Registry:
    @bentoml.service(name='nested')
    class Inner:
        @bentoml.api
        def hello(self) -> str:
            return ''
