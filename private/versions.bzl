"""Defines the supported platforms and versions, and default values."""

# Default Python version of package hubs and Bentos. The default doesn't depend on the machine.
PYTHON_VERSION = "3.11"

# Default value of `glibc`, the newest glibc version that wheels can require: the version in Debian 10 and RHEL 8.
DEFAULT_GLIBC = "2.28"

# Default value of `macos`, the newest macOS version that wheels can require: the default of uv.
DEFAULT_MACOS = "13.0"

# Minimum version of rules_python, and the newest version whose packages were tested.
OLDEST_RULES_PYTHON = "0.40.0"
NEWEST_RULES_PYTHON = "2.3.2"

# Names of the platforms in //toolchains/platforms, to their constraints.
PLATFORM_CONSTRAINTS = {
    "darwin_amd64": ["@platforms//cpu:x86_64", "@platforms//os:osx"],
    "darwin_arm64": ["@platforms//cpu:aarch64", "@platforms//os:osx"],
    "linux_amd64": ["@platforms//cpu:x86_64", "@platforms//os:linux"],
    "linux_arm64": ["@platforms//cpu:aarch64", "@platforms//os:linux"],
}
PLATFORMS = list(PLATFORM_CONSTRAINTS)

# Python versions of package hubs.
PYTHON_VERSIONS = ["3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]
