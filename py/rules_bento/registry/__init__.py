"""Client for OCI registries and reader and writer of OCI image layouts, on the standard library."""
