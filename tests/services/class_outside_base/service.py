# service: service:Svc
# unknown: members, labels.openai_endpoint
import bentoml
from sklearn.base import BaseEstimator


@bentoml.service
class Svc(BaseEstimator):
    pass

    @bentoml.api
    def hello(self) -> str:
        return ''
