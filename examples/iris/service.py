"""Classifies iris flowers by their measurements."""

from __future__ import annotations

import bentoml

from examples.features.iris import features


@bentoml.service(labels={"team": "botany"}, traffic={"timeout": 20})
class IrisClassifier:
    """Tells which of three species a flower is."""

    model = bentoml.models.BentoModel("iris_clf:latest")

    def __init__(self) -> None:
        """Load the model once for each worker."""
        self.classifier = bentoml.sklearn.load_model(self.model)

    @bentoml.api
    def classify(self, rows: list[list[float]]) -> list[int]:
        """0 setosa, 1 versicolor, 2 virginica; a row is sepal length and width, petal length and width in cm."""
        return [int(species) for species in self.classifier.predict(features(rows))]
