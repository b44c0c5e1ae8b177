"""Classifies iris flowers with FastAPI: a server that isn't a Bento."""

from __future__ import annotations

from argparse import ArgumentParser
from functools import cache
from typing import TYPE_CHECKING, Annotated

import uvicorn
from fastapi import Body, FastAPI
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

from examples.features.iris import features

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

app = FastAPI()


@cache
def classifier() -> ClassifierMixin:
    """Train the model, once for each process."""
    flowers = load_iris()
    return DecisionTreeClassifier(random_state=0).fit(features(flowers.data), flowers.target)


@app.get("/readyz")
def ready() -> str:
    """Report that the server can answer."""
    classifier()
    return "ready"


@app.post("/classify")
def classify(rows: Annotated[list[list[float]], Body(embed=True)]) -> list[int]:
    """Return 0 setosa, 1 versicolor, 2 virginica for rows of sepal length and width, petal length and width in cm."""
    return [int(species) for species in classifier().predict(features(rows))]


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=8000, type=int)
    arguments = parser.parse_args()
    uvicorn.run(app, host=arguments.host, port=arguments.port)
