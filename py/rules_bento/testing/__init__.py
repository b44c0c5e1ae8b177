"""Runs the tests of `bento_test` in pytest, starts BentoML servers for them, and compares APIs."""
