"""Contains the helper's subcommands that Bazel runs as actions, in a sandbox.

`rules_bento.subcommands` lists the module of each subcommand. Its function has the decorator `Subcommand` with its
flags, and raises BentoError for errors that users can fix.
"""
