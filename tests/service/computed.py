"""A service whose decorator nobody can read."""

import json
import os
from pathlib import Path

import bentoml
import pydantic


class Arguments(pydantic.BaseModel):
    """What a build may choose."""

    model: str = "small"


arguments = bentoml.use_arguments(Arguments)
config = json.loads((Path(__file__).parent / "models.json").read_text("utf-8"))[arguments.model]
image = bentoml.images.Image()
for line in config["commands"]:
    image = image.run(line)


def decorate(cls: type) -> bentoml.Service:
    """Make a service as the configuration has it."""
    labels = {"quantized": os.environ.get("QUANTIZED", "no")}
    return bentoml.service(name=config["name"], resources=config["resources"], labels=labels, image=image)(cls)


@decorate
class Svc:
    """Answers."""

    @bentoml.api
    def ask(self, text: str) -> str:
        """Give the text back."""
        return text
