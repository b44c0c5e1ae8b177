"""Holds the programs of `bazel run` that need the `bento` command.

The modules have the same interface as the modules of `rules_bento.run`.
"""
