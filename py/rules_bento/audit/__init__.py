"""Checks of a Bento before a release: vulnerabilities, licenses, and hashes of packages; secrets in files."""
