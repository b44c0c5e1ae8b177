"""What `bento_test` runs: pytest beside a real BentoML server of the Bento."""
