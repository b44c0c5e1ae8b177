# service: service:Svc
# unknown: service
import bentoml


def remote(name: str, port: int = 3000):
    """The address scheme of the team."""
    return bentoml.depends(url=f'http://{name}.local:{port}')


def model(name, version='v1'):
    if version is None:
        return bentoml.models.BentoModel(name)
    return bentoml.models.BentoModel(f'{name}:{version}')


@bentoml.service
class Svc:
    a = remote('a')
    b = remote('b', port=1)
    c = model('iris_clf')
    d = model('scaler', version='v2')
    e = (lambda tag: bentoml.models.BentoModel(tag))('scaler:v2')
