"""Looks for files of the machine when the wheel's code runs first."""

from pathlib import Path

PATHS = ("/etc/hosts", "/etc/hostname", "/proc/1/root/etc")
SEEN = [path for path in PATHS if Path(path).exists()]
