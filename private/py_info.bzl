"""Defines py_info_of, which reads the PyInfo of rules_python, or Bazel's own, which rules from before 2024 provide."""

load("@rules_python//python:py_info.bzl", "PyInfo")

# rules_python accepts both in `deps`. Bazel 8 and newer have no PyInfo.
_BazelPyInfo = getattr(getattr(native, "legacy_globals", None), "PyInfo", PyInfo)

# Value of `providers` for attributes with Python libraries.
PYTHON = [[PyInfo], [_BazelPyInfo]]

def py_info_of(target):
    """Returns the PyInfo of a target, or None if the target isn't a Python library or program."""
    if PyInfo in target:
        return target[PyInfo]
    return target[_BazelPyInfo] if _BazelPyInfo in target else None
