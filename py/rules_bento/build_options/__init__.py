"""Build options of a bentofile or a target: parsing, validation, and merging."""
