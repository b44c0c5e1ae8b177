"""Paths of the API: repositories of Bentos or models, and their versions."""

from __future__ import annotations

from rules_bento.bento.kinds import BENTO
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.sharing.cloud.client import quoted

if TYPE_CHECKING:
    from rules_bento.bento.kinds import Kind
    from rules_bento.tag import Tag


class CloudPaths(NamedTuple):
    """Holds the paths of one Bento or model."""

    kind: Kind
    tag: Tag

    @property
    def repositories(self) -> str:
        """The repositories of the kind."""
        return "/api/v1/bento_repositories" if self.kind is BENTO else "/api/v1/model_repositories"

    @property
    def repository(self) -> str:
        """The repository of the name."""
        return f"{self.repositories}/{quoted(self.tag.name)}"

    @property
    def versions(self) -> str:
        """The versions of the name."""
        return f"{self.repository}/{self.kind.folder}"

    @property
    def version(self) -> str:
        """The path of one version."""
        return f"{self.versions}/{quoted(self.tag.version)}"

    def __str__(self) -> str:
        return f"{self.kind.noun} {self.tag}"
