# service: service:Svc
import bentoml
import joblib
import logging
import threading


@bentoml.service
class Svc:
    ref = bentoml.models.BentoModel('iris_clf:v1')
    lock = threading.Lock()
    log = logging.getLogger('svc')
    cache = joblib.Memory(None)
    sizes = [size * 2 for size in (1, 2)]

    @bentoml.api
    def hello(self) -> str:
        return ''
