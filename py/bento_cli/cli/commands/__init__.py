"""The commands of `bento`, a module to each, by its own name; `cli/table.py` lists them.

Their `run` raises BentoError and OSError for what `main` tells people of.
"""
