# service: service:Svc
# unknown: service
import functools
import os

import bentoml


def dep(port):
    return bentoml.depends(url=f'http://127.0.0.1:{port}')


first = dep(1)
first.url = 'http://127.0.0.1:9'
image = bentoml.images.Image(python_version='3.11')
image.commands.append('echo hi')


@bentoml.service(image=image)
class Svc:
    a = first

    @bentoml.api
    def hello(self) -> str:
        return ''

    hello.route = '/changed'
