"""Python packages: stated, locked, sliced for a service, built from source."""
