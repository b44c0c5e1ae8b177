"""Subcommands of the helper that Bazel runs in a sandbox. Each one is an action of the rules.

`rules_bento.subcommands` lists the module of each subcommand. Its function has the decorator `Subcommand` with its
flags, and raises BentoError for errors that users can fix.
"""
