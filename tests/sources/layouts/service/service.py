"""A service that imports its libraries in each of their ways."""

import bentoml
from company.one import PATH as ONE
from company.two import PATH as TWO
from inner import PATH as INNER
from lib.upper import PATH as UPPER
from schemas.iris_pb2 import NAME
from shop.prices import PATH as PRICES
from shop.tax.rates import PATH as RATES
from sibling import PATH as SIBLING
from simple import PATH as SIMPLE
from spelled import PATH as SPELLED
from tests.sources.layouts.lib.text.words import PATH as SAME_WORDS
from words import PATH as WORDS


@bentoml.service
class Service:
    """It has what its libraries have."""

    @bentoml.api
    def paths(self) -> list[str]:
        """List the paths of the modules."""
        return [INNER, PRICES, RATES, SIBLING, SIMPLE, SPELLED, SAME_WORDS, WORDS, ONE, TWO, UPPER, NAME]
