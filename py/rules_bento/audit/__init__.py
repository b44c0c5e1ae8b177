"""Known vulnerabilities and licences of packages, held against a policy: what is not known is said."""
