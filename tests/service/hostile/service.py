"""A service that reports what the code of the wheel saw."""

import bentoml
import looking  # bento: provided, only for the import


@bentoml.service(labels={"seen": " ".join(looking.SEEN) or "nothing"})
class Svc:
    """Does nothing."""
