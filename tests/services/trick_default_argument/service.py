# service: service:Svc
# unknown: service
import bentoml


def register(name, seen=[], *, prefix='p'):
    seen.append(name)
    return prefix + '-' + '-'.join(seen)


register('a')


@bentoml.service(name=register('b'))
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
