"""Runs the tests of `bento_test`, pytest with a real BentoML server of the Bento, and compares APIs."""
