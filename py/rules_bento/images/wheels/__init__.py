"""Reads and validates wheels, determines where their files are installed, and finds shared libraries and bytecode."""
