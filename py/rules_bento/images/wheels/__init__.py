"""Validates wheels, determines the installed paths of their files, finds shared libraries, and compiles bytecode."""
