"""The commands of `bento`, a module to each, by its own name; `cli/table.py` lists them."""
