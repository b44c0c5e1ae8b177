"""Formats, archives, connections, processes, and errors, for any program, not only for Bentos and images.

In come bytes, files, and addresses; out go values, files, and `BentoError`. Imports nothing of the other floors.
"""
