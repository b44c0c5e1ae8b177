"""Sets up servers to compare the service that they load with bento.yaml, and reads their results."""

from __future__ import annotations

import pkgutil

from rules_bento.base.comparison_program import MARK
from rules_bento.base.typing_lite import TYPE_CHECKING
from rules_bento.bentos.service.known_metadata import IMPORT_BY_ATTRIBUTE

if TYPE_CHECKING:
    from pathlib import Path

_MODULE = "rules_bento_comparison"
REMEDY = f"Write constants in the source, or import the service. {IMPORT_BY_ATTRIBUTE}"


def program(remedy: str) -> str:
    """Return code that makes a server report differences and `remedy` on its standard error."""
    text = (pkgutil.get_data("rules_bento.base", "comparison_program.py") or b"").decode()
    return f"{text}\nwatch({remedy!r}, {text!r})\n"


def install(packages: Path) -> None:  # writes: own, constant names in the environment or the image of a test
    """Make the servers of an environment report differences. `packages` is its directory site-packages."""
    module, startup = packages / f"{_MODULE}.py", packages / f"{_MODULE}.pth"
    for file, text in ((module, program(REMEDY + "\n")), (startup, f"import {_MODULE}\n")):
        file.unlink(missing_ok=True)  # of an image, which can be a link
        file.write_text(text, "utf-8")


def problems(log: str) -> list[str]:
    """Return the differences in the log of a server, once each."""
    return list(dict.fromkeys(line for line in log.splitlines() if line.startswith(MARK)))
