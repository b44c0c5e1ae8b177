# service: service:Svc
# unknown: labels
import bentoml
import yaml

LABELS = {'a': 'b'}
yaml.YAMLObject.__doc__
yaml.dump(LABELS)


@bentoml.service(labels=LABELS)
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
