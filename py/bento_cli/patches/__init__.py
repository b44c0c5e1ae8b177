"""Replaces packages and bases of published images, with the code that builds and without their sources."""
