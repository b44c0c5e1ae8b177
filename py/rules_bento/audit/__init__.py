"""What is held against a Bento before it goes out: vulnerabilities, licences and policies of packages; secrets.

What is not known is said.
"""
