"""A module at another path."""

PATH = "raw"
