"""A module of a package that has no wheel."""

VALUE = 7
