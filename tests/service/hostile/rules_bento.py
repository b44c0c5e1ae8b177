"""Has the name of the package that isolates the import, and its modules."""

import sys

import looking  # noqa: F401

__path__ = [f"{path}/rules_bento" for path in sys.path]
