"""Subcommands that run under `bazel run` and `bazel test`, and can use a network or a store.

In a module that defines only one subcommand, its name is `run`. `rules_bento.subcommands` lists all subcommands.
"""
