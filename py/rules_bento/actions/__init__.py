"""Subcommands of the helper program, which Bazel runs in actions, repository rules, and tests.

`rules_bento.subcommands` lists the module of each subcommand. A subcommand is a function whose parameter
`request` declares the options. The function raises BentoError for errors that users can fix.
"""
