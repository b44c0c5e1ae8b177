"""Constants of this version of the module, which outputs depend on."""

# The Python of hubs and Bentos that name none: never that of the machine.
PYTHON_VERSION = "3.11"

# What MODULE.bazel depends on.
OLDEST_RULES_PYTHON = "0.40.0"
