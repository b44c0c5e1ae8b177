# service: service:Svc
# unknown: service
import functools

import bentoml


def timed(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@bentoml.service
class Svc:
    @bentoml.api(route='/x')
    @timed
    def hello(self, name: str) -> str:
        return name
