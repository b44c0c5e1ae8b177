"""Trains the classifier. `train.py OUTPUT` writes it in the format of `bentoml.sklearn`."""

from __future__ import annotations

import sys

import joblib
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression


def main(output: str) -> None:
    """Train on the digits that scikit-learn includes."""
    digits = load_digits()
    joblib.dump(LogisticRegression(max_iter=2000).fit(digits.data, digits.target), output)


if __name__ == "__main__":
    main(sys.argv[1])
