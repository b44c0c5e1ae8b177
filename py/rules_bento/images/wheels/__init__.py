"""Reads wheels strictly, decides where their files are installed, and finds their shared libraries and bytecode."""
