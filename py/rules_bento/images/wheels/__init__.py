"""Wheels: validation, installed paths of files, shared libraries, and bytecode."""
