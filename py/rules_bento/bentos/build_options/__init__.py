"""Parses, validates, and merges the build options of a bentofile or a target."""
