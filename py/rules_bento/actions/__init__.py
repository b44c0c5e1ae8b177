"""Contains the helper's subcommands that Bazel runs as actions, in a sandbox.

`rules_bento.subcommands` lists the module of each subcommand. A subcommand is a function with the decorator
`Subcommand`, which declares the flags. The function raises BentoError for errors that users can fix.
"""
