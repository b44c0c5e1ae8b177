"""All readers of what others wrote, by name."""

from __future__ import annotations

from readers import READERS as FILES
from servers import SERVERS

READERS = {**FILES, **SERVERS}
