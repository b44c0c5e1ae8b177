"""Holds what `bazel run` and `bazel test` start: the verbs that reach a network or a store, a module to each.

Their modules have what those of `actions` have.
"""
