"""The subcommands that Bazel's actions run, and the persistent worker.

In come arguments files of rules; out go the declared outputs. Each function is a subcommand: `subcommands` finds it by
its name, and decodes the arguments to the request that is the function's parameter. Imports the floors below.
"""
