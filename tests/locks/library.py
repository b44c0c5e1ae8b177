"""A library that takes packages from a hub of rules_python."""
