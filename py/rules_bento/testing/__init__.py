"""Runs the tests of `bento_test` in pytest, starts BentoML servers for the Bento, and compares APIs."""
