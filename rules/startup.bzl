"""Defines the public rule for tests that start images."""

load("//rules:bento_startup_test.bzl", _bento_startup_test = "bento_startup_test")

bento_startup_test = _bento_startup_test
