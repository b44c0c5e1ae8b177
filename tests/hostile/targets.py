"""Lists all readers of untrusted input by name."""

from readers import READERS as FILES
from servers import SERVERS

READERS = {**FILES, **SERVERS}
