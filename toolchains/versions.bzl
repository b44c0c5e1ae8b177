"""Constants of this version of the module, which outputs depend on."""

# The Python of hubs and Bentos that name none: never that of the machine.
PYTHON_VERSION = "3.11"

# The oldest rules_python that MODULE.bazel takes.
OLDEST_RULES_PYTHON = "0.40.0"
