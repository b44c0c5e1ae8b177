"""Archives of Bentos and models, written and read."""
