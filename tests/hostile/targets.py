"""Lists all readers of untrusted input by name."""

from tests.hostile.readers import READERS as FILES
from tests.hostile.servers import SERVERS

READERS = {**FILES, **SERVERS}
