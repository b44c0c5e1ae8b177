"""Python packages: reads requirements, locks them, resolves lock subsets, builds wheels, creates environments."""
