"""The test that what was read of a service is what importing it tells."""

from __future__ import annotations

import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {"--report": 1, "--target": 1}

_REMEDY = """\
State them plainly in the source, declare them in attributes of the Bento, or set service_metadata = "import".
"""


def run(arguments: Arguments) -> int:
    """Print the differences; returns 1 if there are some."""
    report = Path(arguments.required("--report")).read_text("utf-8")
    sys.stdout.write(f"{report}{_REMEDY}" if report else "importing the service gives what its Bento has\n")
    return 1 if report else 0
