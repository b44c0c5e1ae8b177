"""Implements the subcommands of `bazel run` and `bazel test`, which can use a network or a store.

Most modules define one subcommand, with the name `run`. `rules_bento.subcommands` lists the other modules.
"""
