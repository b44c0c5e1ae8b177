"""Subcommands of the helper program, which Bazel runs as sandboxed actions.

`rules_bento.subcommands` lists the module of each subcommand. A subcommand is a function with the decorator
`Subcommand`, which declares the flags. The function raises BentoError for errors that users can fix.
"""
