"""Subcommands for `bazel run` that require the `bento` command.

The modules have the same interface as the modules in `rules_bento.run`.
"""
