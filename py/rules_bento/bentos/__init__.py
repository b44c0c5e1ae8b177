"""From a project to a Bento: sources, options, the service's metadata, packages, models, and assembly.

In come a project's files, locks, and models; out go the files of a Bento, its bento.yaml, and its identity. Imports
`base`.
"""
