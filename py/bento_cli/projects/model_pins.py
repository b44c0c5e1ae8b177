"""Pins the Hugging Face models of a project to commits, in a file next to the bentofile."""

from __future__ import annotations

import json
import re

from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_json
from rules_bento.base.landlock import outside
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, TypeAlias
from rules_bento.bentos.assembly.model_refs import HUB

from bento_cli.projects.uv_project import read_inside

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.bentos.service import ServiceInfo
    from rules_bento.bentos.service.metadata import HuggingFace, Model, Service

Request: TypeAlias = "Callable[[str, str, str], str]"
_PINS = "huggingface.lock.json"
_COMMIT = re.compile("[0-9a-f]{40}")


class ModelPins:
    """The commits of Hugging Face models in the project whose bentofile is in `directory`.

    `command` is the command that pins the models, for messages. `request` returns the missing commit for a model ID, a
    revision, and an endpoint. By default, a missing commit is an error.
    """

    def __init__(self, directory: Path, command: str, request: Request | None = None) -> None:
        self.written = ""  # the path of a new or changed file
        self._path, self._command, self._request = directory / _PINS, command, request
        self._commits: dict[str, str] | None = None

    def apply(self, info: ServiceInfo) -> ServiceInfo:
        """Return `info` with commits as the revisions of Hugging Face models. Raises BentoError for a missing commit.

        Writes new commits to the file.
        """
        services = tuple(replace(service, models=self._pinned(service)) for service in info.services)
        if self.written:
            from rules_bento.base.archives.atomic import replace_file, write_error

            text = json.dumps(self._commits, indent=2, sort_keys=True) + "\n"
            try:
                outside(replace_file, self._path, text.encode())  # writes: output, the model lock
            except OSError as error:
                raise write_error(self._path, error) from None
        return replace(info, services=services)

    def _pinned(self, service: Service) -> tuple[Model, ...]:
        models = []
        for model in service.models:
            source = model.huggingface
            if source and not _COMMIT.fullmatch(source.revision):
                place = f"{service.path}:{service.line}: {service.class_name}.{model.attribute}"
                source = replace(source, revision=self._commit(source, place))
                model = replace(model, huggingface=source)
            models.append(model)
        return tuple(models)

    def _commit(self, source: HuggingFace, place: str) -> str:
        if self._commits is None:
            self._commits = self._read() if self._path.is_file() else {}
        endpoint = source.endpoint or HUB
        key = f"{endpoint}/{source.model_id}@{source.revision}"
        if key not in self._commits and self._request:
            self._commits[key] = outside(self._request, source.model_id, source.revision, endpoint)
            self.written = str(self._path)
        if key not in self._commits:
            problem = f"the revision {source.revision!r} of {source.model_id} isn't a commit"
            remedy = f"To request the commit, and to write it to {_PINS}, run `{self._command}`."
            raise BentoError(problem, place=place, remedy=remedy)
        return self._commits[key]

    def _read(self) -> dict[str, str]:
        commits = read_json(read_inside(self._path), str(self._path))
        if not isinstance(commits, dict) or not all(_COMMIT.fullmatch(str(each)) for each in commits.values()):
            problem = "expected an object that maps models to commits"
            remedy = f"Remove the file, and run `{self._command}`."
            raise BentoError(problem, place=str(self._path), remedy=remedy)
        return commits
