"""Subcommands that run under `bazel run` and `bazel test`. They can use the network and the Bento store.

In a module with only one subcommand, the function is named `run`. `rules_bento.subcommands` lists all subcommands.
"""
