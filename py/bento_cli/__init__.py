"""Provides the `bento` command, which builds, stores, and shares Bentos without BentoML."""
