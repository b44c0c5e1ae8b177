"""`env/conda`: the environment that updates conda's base environment."""

from __future__ import annotations

import re

from rules_bento.build_options.options import channels
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.build_options.options import Conda
    from rules_bento.build_options.project import ProjectFiles


def environment(conda: Conda, files: ProjectFiles, place: str) -> str | None:
    """Return environment.yml: the user's file, or one with the options.

    None if there is nothing to install.
    """
    if conda.environment_yml:
        return files.text(conda.environment_yml, place)
    dependencies: list[Any] = list(conda.dependencies or ())
    if conda.pip:
        dependencies.append({"pip": list(conda.pip)})
    if not dependencies:
        return None
    import yaml

    text: str = yaml.safe_dump({"channels": channels(conda) or [], "dependencies": dependencies})
    return text


def python_version(environment: str | None) -> str | None:
    """Return the `X.Y` of a line such as `- python=3.11`, which determines the image's Python version."""
    match = re.search(r"^\s*-\s*['\"]?python=+(\d+\.\d+)", environment or "", re.MULTILINE)
    return match[1] if match else None
