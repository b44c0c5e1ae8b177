"""What is held against a Bento before it goes out: vulnerabilities, licences and policies of packages; secrets in files.

What is not known is said.
"""
