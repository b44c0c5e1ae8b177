"""The `bento` command: builds, stores, and shares Bentos without BentoML."""
