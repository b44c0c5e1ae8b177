"""The programs that `bazel run`, `bazel test`, and repository rules start: pushes, tests, updates of locks.

In come arguments of launchers and users; out go pushed images, environments, and locks in the source tree. The programs
can use the network and the Bento store. Imports all floors.
"""
