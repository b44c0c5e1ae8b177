"""Reads and checks the build options of a bentofile or a target."""
