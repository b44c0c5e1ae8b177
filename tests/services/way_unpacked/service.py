# service: service:Svc
# unknown: service
import bentoml

NAME, (A, B) = 'unpacked', ('x', ['y'])
FIRST, *REST = ['one', 'two']
[C] = B


@bentoml.service(name=NAME, labels={'a': A, 'c': C, 'f': FIRST})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
