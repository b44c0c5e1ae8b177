# service: service:Svc
# unknown: service
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


class Maker:
    def __init__(self, host):
        self.host = host

    def __call__(self, port):
        return bentoml.depends(url=f'http://{self.host}:{port}')

    def tag(self, name):
        return bentoml.models.BentoModel(name + ':v1')

    @property
    def first(self):
        return dep(1)

    @staticmethod
    def plain(name):
        return bentoml.models.BentoModel(name)

    @classmethod
    def of(cls, name):
        return cls.plain(name)


make = Maker('127.0.0.1')


@bentoml.service
class Svc:
    a = make(1)
    b = make.tag('iris_clf')
    c = make.first
    d = Maker.plain('scaler:v2')
    e = make.of('scaler:v2')

    @bentoml.api
    def hello(self) -> str:
        return ''
