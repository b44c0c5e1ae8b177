"""All readers of what others wrote, by name."""

from readers import READERS as FILES
from servers import SERVERS

READERS = {**FILES, **SERVERS}
