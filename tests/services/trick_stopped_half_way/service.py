# service: service:Svc
# unknown: service
import contextlib

import bentoml

with contextlib.suppress(ValueError):

    @bentoml.service(name='made_before_the_stop')
    class Svc:
        with contextlib.suppress(ValueError):

            @bentoml.api
            def hello(self) -> str:
                return ''

            raise ValueError

    raise ValueError
