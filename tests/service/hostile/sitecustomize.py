"""Runs wherever Python starts with the wheel, unless Python has a module of this name (Debian's)."""

import looking  # noqa: F401
