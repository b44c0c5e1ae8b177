"""Trains the classifier. `train.py OUTPUT` writes it in the format of `bentoml.sklearn`."""

from __future__ import annotations

import sys

import joblib
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

from examples.features.iris import features


def main(output: str) -> None:
    """Train on the complete dataset, which scikit-learn includes."""
    iris = load_iris()
    classifier = DecisionTreeClassifier(max_depth=4, random_state=0)
    classifier.fit(features(iris.data), iris.target)
    joblib.dump(classifier, output)


if __name__ == "__main__":
    main(sys.argv[1])
