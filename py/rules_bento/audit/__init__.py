"""Checks a Bento before a release: vulnerabilities, licenses, and hashes of packages, and secrets in files."""
