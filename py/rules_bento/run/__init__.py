"""Holds the subcommands that `bazel run` and `bazel test` start: those that use a network or a store.

Most modules are one subcommand, with `FLAGS`, `HELP`, and `run`. `rules_bento.subcommands` lists the other modules.
"""
