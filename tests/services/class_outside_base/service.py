# service: service:Svc
# unknown: service
import bentoml
from sklearn.base import BaseEstimator


@bentoml.service
class Svc(BaseEstimator):
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
