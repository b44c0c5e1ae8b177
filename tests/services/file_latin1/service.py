# -*- coding: latin-1 -*-
# service: service:Svc
import bentoml


@bentoml.service(name='latin', labels={'who': 'José'})
class Svc:
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
