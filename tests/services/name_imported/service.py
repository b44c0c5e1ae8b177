# service: service:Svc
# unknown: service
import bentoml
import conf.settings as settings
import conf
from conf.settings import NAME as SERVICE_NAME
from conf import TEAM as team


@bentoml.service(name=SERVICE_NAME, labels={'v': settings.VERSION, 'team': team})
class Svc:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
