"""Trains a classifier, and writes an MLflow model whose bytes depend only on the inputs."""

from __future__ import annotations

import sys

import mlflow.sklearn
from mlflow.models import Model
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier


def main(output: str) -> None:
    """Train on all of the data. MLflow would add a random ID and the time to the model."""
    iris = load_iris()
    classifier = DecisionTreeClassifier(max_depth=4, random_state=0).fit(iris.data, iris.target)
    description = Model(model_uuid="iris", utc_time_created="2026-01-01 00:00:00")
    requirements = ["mlflow-skinny", "scikit-learn"]
    mlflow.sklearn.save_model(
        classifier,
        output,
        mlflow_model=description,
        pip_requirements=requirements,
        serialization_format="cloudpickle",
    )


if __name__ == "__main__":
    main(sys.argv[1])
