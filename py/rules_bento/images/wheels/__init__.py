"""Validates wheels, determines the installed paths of their files, and finds shared libraries and bytecode."""
