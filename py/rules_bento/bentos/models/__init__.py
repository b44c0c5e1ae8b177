"""Creates and reads entries of BentoML's model store."""
