"""A library that requires packages from a hub of rules_python."""
