"""Looks for files of the machine when the wheel's code runs first."""

import os

PATHS = ("/etc/resolv.conf", "/etc/hostname", "/proc/1/root/etc", "/var")
SEEN = [path for path in PATHS if os.path.exists(path)]  # noqa: PTH110 - no error
