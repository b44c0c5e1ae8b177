"""Subcommands that run under `bazel run` and `bazel test`. They can use the network and the Bento store.

If a module defines one subcommand, its function is named `run`. `rules_bento.subcommands` lists all subcommands.
"""
