"""Creates SLSA provenance (version 1), which describes the inputs and the builder of an artifact.

The first part, `buildDefinition`, depends only on declared inputs, so it is identical on all machines. The second part,
`runDetails`, depends only on the flags of the push command, and not on the machine or its clock.
"""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import dataclass
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any

PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:rules-bento:build:"

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}:[\x21-\x7e]{1,2000}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Run:
    """The details of a build run, as specified by the flags of the push command. Times are in RFC 3339 format."""

    builder_id: str
    invocation_id: str = ""
    started_on: str = ""
    finished_on: str = ""

    def checked(self) -> Run:
        """Validate the values, and return this object. Raises BentoError for a value that SLSA doesn't allow."""
        require_uri(self.builder_id, "--builder-id")
        for flag, text in (("--started-on", self.started_on), ("--finished-on", self.finished_on)):
            if text and not _TIME.fullmatch(text):
                raise BentoError(f"expected a time such as 2026-01-31T12:00:00Z, got {text!r}.", place=flag)
        return self

    def details(self) -> dict[str, Any]:
        """Return the `runDetails` of SLSA provenance."""
        declared = {"invocationId": self.invocation_id, "startedOn": self.started_on, "finishedOn": self.finished_on}
        metadata = {name: text for name, text in declared.items() if text}
        return {"builder": {"id": self.builder_id}, **({"metadata": metadata} if metadata else {})}


def require_uri(text: str, place: str) -> str:
    """Return a URI. Raises BentoError for other strings."""
    if not _URI.fullmatch(text):
        raise BentoError(f"expected a URI such as https://ci.example.com/builders/1, got {text!r}.", place=place)
    return text


def definition(kind: str, parameters: dict[str, Any], dependencies: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the `buildDefinition` of SLSA provenance for an image or a Bento."""
    resolved = sorted(dependencies, key=lambda item: (item["uri"], sorted(item.get("digest", {}).items())))
    return {"buildType": f"{BUILD_TYPE}{kind}:v1", "externalParameters": parameters, "resolvedDependencies": resolved}


def dependency(uri: str, digest: str) -> dict[str, Any]:
    """Return the SLSA resource descriptor for a dependency. `digest` is empty, or has the form `<algorithm>:<hex>`."""
    algorithm, _, value = digest.partition(":")
    return {"uri": uri, "digest": {algorithm: value}} if digest else {"uri": uri}


def predicate(build: dict[str, Any], run: Run) -> dict[str, Any]:
    """Return the predicate of SLSA provenance, which consists of the build definition and the run details."""
    return {"buildDefinition": build, "runDetails": run.details()}
