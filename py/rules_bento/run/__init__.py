"""What `bazel run` and `bazel test` start: a verb to a module. These alone reach a network or a store.

Their modules have what those of `actions` have.
"""
