"""Reads handwritten digits, and finds the drawings that look most like one."""

from __future__ import annotations

import json
from pathlib import Path

import bentoml
import numpy as np
from gallery import gallery

PIXELS = 64  # a drawing is 8 x 8
_ROWS = 1 << 16


@bentoml.service(workers=1)
class Archive:
    """Drawings by the million: an index that is mapped into memory, and shared by all processes that look into it."""

    index = bentoml.models.BentoModel("digits_index:latest")

    def __init__(self) -> None:
        """Map the file; pages are read when somebody asks for them."""
        self.drawings = np.memmap(self.index.path_of("drawings.f32"), np.float32, "r").reshape(-1, PIXELS)

    @bentoml.api
    def size(self) -> int:
        """The number of drawings."""
        return len(self.drawings)

    @bentoml.api
    def nearest(self, drawing: list[float], count: int = 3) -> list[int]:
        """The rows of the index that look most like `drawing`, the best first."""
        found = np.empty((0, 2))
        for first in range(0, len(self.drawings), _ROWS):
            distances = np.square(self.drawings[first : first + _ROWS] - np.float32(drawing)).sum(axis=1)
            best = np.argsort(distances, kind="stable")[:count]
            found = np.vstack([found, np.column_stack([distances[best], first + best])])
            found = found[np.argsort(found[:, 0], kind="stable")[:count]]
        return [int(row) for row in found[:, 1]]


@bentoml.asgi_app(gallery, path="/gallery")
@bentoml.service(traffic={"timeout": 60})
class Studio:
    """What callers see."""

    archive = bentoml.depends(Archive)
    classifier = bentoml.models.BentoModel("digits_clf:latest")
    names = bentoml.models.BentoModel("digit_names:latest")

    def __init__(self) -> None:
        """Load the small models once for each worker."""
        self.model = bentoml.sklearn.load_model(self.classifier)
        self.words = json.loads(Path(self.names.path_of("names.json")).read_text("utf-8"))

    @bentoml.api
    def read(self, drawings: list[list[float]], language: str = "en") -> list[str]:
        """The digit in each drawing, as a word; a drawing is 64 numbers from 0 to 16, row by row."""
        return [self.words[language][int(digit)] for digit in self.model.predict(np.array(drawings))]

    @bentoml.api
    def size(self) -> int:
        """The number of drawings to compare with."""
        return self.archive.size()

    @bentoml.task
    def search(self, drawing: list[float], count: int = 3) -> list[int]:
        """Look through all drawings, which takes a while: submit it, and ask for the result later."""
        return self.archive.nearest(drawing=drawing, count=count)
