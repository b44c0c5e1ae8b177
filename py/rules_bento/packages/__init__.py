"""Python packages: requirements, locks, lock subsets, wheels, and virtual environments."""
