"""Defines the public rule for tests of licenses."""

load("//rules:bento_policy_test.bzl", _bento_policy_test = "bento_policy_test")

bento_policy_test = _bento_policy_test
