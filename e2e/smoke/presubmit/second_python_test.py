"""Checks that a test in a second Python gets packages for this Python."""

from __future__ import annotations

import sys

import yaml

assert sys.version_info[:2] == (3, 12), sys.version
assert yaml.__with_libyaml__
