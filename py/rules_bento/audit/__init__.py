"""Checks a Bento before it is shipped: vulnerabilities, licences and policies of packages; secrets.

What is not known is said.
"""
