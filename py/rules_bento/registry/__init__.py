"""Client for OCI registries, and reader and writer of OCI image layouts. Uses only the standard library."""
