"""Defines constants that affect outputs, whose values can change with the version of rules_bento."""

# Default Python version of package hubs and Bentos. The default doesn't depend on the machine.
PYTHON_VERSION = "3.11"

# Minimum version of rules_python.
OLDEST_RULES_PYTHON = "0.40.0"
