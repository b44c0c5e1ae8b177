"""Rejects service metadata that static analysis can't determine: only an import of the service determines it."""

from __future__ import annotations

from rules_bento.base.errors import BentoError, page
from rules_bento.base.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from rules_bento.bentos.service.metadata import ServiceInfo

IMPORT_BY_ATTRIBUTE = 'Add to the target:\n    service_metadata = "import",'
IMPORT_BY_OPTION = "Build with --import --python ENV."


class ImportNeededError(BentoError):
    """Raised if only an import of the service can determine the metadata."""


def require_known(info: ServiceInfo, remedy: str, target: str = "") -> None:
    """Raise ImportNeededError if the metadata has unknown values.

    The message begins with `target`. `remedy` describes how to import the service.
    """
    if not info.unknowns:
        return
    lines = dict.fromkeys(f"  {unknown.path}:{unknown.line}: {unknown.what}" for unknown in info.unknowns)
    problem = "the source doesn't specify all service metadata as constants"
    if all(unknown.field == "service" for unknown in info.unknowns):
        problem = "static analysis doesn't support this code of the sources or libraries, which might change metadata"
    raise ImportNeededError(
        f"{problem}:\n" + "\n".join(lines),
        place=target,
        remedy=f"Write constants (see {page('service-metadata.md')}), or import the service. {remedy}",
    )
