"""Runs the tests of `bento_test` in pytest, starts BentoML servers for the tests, and compares APIs."""
