# service: service:Svc
# unknown: service
import bentoml


class Base:
    @bentoml.api
    def one(self) -> int:
        return 1

    @bentoml.api
    def two(self) -> int:
        return 2


@bentoml.service
class Svc(Base):
    one = None

    def two(self) -> int:
        return 3

    @bentoml.api(route='/three')
    def three(self) -> int:
        return 3
