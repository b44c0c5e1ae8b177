"""Runs the tests of `bento_test`: pytest beside a real BentoML server of the Bento."""
