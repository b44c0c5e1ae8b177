"""A service that imports its libraries in each of their ways."""

import bentoml
import inner
import shop.prices
import shop.tax.rates
import simple
import spelled
import words
from company import one, two
from lib import upper
from python.runfiles import runfiles
from schemas import iris_pb2

from tests.sources.layouts.lib.text import words as same_words

MODULES = (inner, shop.prices, shop.tax.rates, simple, spelled, same_words, words, one, two, upper)


@bentoml.service
class Service:
    """It has what its libraries have."""

    @bentoml.api
    def paths(self) -> list[str]:
        """List the paths of the modules."""
        return [*(module.PATH for module in MODULES), iris_pb2.NAME, runfiles.__name__]
