"""Reads the locks of other tools than uv."""

# The commands that lock again. Builds without such a lock import no reader.
COMMANDS = {"poetry.lock": "poetry lock", "pdm.lock": "pdm lock --update-reuse", "Pipfile.lock": "pipenv lock"}
