"""Subcommands that run under `bazel run` and `bazel test`, and can use a network or a store.

Most modules define one subcommand, named `run`. `rules_bento.subcommands` lists the other modules.
"""
